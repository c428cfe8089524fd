"""What hooks hand on: a run as TensorBoard and MLflow read it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from foundation import files
from history import registry
from history.manager import COMMON_ARTEFACTS
from runner.config.schema import Run
from runner.hooks.tensorboard import write
from runner.run.experiment import RunSummary, run_hooks
from runner.run.pipeline import Done
from runner.workers.executors import Workers

# TensorBoard goes without TensorFlow, whose import takes as long as all that is tested here
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))

BEGAN = 1_796_033_169.0
TRIALS = [
    {
        "trial_id": "0000",
        "status": "COMPLETED",
        "score": 0.75,
        "values": {"model.units": 8, "model.kind": "a", "size[0]": 1},
        "started": "2026-11-30T10:06:09+00:00",
        "seconds": 4.0,
        "history": [{"loss": [0.5, 0.25], "val_loss": [0.75, None]}],
    },
    {
        "trial_id": "0001",
        "status": "FAILED",
        "score": None,
        "values": {"model.units": 16, "model.kind": "b"},
        "started": None,
        "seconds": None,
        "history": [],
    },
]
REFITS = [
    {
        "seed": 1,
        "seconds": 2.0,
        "validation": {"accuracy": 0.5},
        "test": {"accuracy": None},
        "history": {"loss": [0.125]},
    }
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    """A run of two pipelines; the second has failed before its search."""
    root, made = tmp_path_factory.mktemp("exports") / "results", tmp_path_factory.mktemp("made")
    manager = registry.manager("classification", root)
    contents = dict.fromkeys((*COMMON_ARTEFACTS, *manager.artefacts), b"x")
    contents |= {"trials": files.to_json(TRIALS), "history": files.to_json(REFITS)}
    for name, content in contents.items():
        (made / f"{name}.x").write_bytes(content)
    document = {
        "run_id": "r1",
        "experiment": "digits",
        "search": {"tuner": "random", "objective": {"name": "val_accuracy"}},
        "best": {"values": {"model.units": 8}},
        "validation": {"metrics": {"accuracy": 0.5}, "repeats": 1},
    }
    whole = manager.add(
        {**document, "pipeline": "mlp", "status": "complete"},
        {name: made / f"{name}.x" for name in contents},
    )
    failed = manager.add({**document, "pipeline": "cnn", "status": "failed"}, {})
    ended = [Done(entry.pipeline, manager, entry) for entry in (whole, failed)]
    return RunSummary("r1", root, [*ended, Done("lost", manager)])


def events(folder: Path) -> EventAccumulator:
    """What TensorBoard reads of a folder."""
    return EventAccumulator(str(folder)).Reload()


def scalars(folder: Path, tag: str) -> list[tuple[int, float, float]]:
    """The points of a curve: epoch, value, and seconds since the run began."""
    found = events(folder).Tensors(tag)
    return [
        (each.step, float(each.tensor_proto.float_val[0]), each.wall_time - BEGAN) for each in found
    ]


def test_tensorboard_shows_curves_and_hyperparameters(run: RunSummary, tmp_path: Path) -> None:
    """Each training in a folder of its own, at the time at which it was; what is not finite, and
    a pipeline without trainings, has nothing to show.
    """
    write(run, str(tmp_path / "logs"))
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    (logs,) = (tmp_path / "logs").iterdir()
    assert logs.name == run.stored[0].id
    assert sorted(path.name for path in logs.iterdir()) == ["refit-1", "trial-0000", "trial-0001"]
    trial = logs / "trial-0000"
    assert scalars(trial / "train", "epoch_loss") == [(0, 0.5, 2.0), (1, 0.25, 4.0)]
    assert scalars(trial / "validation", "epoch_loss") == [(0, 0.75, 2.0)]
    assert scalars(trial, "score") == [(0, 0.75, 4.0)]
    assert scalars(logs / "refit-1", "validation.accuracy")[0][1] == 0.5
    for name, kind, status in (
        ("trial-0000", "a", api_pb2.STATUS_SUCCESS),
        ("trial-0001", "b", api_pb2.STATUS_FAILURE),
    ):
        read = events(logs / name).summary_metadata
        tags = metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG
        begun, end = (read[tag].plugin_data.content for tag in tags)
        values = metadata.parse_session_start_info_plugin_data(begun).hparams
        assert values["model.kind"].string_value == kind
        assert metadata.parse_session_end_info_plugin_data(end).status == status


def test_tensorboard_has_an_entry_once(run: RunSummary, tmp_path: Path) -> None:
    """However often a run that is continued calls its hooks."""
    write(run, str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    write(run, str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def hooked(run: RunSummary, **arguments: Any) -> RunSummary:
    """The run, after the hook mlflow."""
    given = {"_target_": "runner.hooks.mlflow.log", "log_models": False, **arguments}
    run_hooks(Run.model_validate({"hooks": {"mlflow": given}}), run, Workers(Run()))
    return run


def test_mlflow_has_a_run_for_each_pipeline_and_below_it_its_trainings(
    run: RunSummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a store below the root, once, and anew where the first attempt was cut short; a name that
    MLflow refuses is changed.
    """
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert hooked(run).failures == []
    client = mlflow.MlflowClient(f"sqlite:///{run.root}/mlflow/mlflow.db")
    (of,) = (each for each in client.search_experiments() if each.name == "digits")

    def runs() -> dict[str, Any]:
        return {each.info.run_name: each for each in client.search_runs([of.experiment_id])}

    first, (whole, failed) = runs(), run.stored
    assert first.keys() == {whole.id, failed.id, "trial-0000", "trial-0001", "refit-1"}
    parent, trial = first[whole.id], first["trial-0000"]
    assert parent.data.metrics == {"validation.accuracy": 0.5}
    assert parent.data.params["model.units"] == "8"
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert trial.data.params == {"model.units": "8", "model.kind": "a", "size_0_": "1"}
    curve = client.get_metric_history(trial.info.run_id, "loss")
    assert [(each.step, each.value) for each in curve] == [(0, 0.5), (1, 0.25)]
    assert (trial.info.start_time, trial.info.end_time) == (BEGAN * 1000, BEGAN * 1000 + 4000)
    statuses = {name: each.info.status for name, each in first.items()}
    assert {name for name, status in statuses.items() if status == "FAILED"} == {
        failed.id,
        "trial-0001",
    }
    assert "trials.x" in {each.path for each in client.list_artifacts(parent.info.run_id)}

    assert hooked(run).failures == []
    assert {each.info.run_id for each in runs().values()} == {
        each.info.run_id for each in first.values()
    }
    client.delete_tag(parent.info.run_id, "runner.whole")
    hooked(run)
    assert runs().keys() == first.keys()
    assert runs()[whole.id].info.run_id != parent.info.run_id


def test_what_mlflow_cannot_take_is_told_and_the_entries_stay(
    run: RunSummary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line, without a trace."""
    (tmp_path / "file").touch()
    uri = f"sqlite:///{tmp_path}/file/mlflow.db"
    failed = hooked(RunSummary("r1", run.root, run.pipelines), tracking_uri=uri)
    (said,) = failed.failures
    assert said.startswith("hooks.mlflow: cannot log to MLflow: ")
    assert str(tmp_path / "file") in said
    assert said.endswith(
        "the entries are kept: fix that and run the same command again to log them"
    )
    assert failed.exit_code == 1
    assert not any(record.exc_info for record in caplog.records)
    for done in run.pipelines[:2]:
        assert done.entry is not None
        done.manager.verify(done.entry)


def test_a_hook_whose_package_is_missing_is_refused_before_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the command that installs it."""
    from runner.workers import tasks

    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "runner.hooks.mlflow", raising=False)
    hooks: Mapping[str, Any] = {"mlflow": {"_target_": "runner.hooks.mlflow.log"}}
    (problem,) = tasks.check_hooks(Run.model_validate({"hooks": hooks}))
    assert "pip install '.[mlflow]'" in str(problem)
