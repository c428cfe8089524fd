"""The shipped notebook, executed by a real kernel: what it shows, and what the hooks of the user's
own conf have made of its run.
"""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbclient
import nbformat
import pytest
from e2e_samples import REPOSITORY, write

import history

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]
HOOKS = """\
tensorboard: {_target_: runner.hooks.tensorboard.write}
mlflow: {_target_: runner.hooks.mlflow.log}
purge: {_target_: runner.hooks.purge}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, whose conf shadows the shipped hooks."""
    made = tmp_path_factory.mktemp("notebook")
    write(made, conf__hooks__default_yaml=HOOKS)
    return made


@pytest.fixture(scope="module")
def outputs(folder: Path) -> list[list[Any]]:
    """What each cell of code shows."""
    notebook = nbformat.reads((REPOSITORY / "notebooks/digits.ipynb").read_text("utf-8"), 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        client = nbclient.NotebookClient(
            notebook, timeout=900, resources={"metadata": {"path": str(folder)}}
        )
        client.execute()
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def text(outputs: list[Any], kind: str) -> str:
    """What a cell shows of a kind: a stream's name, or a type of data."""
    return "".join(
        each.text if each.output_type == "stream" else each.data.get(kind, "")
        for each in outputs
        if each.get("name", kind) == kind
    )


def test_the_shipped_notebook_runs(outputs: list[list[Any]]) -> None:
    """Its run is told on stderr, line by line; nothing of it is on stdout, or imports Keras."""
    ran, entry, trials, numbers, results, table, mistake = outputs
    assert re.search(r"mlp: trial .*3/3", text(ran, "stderr"))
    assert text(ran, "stdout") == ""
    assert re.fullmatch(r"\{'mlp': <Entry mlp-\w{8}: complete>\}", text(ran, "text/plain"))
    assert text(entry, "text/html").count("<svg") == 2
    assert "values.model.dropout" in text(trials, "text/html")
    assert text(numbers, "stdout").startswith("validation 0.")
    assert "<td" in text(results, "text/html")
    assert "validation.metrics.accuracy" in text(table, "text/html")
    assert "did you mean 'max_trials'?" in text(mistake, "stdout")
    assert text(mistake, "stderr") == ""


@pytest.mark.usefixtures("outputs")
def test_mlflow_has_the_model_with_its_signature(folder: Path) -> None:
    """It takes rows of the data's shape, any number of them."""
    import mlflow

    (entry,) = history.open(folder / "results").entries()
    client = mlflow.MlflowClient(f"sqlite:///{folder}/results/mlflow/mlflow.db")
    (of,) = (each for each in client.search_experiments() if each.name == "digits")
    runs = {each.info.run_name: each for each in client.search_runs([of.experiment_id])}
    (logged,) = client.search_logged_models([of.experiment_id])
    assert logged.source_run_id == runs[entry.id].info.run_id
    place = Path(logged.artifact_location.removeprefix("file://"))
    assert place.is_relative_to(folder / "results" / "mlflow")
    signature = mlflow.models.Model.load(str(place)).signature
    assert signature is not None
    assert [each.shape for each in signature.inputs] == [(-1, 8, 8, 1)]
    assert [each.shape for each in signature.outputs] == [(-1, 10)]
    assert runs["trial-0002"].data.tags["mlflow.parentRunId"] == runs[entry.id].info.run_id
    assert len(client.get_metric_history(runs["trial-0002"].info.run_id, "val_loss")) == 3


@pytest.mark.usefixtures("outputs")
def test_tensorboard_has_the_curves(folder: Path) -> None:
    """Those that the entry has."""
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (entry,) = history.open(folder / "results").entries()
    read = EventAccumulator(str(folder / "results/tensorboard" / entry.id / "refit-1/validation"))
    curve = [each.tensor_proto.float_val[0] for each in read.Reload().Tensors("epoch_loss")]
    assert curve == pytest.approx(entry.refits()[0]["history"]["val_loss"])
    assert not (folder / "results" / "trials").exists()  # the purge came last
