"""Workers for real: killed, interrupted, ended with the run. That they never change a result is in
test_killed.py.
"""

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import killing
import pytest
from e2e_samples import (
    documents,
    entries,
    finish,
    outcome,
    run,
    run_inline,
    start,
    wait_until,
    write,
)

pytestmark = pytest.mark.e2e

CODE = """
import ctypes
import os
import signal
import sys
import time

import keras
import keras_tuner
import numpy as np


def at(place):
    '''Says where the work is, and stays there if that is asked for.'''
    if os.environ.get("HOLD") == place:
        open(f"at-{place}", "w").close()
        time.sleep(60)


def data(rows=60):
    at("plan")
    x = np.random.default_rng(0).random((rows, 4))
    return x, np.array(["a", "b"])[(x[:, 0] > 0.5).astype(int)]


def type_name(value):
    return type(value).__name__


def hook(run):
    at("hook")


class Own(keras_tuner.HyperModel):
    '''Trains nothing in a search, but what it scores depends on the seed.'''

    def __init__(self, num_classes):
        super().__init__()
        self.classes = num_classes

    def build(self, hp):
        hp.Int("units", 1, 64)
        hp.Float("rate", 0.0, 1.0)
        model = keras.Sequential([keras.layers.Dense(self.classes, "softmax")])
        loss = "sparse_categorical_crossentropy"
        model.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)
        return model

    def fit(self, hp, model, x, y, callbacks, **kwargs):
        at("search" if "BestEpoch" in map(type_name, callbacks) else "refit")
        model(x[:1])
        return float(np.sin(hp.get("units")) + hp.get("rate") + np.random.rand())
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /tuner: random, _self_]
objective: {name: score, direction: max}
data: {_target_: own.data}
model: {_target_: own.Own}
tuner: {max_trials: 4}
validation: {repeats: 1}
hooks: {own: {_target_: own.hook}}
baselines: none
executor: {workers: 2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, own_py=CODE, conf__experiment__own_yaml=EXPERIMENT)
    return tmp_path


def all_gone(session: int, seconds: float = 5) -> dict[int, str]:
    """The processes of a session that are there after so many seconds: none, as soon as it can."""
    end = time.monotonic() + seconds
    while (left := killing.living(session)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def held(folder: Path, place: str, process: "subprocess.Popen[str]") -> None:
    wait_until((folder / f"at-{place}").exists, process)


# One handler takes all of them; SIGINT to a search alone is in test_e2e_interrupted.py.
SENT = [
    ("plan", signal.SIGINT, True),
    ("search", signal.SIGTERM, True),
    ("search", signal.SIGHUP, False),
    ("refit", signal.SIGINT, False),
    ("hook", signal.SIGTERM, True),
]


@pytest.mark.nightly
def test_a_signal_ends_all_processes_at_once_wherever_they_are(folder: Path) -> None:
    """Sent to the run alone, or to all of them as a terminal does: nothing is left of it, no trace
    is shown, and the same command goes on from there.
    """
    for place, number, whole in SENT:
        process = start(folder, "+experiment=own", HOLD=place)
        held(folder, place, process)
        (os.killpg if whole else os.kill)(process.pid, number)
        assert all_gone(process.pid) == {}, (place, number)
        done = finish(process, exit_code=128 + number)
        assert "Trace" not in done.err
        assert "died" not in done.err
        assert "re-run the same command to resume" in done.err.splitlines()[-1]
        (folder / f"at-{place}").unlink()
    done = run(folder, "+experiment=own")
    assert "taken over from the history" in done.err
    [entry] = entries(folder).values()
    assert entry["search"]["trials"] == {"total": 4, "completed": 4, "failed": 0}


def test_no_process_outlives_a_run_that_is_killed_and_keras_is_the_workers_alone(
    folder: Path,
) -> None:
    """While the server that workers come from imports it, too."""
    process = start(folder, "+experiment=own", HOLD="search")
    held(folder, "search", process)
    maps = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in killing.living(process.pid)}
    assert "libtensorflow" not in maps.pop(process.pid)
    assert len([text for text in maps.values() if "libtensorflow" in text]) >= 3
    process.kill()
    assert all_gone(process.pid) == {}
    process.communicate()
    process = start(folder, "+experiment=own")
    wait_until(lambda: len(killing.living(process.pid)) > 1, process)
    process.kill()
    assert all_gone(process.pid) == {}
    process.communicate()


DEADLY = """
import ctypes
import os
import signal
import time

import keras
import keras_tuner
import numpy as np

ENDS = {
    "fine": lambda: None,  # the default, which is tried before
    "segfault": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leaves": lambda: os._exit(3),
    "hangs": lambda: time.sleep(300),
    "always": lambda: os.kill(os.getpid(), signal.SIGBUS),
    "raises": lambda: exit("enough"),
}


class Deadly(keras_tuner.HyperModel):
    def build(self, hp):
        hp.Choice("how", [*ENDS])
        model = keras.Sequential([keras.layers.Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        return model

    def fit(self, hp, model, *args, **kwargs):
        model(np.zeros((1, 4)))
        how = hp.get("how")
        known = os.path.exists("log") and how in open("log").read().split()
        with open("log", "a") as log:
            print(how, file=log)
        if os.environ.get("DEADLY") and (how in ("always", "raises") or not known):
            ENDS[how]()
        return float(np.random.rand())
"""
SEARCHED = """# @package _global_
defaults: [/task: classification, /data: iris, /tuner: grid, _self_]
objective: {name: score, direction: max}
model: {_target_: deadly.Deadly}
validation: {repeats: 1}
baselines: none
hooks: {purge: null}
"""


def test_a_worker_that_dies_costs_its_trial_alone_which_runs_again(tmp_path: Path) -> None:
    """By whatever end, or by the time that it takes: to the score that it has without; one that
    three workers die of has failed, and is tried again by the next start.
    """
    write(tmp_path, deadly_py=DEADLY, conf__experiment__deadly_yaml=SEARCHED)
    log = tmp_path / "log"
    arguments = ["+experiment=deadly", "executor.workers=2", "executor.trial_timeout=10"]
    done = run(tmp_path, *arguments, DEADLY="1")
    for words in (
        "SIGBUS ended it; its task starts again",
        "SIGSEGV ended it",
        "SIGKILL ended it (out of memory?)",
        "it ended with exit code 3",
        "it took longer than 10 s (executor.trial_timeout)",
    ):
        assert f"a worker died: {words}" in done.err
    assert "Traceback" not in done.err
    [first] = documents(tmp_path)
    rows = {row["values"]["how"]: row for row in first.trials()}
    failed = {how: row["message"] for how, row in rows.items() if row["status"] == "FAILED"}
    assert failed.keys() == {"always", "raises"}
    assert failed["always"].startswith("3 workers died of it, most recently: ")
    assert "SystemExit: enough" in failed["raises"]
    times = Counter(log.read_text().split())
    least = {"always": 3, "raises": 1}
    assert all(times[how] >= least.get(how, 2) for how in rows)
    log.unlink()
    run_inline(tmp_path, "+experiment=deadly")
    best = first["best"]["values"]["how"]
    assert {*log.read_text().split()} <= {"always", best, "fine"}
    run_inline(tmp_path, "+experiment=deadly", "fresh=true")
    last = documents(tmp_path)[-1]
    for row in last.trials():
        how = row["values"]["how"]
        assert how in failed or outcome([row]) == outcome([rows[how]])
