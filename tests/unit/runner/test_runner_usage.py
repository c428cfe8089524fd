"""What the command line says without Hydra."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runner_samples import REPOSITORY, SHIPPED

from runner import __version__
from runner.config.choices import answer, choices, experiments, groups


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own conf folder, in the current folder."""
    for path, text in {
        "experiment/mine.yaml": "# @package _global_\n# conf/experiment/mine.yaml\n"
        "# What it {is} for.\n# More.\n",
        "experiment/bare.yaml": "seed: 1  # no description\n",
        "experiment/deep/one.yaml": "# Of a sub-folder.\n",
        "optimizer/adam.yaml": "a: 1\n",
        "tuner/quick.yaml": "kind: random\n",
        "tuner/random.yaml": "kind: random\n",
    }.items():
        (tmp_path / "conf" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / path).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "conf"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["+experiment=digits", "--help"]])
def test_help_lists_shipped_and_own_experiments_and_choices(
    own: Path, arguments: list[str]
) -> None:
    """Wherever it is asked for; an experiment with the first comment that describes it."""
    lines = str(answer(arguments)).splitlines()
    assert {
        "  mine      What it {is} for.",
        "  bare",
        "  deep/one  Of a sub-folder.",
        "  optimizer   adam",
        "  tuner       bayesian, grid, hyperband, quick, random",
    } <= {*lines}
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in SHIPPED)


def test_a_users_choice_shadows_the_shipped_one(own: Path) -> None:
    """As Hydra finds it."""
    assert choices("tuner")["random"].resolve() == own / "tuner" / "random.yaml"
    assert {"experiment", "optimizer", "tuner", "data"} <= set(groups())


def test_the_help_may_be_cut_off() -> None:
    """By `head`, say: without a trace."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "runner", "--help"]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, cwd=REPOSITORY, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "arguments", [[], ["+experiment=digits"], ["--cfg", "job"], ["--hydra-help"], ["-m"]]
)
def test_all_else_goes_on_to_hydra(arguments: list[str]) -> None:
    """Nothing is answered here, but for our own version."""
    assert answer(arguments) is None
    assert answer(["--version", *arguments]) == f"keras-experiment-runner {__version__}"


def test_every_shipped_experiment_says_what_it_is() -> None:
    """In the first line of its file that is a comment."""
    listed = [line.split(maxsplit=1) for line in experiments().splitlines()]
    assert [name for name, *_ in listed] == SHIPPED
    assert all(len(words) == 2 for words in listed)
