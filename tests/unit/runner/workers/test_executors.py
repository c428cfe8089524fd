"""Workers, real ones: what becomes of a task whose worker dies, of errors and of what is logged."""

import ctypes
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from keras_tuner import HyperParameters
from runner_samples import pipeline

from foundation import secrets
from runner.config.schema import Run, Target
from runner.config.space import declare
from runner.errors import ConfigError, InputError, WorkerDied
from runner.training.ledger import Proposal, TrialResult
from runner.workers import executors, tasks
from runner.workers.executors import Processes, Workers
from runner.workers.start import start


def run(**own: Any) -> Run:
    return Run.model_validate({"executor": {"kind": "processes", "workers": 2, **own}})


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    with start(run()) as made:
        yield made


# --- what workers do


def segfault() -> None:
    ctypes.string_at(0)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(0)


def once(path: Path, end: Callable[[], None]) -> int:
    """Ends its worker the first time."""
    if not path.exists():
        path.touch()
        end()
    return os.getpid()


class Odd(Exception):  # noqa: N818
    """What a user's library may raise."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd")
        self.lock = threading.Lock()


class OddFile(OSError):  # noqa: N818
    def __init__(self, one: int, two: int) -> None:
        super().__init__(2, "odd file")


def fail(how: str) -> None:
    if how == "odd":
        raise Odd(1, 2)
    if how == "file":
        raise OddFile(1, 2)
    if how == "lock":
        raise OSError(threading.Lock(), "lock")
    if how == "huge":
        raise ValueError("x" * 10**7)
    if how == "leave":
        raise SystemExit("enough")
    if how == "ours":
        raise ConfigError("is wrong", "model")
    raise FileNotFoundError(2, "No such file", "rows.csv")


def say() -> None:
    log = logging.getLogger("users")
    log.warning("told by %s", threading.current_thread(), extra={"lock": threading.Lock()})
    try:
        fail("odd")
    except Odd:
        log.exception("it failed")


def grow(size: int, kept: list[bytes] = []) -> int:  # noqa: B006
    kept.append(b"x" * size)
    return os.getpid()


LINEAR = {"_target_": "runner.models.linear"}


def rows() -> tuple[Any, Any]:
    return np.zeros((500_000, 60), np.float32), np.arange(500_000) % 2


# --- what becomes of it


@pytest.mark.parametrize("end", [segfault, killed, leave])
def test_a_task_whose_worker_dies_begins_anew_in_another(
    end: Any, workers: Processes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = workers.submit(time.sleep, 1)
    assert workers.submit(once, tmp_path / "died", end).result(60) != os.getpid()
    assert other.result(60) is None
    assert caplog.text.count("a worker died") == 1


def test_a_task_that_three_workers_die_of_is_told_as_the_cause(
    workers: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    """And what else is to be done is done."""
    dying, fine = workers.submit(killed), [workers.submit(os.getpid) for _ in range(4)]
    with pytest.raises(WorkerDied, match=r"^3 workers died of it, most recently: SIGKILL ended it"):
        dying.result(60)
    assert all(future.result(60) for future in fine)
    assert caplog.text.count("SIGKILL ended it") == 2


def ended_by(path: Path) -> None:
    """A hook that sends something, and dies."""
    path.write_text(f"{path.read_text() if path.exists() else ''}sent ")
    killed()


def test_a_hook_whose_worker_dies_is_not_called_again(workers: Processes, tmp_path: Path) -> None:
    """It may have done what is not to be done twice."""
    hook = Target.model_validate({"_target_": f"{__name__}.ended_by", "path": tmp_path / "sent"})
    with pytest.raises(WorkerDied, match=r"^1 worker died of it, most recently: SIGKILL ended it"):
        workers.submit(tasks.hook, "own", hook, None).result(60)
    assert (tmp_path / "sent").read_text() == "sent "


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("odd", "Odd", "odd"),
        ("file", "OddFile", "odd file"),
        ("lock", "OSError", "lock"),
        ("huge", "ValueError", "x{1000}"),
        ("ours", "ConfigError", "model: is wrong"),
        ("leave", "SystemExit", "enough"),
        ("", "FileNotFoundError", "No such file.*rows.csv"),
    ],
)
def test_an_error_keeps_its_name_its_text_and_its_trace(
    how: str, kind: str, message: str, workers: Processes
) -> None:
    """Whether it can be pickled or not, and whoever's class it is: the worker lives."""
    with pytest.raises(Exception, match=message) as caught:
        workers.submit(fail, how).result(60)
    assert type(caught.value).__name__ == kind
    assert "in fail" in str(caught.value.__cause__)
    assert isinstance(caught.value, InputError) == (how == "ours")
    assert type(caught.value) not in (Odd, OddFile)  # whose modules are not for this process


def test_what_is_logged_in_a_worker_is_logged_here(
    workers: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    """With its trace, and whatever it was given that cannot be pickled."""
    workers.submit(say).result(60)
    (told, failed) = caplog.records
    assert (told.name, told.levelname) == ("users", "WARNING")
    assert "told by <" in told.getMessage()
    assert "it failed" in failed.getMessage()
    assert "Odd: odd" in caplog.text


def test_a_worker_whose_memory_has_grown_is_renewed_between_tasks() -> None:
    with start(run(workers=1, max_memory=0.9)) as workers:
        pids = [workers.submit(grow, size).result(60) for size in (10, 10, 10**9, 10, 10)]
    assert len(set(pids)) == 2
    assert pids[0] == pids[2] != pids[3] == pids[4]


def test_a_worker_may_have_a_gigabyte_unless_told() -> None:
    """What begins with less and grows, as TensorFlow does with each trial, is not renewed soon."""
    with start(run(workers=1)) as workers:
        pids = [workers.submit(grow, size).result(60) for size in (10, 4 * 10**8, 10)]
    assert len(set(pids)) == 1


def test_data_is_loaded_once_and_shared(workers: Processes) -> None:
    """Arrays are not copied, neither by the task that loads them nor by those of other workers."""
    workers.submit(os.getpid).result(60)
    settings = pipeline(data={"_target_": "test_executors.rows"}, model=LINEAR)
    given = workers.data(settings).result(60)
    assert given.size >= 10**8
    for slot in workers.all:
        bare = slot.run(os.getpid, []).memory
        answer = slot.run(tasks.survey, [settings, given])
        assert answer.result() == "float32"
        assert answer.memory - bare < 3 * 10**7
    assert workers.data(settings).result(0) is given


def test_an_oracle_that_is_killed_is_made_anew_and_asks_for_the_same(workers: Processes) -> None:
    """Whatever it was told; another search's comes after it."""
    space = HyperParameters()
    declare({"model": {"rate": {"hp": "Float", "min_value": 0.0, "max_value": 1.0}}}, space)
    tuner = {"kind": "bayesian", "max_trials": 8, "num_initial_points": 2, "parallel": 2}
    settings = pipeline(tuner=tuner, objective={"name": "score", "direction": "max"})

    def searched(kills: bool) -> list[Any]:
        oracle, found = workers.oracle(run(), settings, space.get_config(), {}), list[Any]()
        asked = [oracle.ask(), oracle.ask()]
        for number in range(4):
            if kills:
                os.kill(workers.consulted.process.pid, signal.SIGKILL)
            one: Proposal = asked[number]
            values = one.hyperparameters["values"]
            result = TrialResult(
                trial_id=one.trial_id,
                asked=values,
                hyperparameters=one.hyperparameters,
                status="COMPLETED",
                metrics={"score": values["model.rate"] ** 2},
                started="2026-01-01T00:00:00+00:00",
                seconds=0.0,
            )
            found += [oracle.tell(result).score, oracle.ask()]
            asked.append(found[-1])
        return [*found, oracle.state()]

    assert searched(kills=True) == searched(kills=False)


def test_workers_have_the_environment_and_the_secrets_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of now: the server that they come from may be older."""
    executors.serve(run())
    monkeypatch.setenv("RUNNER_TEST", "a secret of mine")
    monkeypatch.setattr(secrets, "known", {"a secret of mine": "RUNNER_TEST"})
    with start(run(workers=1)) as workers:
        assert workers.submit(os.getenv, "RUNNER_TEST").result(60) == "a secret of mine"
        assert workers.submit(secrets.without_secrets, "a secret of mine.").result(60) == (
            "${oc.env:RUNNER_TEST}."
        )


@pytest.mark.parametrize(
    ("told", "given", "shared"),
    [("0,1", ["0", "1"], None), ("3", ["3", "3"], "true"), ("-1", ["-1", "-1"], "true")],
)
def test_each_worker_has_its_graphics_processor_or_shares_the_only_one(
    told: str, given: list[str], shared: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that is not NVIDIA's, nothing is known here."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)
    with Processes(run()) as workers:
        found = [
            [slot.run(os.getenv, [name]).result() for slot in workers.all]
            for name in ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH")
        ]
    assert found == [given, [shared, shared]]


@pytest.mark.parametrize(
    ("threads", "told", "devices", "free", "count", "idle"),
    [
        (1, "auto", [], math.inf, 8, 0),
        (3, "auto", [], math.inf, 2, 2),
        (16, "auto", [], math.inf, 1, 0),
        (1, "auto", [], 3.9e9, 3, 5),
        (1, "auto", [], 1e6, 1, 7),
        (1, "auto", ["0", "1"], 3.9e9, 2, 6),
        (1, 5, ["0"], 0, 5, 3),
    ],
)
def test_workers_are_as_many_as_have_cores_and_memory(
    threads: int,
    told: int | str,
    devices: list[str],
    free: float,
    count: int,
    idle: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Or one for each graphics processor, or what is told; cores that stay idle are said."""
    caplog.set_level("INFO")
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    monkeypatch.setattr(executors, "available", lambda: free)
    assert executors.how_many(threads, told, devices) == count
    said = f"{idle} of 8 cores stay idle: executor.workers={count}, threads={threads}"
    assert caplog.messages == [said] * bool(idle)


def test_what_leaves_workers_idle_is_said_with_its_key(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    caplog.set_level("INFO")
    with start(run(workers=5)) as workers:
        caplog.clear()
        workers.tell_idle(None, "tuner.parallel")
        workers.tell_idle(5, "tuner.parallel")
        workers.tell_idle(2, "validation.repeats")
    assert caplog.messages == ["3 of 5 workers stay idle: validation.repeats=2"]


def test_a_server_that_is_killed_is_started_anew(workers: Processes) -> None:
    """While it forks a worker, too."""
    for slot in workers.all:
        slot.end()
    server = vars(forkserver._forkserver)["_forkserver_pid"]
    os.kill(server, signal.SIGSTOP)
    future = workers.submit(os.getppid)
    time.sleep(0.5)
    os.kill(server, signal.SIGKILL)
    assert future.result(120) not in (server, os.getpid())


def test_workers_are_spawned_where_there_is_no_server_to_fork_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on Windows."""
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with Processes(run(workers=1)) as workers:
        assert workers.context.get_start_method() == "spawn"
        assert workers.submit(os.getpid).result(120) != os.getpid()


def test_inline_runs_all_in_this_process() -> None:
    """Where a debugger is."""
    with Workers(run()) as workers:
        assert workers.submit(os.getpid).result(0) == os.getpid()
        assert isinstance(workers.submit(fail, "odd").exception(0), Odd)
