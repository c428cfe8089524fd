"""Wrong input: exit code 2, one clear message, nothing started, nothing left. More of it, without a
process for each, is in tests/unit/runner/test_runner_wrong_configs.py.
"""

import os
from pathlib import Path

import pytest
from e2e_samples import refused, run, write

pytestmark = pytest.mark.e2e

DIGITS = "+experiment=digits"
HEAD = "# @package _global_\ndefaults: [/task: classification, /model: mlp, _self_]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's, with a file and two experiments that lack something."""
    write(
        tmp_path,
        rows_csv="a,b\n1,2\n2,zz\n3,4\n4,5\n",
        conf__experiment__half_yaml=f"{HEAD}data: {{kind: sklearn, name: iris}}\n",
        conf__experiment__lost_yaml=f"{HEAD}tuner: {{kind: random}}\n"
        "data: {kind: npz, path: no.npz}\n",
    )
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no experiment was given; add +experiment=NAME. Experiments:"),
        (["experiment=digts"], "unknown experiment 'digts'; did you mean 'digits'?"),
        ([DIGITS, "executor=ray"], "unknown executor 'ray'"),
        ([DIGITS, "executor=dask"], "executor.address: a value is missing"),
        ([DIGITS, "executor=dask", "executor.address=no.json"], "no.json is neither an address"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_started(
    folder: Path, arguments: list[str], words: str
) -> None:
    """In words, without a trace; the folder is as it was."""
    done = run(folder, *arguments, exit_code=2)
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert words in done.err
    assert "Traceback" not in done.err
    assert {path.name for path in folder.iterdir()} == {"conf", "rows.csv"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([DIGITS, "reproduce=digits"], "leave out the experiment"),
        (["+experiment=digts"], "unknown experiment 'digts'; did you mean 'digits'?"),
        ([DIGITS, "task=clasification"], "unknown task 'clasification'; did you mean"),
        ([DIGITS, "tuner@pipelines.cnn.tuner=hyperbond"], "did you mean 'hyperband'?"),
        ([DIGITS, "paths.root=rows.csv/root"], "paths.root=rows.csv/root on the command line: can"),
        ([DIGITS, "only=[cmn]"], "unknown pipeline 'cmn'; did you mean 'cnn'?"),
        ([DIGITS, "data.split.validation=0.9"], "leave no training rows"),
        (["+experiment=lost"], " does not exist; paths are relative"),
        (["+experiment=half"], "tuner: is required"),
    ],
)
@pytest.mark.nightly
def test_what_is_wrong_is_said_in_words(folder: Path, arguments: list[str], words: str) -> None:
    assert words in refused(folder, *arguments)
    assert {path.name for path in folder.iterdir()} == {"conf", "rows.csv"}


@pytest.mark.parametrize(
    "output",
    [
        ["hydra.run.dir=kept", "hydra.output_subdir=.hydra"],
        pytest.param(["hydra.output_subdir=.hydra"], marks=pytest.mark.nightly),
        pytest.param(
            ["hydra.run.dir=kept/new/er", "hydra.output_subdir=a/b"], marks=pytest.mark.nightly
        ),
    ],
)
def test_a_mistake_that_only_the_data_shows_leaves_no_folder(
    folder: Path, output: list[str]
) -> None:
    """Nothing was started, though Hydra had made one; what was there before stays."""
    kept = {Path("run.log"), Path(".hydra/mine.yaml")}
    for path in kept:
        (folder / "kept" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "kept" / path).write_text("mine")
    table = "data={kind: table, path: rows.csv, target: c}"
    assert "has no column 'c'" in refused(folder, DIGITS, "only=[mlp]", table, *output)
    assert not (folder / "results").exists()
    files = [path for path in (folder / "kept").rglob("*") if path.name != ".hydra"]
    assert {path.relative_to(folder / "kept") for path in files} == kept
    assert (folder / "kept" / "run.log").read_text() == "mine"


@pytest.mark.parametrize("mode", ["run", pytest.param("check", marks=pytest.mark.nightly)])
def test_all_that_is_wrong_with_the_data_of_all_pipelines_is_told_at_once(
    folder: Path, mode: str
) -> None:
    """A run and mode=check say the same: each column, each file, what is no file."""
    os.mkfifo(folder / "pipe.csv")
    table = "data={kind: table, path: rows.csv, target: c, columns: {d: number}}"
    other = "+pipelines.cnn.data={path: pipe.csv}"
    message = refused(folder, DIGITS, table, other, f"mode={mode}")
    for words in (
        "rows.csv has no column 'c'",
        "rows.csv has no column 'd'",
        "column 'b': 'zz' is not a number, unlike the other values",
        "pipe.csv is not a regular file",
    ):
        assert message.count(words) == 1
    assert not (folder / "results" / "runs").exists()
