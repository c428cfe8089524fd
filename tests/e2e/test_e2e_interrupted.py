"""A run that is interrupted stops at once, and is resumed by the same command. That it ends as if
nothing had been is in test_killed.py, for every tuner.
"""

import functools
import json
import os
import signal
from pathlib import Path

import pytest
from e2e_samples import REPOSITORY, entries, run, run_inline, start, stop, trials, wait_until, write

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


def has_ended(folder: Path, count: int) -> bool:
    return len(started(folder)) >= count


def test_a_signal_ends_a_search_at_once_and_the_same_command_finishes_it(tmp_path: Path) -> None:
    """With the exit code of the signal, no entry, and a word of how to resume. In the end there is
    one complete entry; no trial that had ended ran again, and none failed by the signal.
    """
    write(tmp_path, my_code_py=CODE, conf__experiment__slow_yaml=EXPERIMENT)
    before: dict[str, str] = {}
    for count, number in ((2, signal.SIGTERM), (4, signal.SIGINT)):
        process = start(tmp_path, "+experiment=slow")
        wait_until(functools.partial(has_ended, tmp_path, count), process)
        done = stop(process, number)
        assert (done.exit_code, done.out) == (128 + number, "")
        assert "Traceback" not in done.err
        assert "re-run the same command to resume" in done.err.splitlines()[-1]
        assert not (tmp_path / "results" / "history.json").exists()
        now = started(tmp_path)
        assert len(now) <= count + 3  # some may end while the signal is on its way
        assert before.items() <= now.items()
        before = now
    done = run(tmp_path, "+experiment=slow")
    assert done.exit_code == 0, done.err
    assert "resuming after trial" in done.err
    [entry] = entries(tmp_path).values()
    assert entry["status"] == "complete"
    assert entry["search"]["trials"] == {"total": 6, "completed": 6, "failed": 0}
    rows = {row["trial_id"]: row["started"] for row in trials(tmp_path, entry)}
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
    folder, arguments = tmp_path / "user", ["+experiment=digits", "debug=false", "executor=inline"]
    done = run(folder, *arguments, PYTHONPATH=path, STOP_AT=module)
    assert (done.exit_code, done.out, done.err.splitlines()) == (130, "", [RESUMES])


@pytest.mark.parametrize("name", ["Twice", "Compiled"])
@pytest.mark.nightly
def test_a_signal_ends_a_run_whatever_becomes_of_the_exception(tmp_path: Path, name: str) -> None:
    """That it becomes within a trial: a second one while it cleans up changes nothing; nothing is
    recorded as failed.
    """
    text = EXPERIMENT.replace("my_code.Slow", f"my_code.{name}")
    write(tmp_path, my_code_py=CODE, conf__experiment__slow_yaml=text)
    done = run_inline(tmp_path, "+experiment=slow")
    assert (done.exit_code, done.err.splitlines()[-1]) == (130, RESUMES)
    assert "Traceback" not in done.err
    assert "failed" not in done.err
    assert started(tmp_path) == {}
    assert not (tmp_path / "results" / "history.json").exists()
