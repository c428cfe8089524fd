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

import killing
import pytest
from distributed import Client, LocalCluster
from e2e_samples import Done, finish, run, start, start_inline, wait_until, write

from runner.config.schema import DaskExecutor, Pipeline, Run
from runner.data.shared import Loaded
from runner.errors import DataError, ExperimentError, InputError
from runner.search.state import SearchFolder
from runner.training import environment
from runner.workers import tasks
from runner.workers.cluster import Dask, Local, on_worker, versions

pytestmark = pytest.mark.e2e

# Says where it trains, and takes its time: on the first worker, until the late one has joined.
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
        while os.environ.get("WHERE") == "first" and "late" not in Path("said").read_text():
            time.sleep(0.05)
        time.sleep(1)
        say("ends")
        return history


def say(word):
    with Path("said").open("a") as file:
        file.write(f"{os.environ.get('WHERE', 'here')} {os.getpid()} {word}\\n")
"""
EXPERIMENT = """
# @package _global_
defaults: [/task: classification, /data: iris, /tuner: random, _self_]
model: {_target_: slow.Slow}
fit: {epochs: 2}
tuner: {max_trials: 6}
validation: {repeats: 2}
baselines: none
"""
DASK = ("executor=dask", "executor.address=scheduler.json")


@dataclass
class Cluster:
    """A scheduler and workers, started with Dask's own command in a folder that they share."""

    folder: Path
    path: str = str(killing.REPOSITORY)
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


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def lose(process: "subprocess.Popen[bytes]") -> None:
    """As when a machine is lost: all that was started there, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def said(folder: Path, where: str = "") -> list[list[str]]:
    """Who has begun and ended trainings, in their order; of one worker or of all."""
    path = folder / "said"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split() for line in lines if line.startswith(where)]


def trains(folder: Path, where: str) -> bool:
    return said(folder, where)[-1:] != [] and said(folder, where)[-1][2] == "begins"


def result(root: Path) -> tuple[object, dict[str, Any]]:
    """The trials and the model's weights of the entry that is complete."""
    (entry,) = [each for each in killing.entries(root) if each["status"] == "complete"]
    rows = killing.trials(root, entry)
    table = [{k: v for k, v in row.items() if k not in ("started", "seconds")} for row in rows]
    weights = killing.weights(root / entry["artefacts"]["model"]["path"])
    return table, {name: array.tobytes() for name, array in weights.items()}


@dataclass
class Story:
    """What happened, and what was left of it."""

    folder: Path
    lost: Done
    again: Done
    seconds: float  # from the loss of the scheduler to the end of the run
    first: str  # the process that trained on the first worker
    orphans: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("dask")
    write(folder, conf__experiment__slow_yaml=EXPERIMENT.lstrip(), slow_py=SLOW)
    cluster = Cluster(folder)
    try:
        scheduler = cluster.scheduler()
        running = start(folder, "+experiment=slow", *DASK)
        alone = start_inline(folder, "+experiment=slow", "paths.root=alone", WHERE="no")
        first = cluster.worker("first")
        wait_until(lambda: trains(folder, "first"), running)
        cluster.worker("late")
        wait_until(lambda: trains(folder, "late") and trains(folder, "first"), running)
        lose(first)
        wait_until(lambda: len(said(folder, "late")) > 4 and trains(folder, "late"), running)
        lose(scheduler)
        clock = time.monotonic()
        lost = finish(running)
        seconds = time.monotonic() - clock
        pids = {pid for _, pid, _ in [*said(folder, "first"), *said(folder, "late")]}
        with suppress(AssertionError):
            until(lambda: not any(Path("/proc", pid).exists() for pid in pids))
        orphans = [pid for pid in pids if Path("/proc", pid).exists()]
        cluster.scheduler()
        cluster.worker("third")
        running = start(folder, "+experiment=slow", *DASK)
        wait_until(lambda: trains(folder, "third"), running)
        running.kill()
        until(lambda: not Path("/proc", said(folder, "third")[-1][1]).exists())
        again = run(folder, "+experiment=slow", *DASK)
        assert finish(alone).exit_code == 0
        yield Story(folder, lost, again, seconds, said(folder, "first")[0][1], orphans)
    finally:
        for process in cluster.started:
            lose(process)


def test_trials_and_weights_are_those_of_one_process(story: Story) -> None:
    assert story.again.exit_code == 0, story.again
    assert result(story.folder / "results") == result(story.folder / "alone")


@pytest.mark.nightly
def test_a_lost_worker_costs_the_trial_that_it_ran(story: Story) -> None:
    workers = ("first", "late", "third")
    begun = [
        where for where, _, word in said(story.folder) if where in workers and word == "begins"
    ]
    # trials and refits; one trial was lost with a machine, and one each, if one was under way,
    # with the scheduler and the run
    assert 6 + 2 + 1 <= len(begun) <= 6 + 2 + 3


@pytest.mark.nightly
def test_a_worker_that_joins_late_is_given_trials(story: Story) -> None:
    assert [word for *_, word in said(story.folder, "late")][:2] == ["begins", "ends"]


@pytest.mark.nightly
def test_a_lost_scheduler_is_told_at_once_with_what_to_do(story: Story) -> None:
    assert story.lost.exit_code == 1
    assert (
        "the Dask scheduler at scheduler.json is gone; finished trials are kept" in story.lost.err
    )
    assert "Traceback" not in story.lost.err
    assert story.seconds < 60


@pytest.mark.nightly
def test_no_process_outlives_its_machine_or_the_scheduler(story: Story) -> None:
    assert story.orphans == []


@pytest.mark.nightly
def test_a_scheduler_that_does_not_answer_is_told_in_seconds_and_nothing_starts(
    tmp_path: Path,
) -> None:
    clock = time.monotonic()
    done = run(
        tmp_path, "+experiment=digits", "executor=dask", "executor.address=tcp://127.0.0.1:9"
    )
    assert done.exit_code == 2
    assert "executor.address: no Dask scheduler answers at tcp://127.0.0.1:9" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "results" / "runs").exists()
    assert time.monotonic() - clock < 60


@pytest.mark.nightly
def test_a_scheduler_without_the_package_is_told(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, path="")
    try:
        cluster.scheduler()
        run = Run(executor=DaskExecutor(address=str(tmp_path / "scheduler.json")))
        words = "No module named 'runner.*the same packages"
        with Dask(run) as workers, pytest.raises(ExperimentError, match=words):
            workers.submit(environment.devices, run).result()
    finally:
        lose(cluster.started[0])


@pytest.mark.nightly
def test_a_file_that_is_no_schedulers_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.json").touch()
    run = Run(executor=DaskExecutor(address=str(tmp_path / "empty.json")))
    with pytest.raises(InputError, match=r"no Dask scheduler answers at .*empty.json: Expecting"):
        Dask(run)


@pytest.fixture
def executor() -> Iterator[Any]:
    """Of a Dask worker in this process."""
    options = {"n_workers": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        yield client.get_executor(pure=False)


@pytest.mark.nightly
def test_a_machine_with_other_packages_is_refused_by_name(executor: Any) -> None:
    expected = {**versions("tensorflow"), "keras": "3.0.0"}
    with pytest.raises(
        ExperimentError, match=rf"on {platform.node()} has keras 3\.\d+\.\d+, not 3"
    ):
        executor.submit(on_worker, b"", "tensorflow", expected, b"", b"").result()


@pytest.mark.nightly
def test_a_machine_without_the_folder_of_the_run_is_refused_by_name(executor: Any) -> None:
    origin = pickle.dumps((Run(), "/nowhere", {}, {}, 0))
    expected = versions("tensorflow")
    with pytest.raises(ExperimentError, match=f"on {platform.node()} cannot enter /nowhere"):
        executor.submit(on_worker, b"", "tensorflow", expected, origin, b"").result()


@pytest.mark.nightly
def test_a_machine_with_other_data_is_refused_by_name(tmp_path: Path) -> None:
    pipeline = Pipeline.model_validate(
        {
            "task": {"kind": "classification"},
            "data": {"kind": "sklearn", "name": "iris"},
            "model": {"_target_": "runner.models.linear"},
            "tuner": {"kind": "random"},
        }
    )
    run = Run(executor=DaskExecutor(address="tcp://host:1"))
    place, planned = SearchFolder(tmp_path, "", tmp_path), Loaded("other content", {}, 0.0, 0)
    with (
        Local(run, 1) as local,
        pytest.raises(DataError, match=rf"has changed.*{platform.node()}"),
    ):
        local.answer(tasks.trial, (run, pipeline, planned, place, "0", {}))
