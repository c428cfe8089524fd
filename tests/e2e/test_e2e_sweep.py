"""A sweep goes on until all its jobs have ended well; until then, what has ended is taken over."""

from pathlib import Path

import pytest
from e2e_samples import history, run, write

pytestmark = pytest.mark.e2e

CODE = """
import os
import signal
from pathlib import Path

import keras


class Fault(keras.callbacks.Callback):
    def __init__(self, seed):
        self.seed = seed

    def on_train_end(self, logs=None):
        if self.seed == 2 and Path("kills").exists():
            Path("kills").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seed == 3 and Path("fails").exists():
            raise RuntimeError("not today")


def note(run):
    with Path("noted").open("a") as file:
        file.write(f"{run.run_id}\\n")
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /data: iris, /tuner: random, /model: linear, _self_]
fit: {epochs: 1}
tuner: {max_trials: 1}
validation: {repeats: 1, callbacks: {fault: {_target_: my_code.Fault, seed: "${seed}"}}}
hooks: {note: {_target_: my_code.note}}
"""


def test_a_sweep_that_is_killed_or_fails_does_not_repeat_what_has_ended(tmp_path: Path) -> None:
    """Each job is stored once, and its hooks run once; then the same command is a new sweep."""
    write(tmp_path, my_code_py=CODE, conf__experiment__mine_yaml=EXPERIMENT)
    command = ["-m", "+experiment=mine", "seed=1,2,3"]
    (tmp_path / "kills").touch()
    (tmp_path / "fails").touch()
    assert run(tmp_path, *command).exit_code == -9
    [first] = history(tmp_path, "list")
    done = run(tmp_path, *command)
    assert done.exit_code == 1, done.err
    rows = [line for line in done.out.splitlines() if "seed=" in line]
    assert [f"{first['id']} (taken over)" in row for row in rows] == [True, False, False]
    (tmp_path / "fails").unlink()
    done = run(tmp_path, *command)
    assert done.exit_code == 0, done.err
    rows = [line for line in done.out.splitlines() if "seed=" in line]
    assert ["(taken over)" in row for row in rows] == [True, True, False]
    stored = history(tmp_path, "list", "--status", "complete")
    assert [entry["seed"] for entry in stored] == [1, 2, 3]
    assert stored[0] == first
    noted = (tmp_path / "noted").read_text().split()
    assert [noted.count(entry["run_id"]) for entry in stored] == [1, 1, 2]  # after a failure too
    assert not list(tmp_path.glob("results/runs/*.open"))
    done = run(tmp_path, *command)
    assert "(taken over)" not in done.out
    assert len(history(tmp_path, "list", "--status", "complete")) == 6
