"""Trials and refits on Dask workers, in processes of their own as on machines of their own: one is
killed, one joins late, the scheduler is lost, the run is killed; all ends as in one process.
"""

import os
import pickle
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from e2e_samples import REPOSITORY, finish, run, run_inline, start, wait_until, write
from killing import picture
from runner_samples import pipeline

from runner.config.schema import DaskExecutor, Run
from runner.data.shared import Loaded
from runner.errors import DataError, ExperimentError
from runner.training import environment
from runner.training.ledger import SearchFolder
from runner.workers import tasks
from runner.workers.cluster import Dask, Local, on_worker, versions

pytestmark = pytest.mark.e2e

# Says where it trains, and stays at it as long as a file says so.
SLOW = """
import os
import time
from pathlib import Path

import keras
import keras_tuner


class Slow(keras_tuner.HyperModel):
    def __init__(self, input_shape, num_classes):
        self.shape, self.classes = input_shape, num_classes

    def build(self, hp):
        layers = [keras.Input(self.shape), keras.layers.Dense(hp.Int("units", 2, 64))]
        model = keras.Sequential([*layers, keras.layers.Dense(self.classes, "softmax")])
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
        return model

    def fit(self, hp, model, *rows, **arguments):
        say("begins")
        history = model.fit(*rows, **arguments)
        while Path("hold-" + os.environ.get("WHERE", "here")).exists():
            time.sleep(0.05)
        say("ends")
        return history


def say(word):
    with Path("said").open("a") as file:
        file.write(f"{os.environ.get('WHERE', 'here')} {os.getpid()} {word}\\n")
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /data: iris, /tuner: random, _self_]
model: {_target_: slow.Slow}
fit: {epochs: 2}
tuner: {max_trials: 6}
validation: {repeats: 2}
baselines: none
"""
COMMAND = ("+experiment=slow", "executor=dask", "executor.address=scheduler.json")
# for a machine without the package, however it is installed
WITHOUT = """
import sys

class Without:
    @staticmethod
    def find_spec(name, *_):
        if name.partition(".")[0] == "runner":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without)
"""


@dataclass
class Cluster:
    """A scheduler and workers, started with Dask's own command in a folder that they share."""

    folder: Path
    path: str = str(REPOSITORY)
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def dask(self, *arguments: str, where: str = "") -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--scheduler-file", "scheduler.json"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": self.path, "WHERE": where},
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{where or 'scheduler'}.log").open("ab"),
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def scheduler(self) -> "subprocess.Popen[bytes]":
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        process = self.dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        until(file.exists)
        return process

    def worker(self, where: str) -> "subprocess.Popen[bytes]":
        return self.dask("worker", "--nthreads", "1", "--no-dashboard", where=where)

    def trainings(self, where: str = "") -> list[list[str]]:
        """Who has begun and ended trainings, in their order; of one worker or of all."""
        path = self.folder / "said"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split() for line in lines if line.startswith(where)]

    def trains(self, where: str) -> bool:
        return [word for *_, word in self.trainings(where)][-1:] == ["begins"]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def lose(process: "subprocess.Popen[bytes]") -> None:
    """As when a machine is lost: all that was started there, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    write(tmp_path, conf__experiment__slow_yaml=EXPERIMENT, slow_py=SLOW)
    cluster = Cluster(tmp_path)
    yield cluster
    for process in cluster.started:
        lose(process)


def test_a_lost_machine_costs_its_trial_and_the_result_is_that_of_one_process(
    cluster: Cluster,
) -> None:
    """A worker that joins late is given the trial of the machine that was lost, and all others."""
    folder = cluster.folder
    (folder / "hold-first").touch()
    cluster.scheduler()
    first = cluster.worker("first")
    running = start(folder, *COMMAND)
    wait_until(lambda: cluster.trains("first"), running)
    cluster.worker("late")
    wait_until(lambda: len(cluster.trainings("late")) > 1, running)
    lose(first)
    finish(running)
    assert [len(cluster.trainings(where)) for where in ("first", "late")] == [1, 2 * (6 + 2)]
    run_inline(folder, *COMMAND[:1], "paths.root=alone")
    assert picture(folder) == picture(folder, "alone")


@pytest.mark.nightly
def test_a_lost_scheduler_is_told_at_once_and_the_same_command_resumes(cluster: Cluster) -> None:
    """With what to do, and no process left behind; after a run that is killed, too."""
    folder = cluster.folder
    scheduler = cluster.scheduler()
    cluster.worker("one")
    running = start(folder, *COMMAND)
    wait_until(lambda: len(cluster.trainings("one")) > 2, running)
    (folder / "hold-one").touch()
    wait_until(lambda: cluster.trains("one"), running)
    lose(scheduler)
    clock = time.monotonic()
    lost = finish(running, exit_code=1)
    assert time.monotonic() - clock < 60
    words = "the Dask scheduler at scheduler.json is gone; finished trials are kept"
    assert words in lost.err
    assert "Traceback" not in lost.err
    pids = {pid for _, pid, _ in cluster.trainings()}
    until(lambda: not any(Path("/proc", pid).exists() for pid in pids))
    (folder / "hold-two").touch()
    cluster.scheduler()
    cluster.worker("two")
    running = start(folder, *COMMAND)
    wait_until(lambda: cluster.trains("two"), running)
    running.kill()
    until(lambda: not Path("/proc", cluster.trainings("two")[-1][1]).exists())
    (folder / "hold-two").unlink()
    run(folder, *COMMAND)
    begun = [where for where, _, word in cluster.trainings() if word == "begins"]
    assert begun.count("one") + begun.count("two") == 6 + 2 + 2
    run_inline(folder, *COMMAND[:1], "paths.root=alone")
    assert picture(folder) == picture(folder, "alone")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "empty.json"])
@pytest.mark.nightly
def test_a_scheduler_that_does_not_answer_is_told_in_seconds_and_nothing_starts(
    tmp_path: Path, address: str
) -> None:
    (tmp_path / "empty.json").touch()
    command = ["+experiment=digits", "executor=dask", f"executor.address={address}"]
    clock = time.monotonic()
    done = run(tmp_path, *command, exit_code=2)
    assert time.monotonic() - clock < 60
    assert f"executor.address: no Dask scheduler answers at {address}: " in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "results" / "runs").exists()


@pytest.mark.nightly
def test_a_scheduler_without_the_package_is_told(cluster: Cluster) -> None:
    """Not waited for: it cannot read a task."""
    write(cluster.folder, without__sitecustomize_py=WITHOUT)
    cluster.path = str(cluster.folder / "without")
    cluster.scheduler()
    run = Run(executor=DaskExecutor(address=str(cluster.folder / "scheduler.json")))
    words = "No module named 'runner.*the same packages"
    with Dask(run) as workers, pytest.raises(ExperimentError, match=words):
        workers.submit(environment.devices, run).result(timeout=60)


@pytest.fixture
def executor() -> Iterator[Any]:
    """Of a Dask worker in this process."""
    options = {"n_workers": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        yield client.get_executor(pure=False)


@pytest.mark.nightly
def test_a_machine_with_other_packages_is_refused_by_name(executor: Any) -> None:
    expected = {**versions("tensorflow"), "keras": "3.0.0"}
    words = rf"on {platform.node()} has keras 3\.\d+\.\d+, not 3"
    with pytest.raises(ExperimentError, match=words):
        executor.submit(on_worker, b"", "tensorflow", expected, b"", b"").result()


@pytest.mark.nightly
def test_a_machine_without_the_folder_of_the_run_is_refused_by_name(executor: Any) -> None:
    origin = pickle.dumps((Run(), "/nowhere", {}, {}, 0))
    expected = versions("tensorflow")
    with pytest.raises(ExperimentError, match=f"on {platform.node()} cannot enter /nowhere"):
        executor.submit(on_worker, b"", "tensorflow", expected, origin, b"").result()


@pytest.mark.nightly
def test_a_machine_with_other_data_is_refused_by_name(tmp_path: Path) -> None:
    run = Run(executor=DaskExecutor(address="tcp://host:1"))
    folder, planned = SearchFolder(tmp_path, "", tmp_path), Loaded("other content", {}, 0.0, 0)
    words = rf"has changed.*{platform.node()}"
    with Local(run, 1) as local, pytest.raises(DataError, match=words):
        local.answer(tasks.trial, (run, pipeline(), planned, folder, "0", {}))
