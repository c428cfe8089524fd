"""What is not loaded before the config has been checked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runner_samples import REPOSITORY

HEAVY = {"tensorflow", "keras", "keras_tuner", "sklearn", "matplotlib", "optuna"}
REPORT = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


def python(folder: Path, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def test_the_import_of_the_front_rooms_loads_nothing_heavy(tmp_path: Path) -> None:
    """Nor does that of the history."""
    modules = (
        "runner.config.compose, runner.cli, runner.config.schema, runner.run.identity, "
        "runner.data.sources, runner.config.targets"
    )
    done = python(tmp_path, f"import {modules}, history; {REPORT}")
    assert HEAVY & set(json.loads(done.stdout)) == set()


def test_a_heavy_room_does_load_one(tmp_path: Path) -> None:
    """So that the fence is seen to be able to fail."""
    done = python(tmp_path, f"import runner.training.evaluate; {REPORT}")
    assert "sklearn" in json.loads(done.stdout)


def through_the_door(folder: Path, *arguments: str) -> tuple[list[str], str, set[str]]:
    """What `runner ...` prints, its exit code, and the modules that it has loaded."""
    code = (
        "import runpy, sys\n"
        "sys.argv[0] = 'runner'\n"
        "try:\n    runpy.run_module('runner', run_name='__main__')\n"
        f"except SystemExit as end:\n    print(end.code or 0)\n{REPORT}"
    )
    *said, exit_code, loaded = python(folder, code, *arguments).stdout.splitlines()
    return said, exit_code, set(json.loads(loaded))


@pytest.mark.parametrize(
    "arguments", [["+experiment=digits", "threads=0"], ["+experiment=nothing"], []]
)
def test_a_whole_check_of_a_config_loads_nothing_heavy(
    tmp_path: Path, arguments: list[str]
) -> None:
    """Through the real door, from the arguments to the message."""
    _, exit_code, loaded = through_the_door(tmp_path, *arguments)
    assert exit_code == "2"
    assert HEAVY & loaded == set()
    assert {"runner", "hydra"} <= loaded


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["experiment=mixed", "--cfg", "job"], "  kind: random"),
        (["+experiment=digits", "--info", "defaults"], "| experiment/digits "),
        (["--hydra-help"], "--hydra-help : Hydra's help"),
        (["-sc", "install=bash"], "hydra_bash_completion()"),
    ],
)
def test_what_hydra_answers_loads_nothing_heavy(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    """Its own options work, and leave nothing in the folder."""
    said, exit_code, loaded = through_the_door(tmp_path, *arguments)
    assert exit_code == "0"
    assert any(line.startswith(words) for line in said), said
    assert HEAVY & loaded == set()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_do_not_even_load_hydra(tmp_path: Path, argument: str) -> None:
    """They are to be there at once."""
    _, exit_code, loaded = through_the_door(tmp_path, argument)
    assert exit_code == "0"
    assert {"hydra", "omegaconf", "yaml", *HEAVY} & loaded == set()
