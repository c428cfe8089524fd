"""What is not loaded before the config has been checked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runner_samples import REPOSITORY

HEAVY = {"tensorflow", "keras", "keras_tuner", "sklearn", "matplotlib"}
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
    modules = "runner.compose, runner.cli, runner.settings, runner.fingerprint, runner.data.sources, runner.targets"
    done = python(tmp_path, f"import {modules}, history; {REPORT}")
    assert HEAVY & set(json.loads(done.stdout)) == set()


def test_a_heavy_room_does_load_one(tmp_path: Path) -> None:
    """So that the fence is seen to be able to fail."""
    done = python(tmp_path, f"import runner.report.plots; {REPORT}")
    assert "matplotlib" in json.loads(done.stdout)


@pytest.mark.parametrize(
    "arguments", [["+experiment=digits", "threads=0"], ["+experiment=nothing"], ["experiment=mixed", "--cfg", "job"]]
)
def test_a_whole_check_of_a_config_loads_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    """Through the real door, from the arguments to the message."""
    code = (
        "import runpy, sys\n"
        "sys.argv[0] = 'runner'\n"
        "try:\n    runpy.run_module('runner', run_name='__main__')\n"
        f"except SystemExit as end:\n    print(end.code or 0)\n{REPORT}"
    )
    done = python(tmp_path, code, *arguments)
    *_, exit_code, loaded = done.stdout.splitlines()
    assert exit_code == ("0" if "--cfg" in arguments else "2")
    assert HEAVY & set(json.loads(loaded)) == set()
    assert {"runner", "hydra"} <= set(json.loads(loaded))
