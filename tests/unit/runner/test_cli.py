"""What the command line says without Hydra."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from runner_samples import REPOSITORY, SHIPPED

from runner import __version__
from runner.config.choices import answer, choices, experiments


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
        "tuner/._random.yaml": "\0",
        "tuner/\x1b[31m\udcff.yaml": "kind: random\n",
        "experiment/odd.yaml": "# \x1b[31mred\n# Odd.\n",
    }.items():
        (tmp_path / "conf" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / path).write_text(text, encoding="utf-8")
    (tmp_path / "conf" / "experiment" / ".#mine.yaml").symlink_to("me@host.4321:1764450000")
    (tmp_path / "conf" / "experiment" / "lost.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "conf" / "experiment" / "folder.yaml").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "conf"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["+experiment=digits", "--help"]])
def test_help_lists_shipped_and_own_experiments_and_choices(
    own: Path, arguments: list[str]
) -> None:
    """Wherever it is asked for; an experiment with the first comment that describes it. The lock of
    an editor is none, nor is a link that leads nowhere.
    """
    lines = str(answer(arguments)).splitlines()
    assert {
        "  mine      What it {is} for.",
        "  bare",
        "  odd       Odd.",
        "  deep/one  Of a sub-folder.",
        "  optimizer   adam",
        "  tuner       bayesian, grid, hyperband, quick, random, tpe",
    } <= {*lines}
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in SHIPPED)
    assert {"lost", "folder"}.isdisjoint(choices("experiment"))


def test_a_users_choice_shadows_the_shipped_one(own: Path) -> None:
    """As Hydra finds it."""
    assert choices("tuner")["random"].resolve() == own / "tuner" / "random.yaml"
    groups = str(answer(["--help"])).partition("\nChoices")[2]
    assert all(f"\n  {group} " in groups for group in ("optimizer", "tuner", "data"))


CHECK = "-m runner +experiment=digits only=[mlp] mode=check"
LIST = "-m history list --json"
STREAMS = ["| true", "2>&1 | true", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize(
    ("command", "streams"),
    [
        *product(["-m runner --help", "-m runner --cfg job", LIST], STREAMS),
        *product([CHECK], ["2>&1 | true", "2>&-", "<&- >&- 2>&-"]),  # which starts workers
    ],
)
def test_what_nobody_reads_ends_no_command(tmp_path: Path, command: str, streams: str) -> None:
    """Cut off by `head`, say, or closed: all ends as if it had been read, without a trace."""
    (tmp_path / "results").mkdir()
    entries = {
        str(n): {"id": f"mlp-{n}", "status": "failed", "pipeline": "x" * 9999} for n in range(9)
    }
    (tmp_path / "results" / "history.json").write_text(json.dumps({"entries": entries}))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} {command} {streams}"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize("command", ["-m runner --cfg job", CHECK])
def test_a_full_disk_for_what_is_said_is_one_line(tmp_path: Path, command: str) -> None:
    """It is an error, since it may be all that was asked for."""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} {command} > /dev/full"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert (done.returncode, done.stderr.count("No space left"), "Trace" in done.stderr) == (
        1,
        1,
        False,
    ), done.stderr


def test_letters_that_a_terminal_has_not_end_no_command(tmp_path: Path) -> None:
    """They are spelt out."""
    code = "from foundation import streams; streams.guard(); print('\\u2500\\udcff')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"},
    )
    assert (done.stdout, done.stderr) == (b"\\u2500\\udcff\n", b"")


def test_a_file_of_the_user_named_as_one_of_our_packages_is_left_alone(tmp_path: Path) -> None:
    """Ours are imported before the user's folder is on the path."""
    (tmp_path / "history.py").write_text("raise SystemExit('not this one')")
    with_ours = f"import sys; sys.path.append({str(REPOSITORY)!r}); sys.argv[1:] = ['--cfg', 'job']"
    code = f"{with_ours}; import runpy; runpy.run_module('runner', run_name='__main__')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


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
