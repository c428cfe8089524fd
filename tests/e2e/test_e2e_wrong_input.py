"""Wrong input: exit code 2, one clear message, nothing started, nothing left."""

from pathlib import Path

import pytest
from e2e_samples import run

pytestmark = pytest.mark.e2e

DIGITS = "+experiment=digits"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no experiment was given; add +experiment=NAME. Experiments:"),
        (["+experiment=digts"], "unknown experiment 'digts'; did you mean 'digits'?"),
        (["experiment=digts"], "unknown experiment 'digts'; did you mean 'digits'?"),
        ([DIGITS, "sed=1"], "sed=1 on the command line: unknown key 'sed'; did you mean 'seed'?"),
        (
            [DIGITS, "tuner.max_trals=3"],
            "tuner.max_trals=3 on the command line: unknown key 'max_trals'; did you mean 'max_trials'?",
        ),
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
        (["+experiment=lost"], "data.path: there is no file"),
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


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """One line each, with the argument that is wrong."""
    done = run(
        tmp_path,
        DIGITS,
        "tuner.max_trals=4",
        "fit.epochs=0",
        "pipelines.mpl.fit.epochs=3",
        "threads=0",
        "only=[x]",
    )
    lines = done.err.splitlines()
    assert len(lines) == 5
    for key in ("tuner.max_trals", "fit.epochs", "pipelines.mpl", "threads", "only"):
        assert sum(line.startswith(f"error: {key}") for line in lines) == 1, key
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tuner", ["random", "grid", "bayesian", "hyperband"])
def test_a_tuner_is_chosen_for_a_pipeline_without_a_plus(tmp_path: Path, tuner: str) -> None:
    """Whether or not the experiment spells the choice out: nothing is wrong here but the
    threads.
    """
    chosen = (f"tuner@pipelines.mlp.tuner={tuner}", f"tuner@pipelines.cnn.tuner={tuner}")
    done = run(tmp_path, DIGITS, *chosen, "threads=0")
    assert (done.exit_code, done.err) == (
        2,
        "error: threads=0 on the command line: must be at least 1, not 0\n",
    )


def test_a_mistake_that_only_the_data_shows_leaves_no_output_folder(tmp_path: Path) -> None:
    """Nothing was started, though Hydra had made one."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    done = run(tmp_path, DIGITS, "only=[mlp]", "data={kind: table, path: rows.csv, target: c}")
    assert done.exit_code == 2
    assert "unknown column 'c'" in done.err
    assert not (tmp_path / "results" / "runs").exists()
