"""A run that is interrupted stops at once, and is resumed by the same command. That it ends as if
nothing had been is in test_killed.py, for every tuner.
"""

import json
import os
import signal
from pathlib import Path

import pytest
from e2e_samples import REPOSITORY, documents, finish, run, run_inline, start, wait_until, write

pytestmark = pytest.mark.e2e

RESUMES = "interrupted; finished trials are kept: re-run the same command to resume"
CODE = """
import os
import signal
import time

import keras


class Slow(keras.callbacks.Callback):
    '''Gives a signal the time to arrive within a trial.'''

    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.1)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)


class Twice(keras.callbacks.Callback):
    '''Gets a second Ctrl-C while it cleans up after the first.'''

    def on_epoch_end(self, epoch, logs=None):
        try:
            interrupt()
        finally:
            try:
                open("no such file")
            except OSError:
                os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)


class Compiled(keras.callbacks.Callback):
    '''Does what compiled code does with any exception of Python's.'''

    def on_epoch_end(self, epoch, logs=None):
        try:
            interrupt()
        except BaseException as error:
            raise RuntimeError("initialization failed") from error


def build(num_classes, units, rate):
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(num_classes, "softmax")]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.Adam(rate)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=True)
    return model
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /data: iris, _self_]
fit: {epochs: 3}
baselines: none
callbacks: {slow: {_target_: my_code.Slow}}
model:
  _target_: my_code.build
  units: {hp: Int, min_value: 4, max_value: 8, step: 2}
  rate: {hp: Float, min_value: 1e-3, max_value: 1e-1, sampling: log}
pipelines:
  main: {tuner: {kind: grid, max_trials: 6}}
"""


def started(folder: Path) -> dict[str, str]:
    """When each trial that has ended was started."""
    paths = folder.glob("results/trials/slow-main/*/trial_*/result.json")
    results = [json.loads(path.read_bytes()) for path in paths]
    return {result["trial_id"]: result["started"] for result in results}


def test_a_signal_ends_a_search_at_once_and_the_same_command_finishes_it(tmp_path: Path) -> None:
    """With the exit code of the signal, no entry, and a word of how to resume. In the end there is
    one complete entry; no trial that had ended ran again, and none failed by the signal.
    """
    write(tmp_path, my_code_py=CODE, conf__experiment__slow_yaml=EXPERIMENT)
    process = start(tmp_path, "+experiment=slow")
    wait_until(lambda: len(started(tmp_path)) >= 2, process)
    process.send_signal(signal.SIGINT)
    done = finish(process, exit_code=128 + signal.SIGINT)
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err.splitlines()[-1] == RESUMES
    assert not (tmp_path / "results" / "history.json").exists()
    before = started(tmp_path)
    assert len(before) <= 5  # some may end while the signal is on its way
    done = run_inline(tmp_path, "+experiment=slow")
    assert "resuming after trial" in done.err
    [entry] = documents(tmp_path)
    assert entry["status"] == "complete"
    assert entry["search"]["trials"] == {"total": 6, "completed": 6, "failed": 0}
    rows = {row["trial_id"]: row["started"] for row in entry.trials()}
    assert before.items() <= rows.items()
    assert not (tmp_path / "results" / "trials").exists()


STOPPER = """
import importlib.abc, os, signal, sys

class Stopper(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == os.environ["STOP_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Stopper())
"""


@pytest.mark.parametrize(
    "module", ["runner.config.choices", "hydra", "runner.cli", "tensorflow.python.framework.ops"]
)
@pytest.mark.nightly
def test_a_signal_while_something_is_imported_is_told_in_a_sentence(
    tmp_path: Path, module: str
) -> None:
    """Of the door itself, or of TensorFlow, whose compiled code makes another error of it."""
    write(tmp_path, site__sitecustomize_py=STOPPER)
    path = os.pathsep.join([str(tmp_path / "site"), str(REPOSITORY)])
    command = ["+experiment=digits", "debug=false", "executor=inline"]
    done = run(tmp_path / "user", *command, exit_code=130, PYTHONPATH=path, STOP_AT=module)
    assert (done.out, done.err.splitlines()) == ("", [RESUMES])


@pytest.mark.parametrize("name", ["Twice", "Compiled"])
@pytest.mark.nightly
def test_a_signal_ends_a_run_whatever_becomes_of_the_exception(tmp_path: Path, name: str) -> None:
    """That it becomes within a trial: a second one while it cleans up changes nothing; nothing is
    recorded as failed.
    """
    text = EXPERIMENT.replace("my_code.Slow", f"my_code.{name}")
    write(tmp_path, my_code_py=CODE, conf__experiment__slow_yaml=text)
    done = run_inline(tmp_path, "+experiment=slow", exit_code=130)
    assert done.err.splitlines()[-1] == RESUMES
    assert "Traceback" not in done.err
    assert "failed" not in done.err
    assert started(tmp_path) == {}
    assert not (tmp_path / "results" / "history.json").exists()
