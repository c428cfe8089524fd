"""Wrong input: exit code 2, one clear message, nothing started, nothing left."""

import os
from pathlib import Path

import pytest
from e2e_samples import run, run_inline

pytestmark = pytest.mark.e2e

DIGITS = "+experiment=digits"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([DIGITS, "reproduce=digits"], "leave out the experiment"),
        ([], "no experiment was given; add +experiment=NAME. Experiments:"),
        (["+experiment=digts"], "unknown experiment 'digts'; did you mean 'digits'?"),
        (["experiment=digts"], "unknown experiment 'digts'; did you mean 'digits'?"),
        ([DIGITS, "sed=1"], "sed=1 on the command line: unknown key 'sed'; did you mean 'seed'?"),
        ([DIGITS, "tuner.max_trals=3"], "unknown key 'max_trals'; did you mean 'max_trials'?"),
        (
            [DIGITS, "pipelines.mpl.fit.epochs=3"],
            "pipelines.mpl: unknown pipeline 'mpl'; did you mean 'mlp'?",
        ),
        (
            [DIGITS, "task=clasification"],
            "unknown task 'clasification'; did you mean 'classification'?",
        ),
        ([DIGITS, "tuner=bayes"], "unknown tuner 'bayes'"),
        (
            [DIGITS, "tuner@pipelines.cnn.tuner=hyperbond"],
            "unknown tuner 'hyperbond'; did you mean 'hyperband'?",
        ),
        ([DIGITS, "executor=ray"], "unknown executor 'ray'"),
        ([DIGITS, "executor=dask"], "executor.address: a value is missing"),
        ([DIGITS, "executor=dask", "executor.address=no.json"], "no.json is neither an address"),
        (
            [DIGITS, "objective.direction=min"],
            "objective.direction=min on the command line: val_accuracy is better when higher: max",
        ),
        (
            [DIGITS, "paths.root=file/root"],
            "paths.root=file/root on the command line: cannot write to",
        ),
        (
            [DIGITS, "only=[cmn]"],
            "only=[cmn] on the command line: unknown pipeline 'cmn'; did you mean 'cnn'?",
        ),
        ([DIGITS, "model.dropout.max_value=-1"], "max_value"),
        ([DIGITS, "data.split.validation=0.9"], "leave no training rows"),
        ([DIGITS, "fit.epochs="], "fit.epochs"),
        ([DIGITS, "fit.epochs=[1"], "'[1'"),
        (["+experiment=lost"], " does not exist; paths are relative"),
        (["+experiment=half"], "tuner: is required"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_started(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    """Said in words, without a trace; the folder is as it was."""
    (tmp_path / "file").touch()
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    head = "# @package _global_\ndefaults: [/task: classification, /model: mlp, _self_]\n"
    (tmp_path / "conf" / "experiment" / "half.yaml").write_text(
        f"{head}data: {{kind: sklearn, name: iris}}\n"
    )
    lost = f"{head}tuner: {{kind: random}}\ndata: {{kind: npz, path: no.npz}}\n"
    (tmp_path / "conf" / "experiment" / "lost.yaml").write_text(lost)
    done = run(tmp_path, *arguments)
    assert (done.exit_code, done.out) == (2, "")
    assert words in done.err
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "file"]


@pytest.mark.parametrize(
    "output",
    [
        ["hydra.output_subdir=.hydra"],
        ["hydra.run.dir=kept", "hydra.output_subdir=.hydra"],
        ["hydra.run.dir=kept/new/er", "hydra.output_subdir=a/b"],
    ],
)
def test_a_mistake_that_only_the_data_shows_leaves_no_folder(
    tmp_path: Path, output: list[str]
) -> None:
    """Nothing was started, though Hydra had made one; what was there before stays."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "kept" / ".hydra").mkdir(parents=True)
    (tmp_path / "kept" / ".hydra" / "mine.yaml").write_text("mine")
    (tmp_path / "kept" / "run.log").write_text("mine")
    table = "data={kind: table, path: rows.csv, target: c}"
    done = run_inline(tmp_path, DIGITS, "only=[mlp]", table, *output)
    assert done.exit_code == 2
    assert "has no column 'c'" in done.err
    assert not (tmp_path / "results").exists()
    kept = [path.relative_to(tmp_path / "kept") for path in (tmp_path / "kept").rglob("*")]
    assert sorted(map(str, kept)) == [".hydra", ".hydra/mine.yaml", "run.log"]
    assert (tmp_path / "kept" / "run.log").read_text() == "mine"


@pytest.mark.parametrize("mode", ["run", "check"])
def test_all_that_is_wrong_with_the_data_of_all_pipelines_is_told_at_once(
    tmp_path: Path, mode: str
) -> None:
    """A run and mode=check say the same: each column, each file, what is no file."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n2,zz\n3,4\n4,5\n")
    os.mkfifo(tmp_path / "pipe.csv")
    table = "data={kind: table, path: rows.csv, target: c, columns: {d: number}}"
    other = "+pipelines.cnn.data={path: pipe.csv}"
    done = run_inline(tmp_path, DIGITS, table, other, f"mode={mode}")
    assert (done.exit_code, done.out) == (2, "")
    for words in (
        "rows.csv has no column 'c'",
        "rows.csv has no column 'd'",
        "column 'b': 'zz' is not a number, unlike the other values",
        "pipe.csv is not a regular file",
    ):
        assert done.err.count(words) == 1
    assert not (tmp_path / "results" / "runs").exists()
