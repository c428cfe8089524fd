"""Searches of many workers: the order of asks and tells is a function of the config alone."""

import json
import math
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from keras_tuner import HyperParameters
from runner_samples import pipeline

from runner.config.schema import Pipeline, Run
from runner.config.space import declare
from runner.data.shared import Loaded
from runner.errors import ConfigError, SearchError, WorkerDied
from runner.search.loop import Progress, search
from runner.training.ledger import SearchFolder, TrialResult
from runner.workers.executors import Workers

TUNERS: dict[str, dict[str, Any]] = {
    "random": {"kind": "random", "max_trials": 14},
    "grid": {"kind": "grid"},
    "bayesian": {"kind": "bayesian", "max_trials": 5, "num_initial_points": 2, "parallel": 2},
    "tpe": {"kind": "tpe", "max_trials": 12, "num_initial_points": 3, "parallel": 3},
    "hyperband": {
        "kind": "hyperband", "max_epochs": 4, "factor": 2, "parallel": 5, "hyperband_iterations": 2,
    },
}  # fmt: skip
SPACE: dict[str, dict[str, Any]] = {
    "units": {"hp": "Int", "min_value": 1, "max_value": 4},
    "rate": {"hp": "Float", "min_value": 0.1, "max_value": 0.5, "step": 0.2},
    "kind": {"hp": "Choice", "values": ["a", "b"]},
}


class Killed(BaseException):
    """Stands for SIGKILL."""


class Threads(Workers):
    """Runs so many trials at a time, which end in an order of chance; the training is a pure
    function of the values, and what it returns is on disk before anybody hears of it.
    """

    def __init__(self, slots: int, seed: int, kill_after: float = math.inf) -> None:
        self.draw, self.kill_after = random.Random(seed), kill_after
        self.ran: list[str] = []
        self.threads, self.number, self.killed = ThreadPoolExecutor(slots), slots, False
        self.lock, self.most, self.now = threading.Lock(), 0, 0
        self.fails: Callable[[str], bool] = lambda trial_id: trial_id.endswith("2")
        self.raises: dict[str, Exception] = {}

    @property
    def slots(self) -> int:
        return self.number

    def submit(self, _: object, /, *task: Any, **__: Any) -> Future[Any]:
        if len(self.ran) >= self.kill_after:
            self.killed = True
            raise Killed
        given: tuple[Any, ...] = (*task[3:], self.draw.choice((0, 0.001, 0.01)))
        return self.threads.submit(self.trial, *given)

    def trial(
        self, where: SearchFolder, trial_id: str, config: dict[str, Any], seconds: float
    ) -> TrialResult | None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.ran.append(trial_id)
        time.sleep(seconds)
        with self.lock:
            self.now -= 1
        if trial_id in self.raises:
            raise self.raises[trial_id]
        values, failed = config["values"], self.fails(trial_id)
        score = math.sin(values["model.units"] * 3.7) + values["model.rate"]
        score += values.get("tuner/epochs", 0) / 10
        result = TrialResult(
            trial_id=trial_id,
            asked=values,
            hyperparameters=config,
            status="FAILED" if failed else "COMPLETED",
            message="on purpose" if failed else None,
            metrics={} if failed else {"score": score},
            started="2026-01-01T00:00:00+00:00",
            seconds=0.0,
        )
        if not self.killed:
            if not failed:
                where.write("checkpoint.weights.h5", trial_id.encode(), trial_id)
                result.checkpoints[trial_id] = {"bytes": 4, "sha256": "of weights"}
            where.write("result.json", vars(result), trial_id)
        return result


def settings(tuner: str, **own: Any) -> Pipeline:
    objective = {"name": "score", "direction": "max"}
    return pipeline(tuner={**TUNERS[tuner], **own}, objective=objective)


def run(workers: Workers, folder: Path, tuner: str, **own: Any) -> list[Progress]:
    space, told = HyperParameters(), list[Progress]()
    declare({"model": SPACE}, space)
    where = SearchFolder(folder / "search", "f" * 64, folder / ".locks")
    made, given, config = settings(tuner, **own), Loaded("", {}, 0.0, 0), space.get_config()
    search(Run(), made, where, {"pipeline": "main"}, told.append, workers, given, config)
    return [progress for progress in told if progress.ran]


def files(folder: Path) -> dict[str, bytes]:
    """All that a search has left, by path."""
    paths = [path for path in (folder / "search").rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module", params=TUNERS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tuner's search with one worker that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    run(Threads(1, 0), folder, request.param)
    return request.param, files(folder)


@pytest.mark.parametrize("slots", [1, 2, 3, 16])
def test_the_number_of_workers_and_their_order_change_nothing(
    slots: int, whole: Any, tmp_path: Path
) -> None:
    """Killed at any number of trials and resumed with another number of workers, too: the same
    files, byte for byte, and no trial is told before those with lower numbers.
    """
    tuner, expected = whole
    draw = random.Random(slots)
    for seed in range(1 if tuner == "bayesian" else 3):  # whose points cost a second each
        folder = tmp_path / str(seed)
        ran, done = 0, False
        while not done:
            workers = Threads(
                draw.choice((1, 2, 3, 16)) if ran else slots, seed, draw.randint(1, 9)
            )
            try:
                told = run(workers, folder, tuner)
                done = True
                numbers = [progress.result.trial_id for progress in told]
                assert numbers == sorted(numbers)
            except Killed:
                workers.threads.shutdown()
            ran += len(workers.ran)
            assert workers.most <= workers.slots
        assert files(folder) == expected


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_failures_in_a_row_count_in_the_order_of_the_trials(tuner: str, tmp_path: Path) -> None:
    """Whatever ran beside them: nothing is told thereafter, and what else has ended is used when a
    higher limit goes on. What was on disk at most is a matter of how many did.
    """

    def oracle(folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(files(folder)["search/oracle.json"])
        return {key: value for key, value in found.items() if key != "peak_bytes"}

    ended = []
    for slots in (1, 3, 16):
        folder = tmp_path / str(slots)
        workers = Threads(slots, slots)
        workers.fails = lambda trial_id: trial_id in ("0003", "0004")
        with pytest.raises(SearchError, match=r"2 trials in a row failed .* 0004, with"):
            run(workers, folder, tuner, max_consecutive_failed_trials=2)
        stopped = oracle(folder)
        assert stopped["start_order"] == [f"{n:04}" for n in range(5)]
        again = Threads(2, 0)
        again.fails = workers.fails
        run(again, folder, tuner, max_consecutive_failed_trials=3)
        assert {*workers.ran} & {*again.ran} == set()
        ended.append((stopped, {**files(folder), "search/oracle.json": oracle(folder)}))
    assert ended == ended[:1] * 3


@pytest.mark.parametrize("error", [ConfigError([]), OSError(28, "No space left on device")])
def test_an_error_that_is_no_trials_ends_the_search(error: Exception, tmp_path: Path) -> None:
    """What has been told is on disk, no trial still runs, and the next start goes on."""
    run(Threads(1, 0), tmp_path / "whole", "random")
    workers = Threads(3, 0)
    workers.raises["0004"] = error
    with pytest.raises(type(error)):
        run(workers, tmp_path / "broken", "random")
    assert workers.now == 0
    oracle = json.loads(files(tmp_path / "broken")["search/oracle.json"])
    assert oracle["end_order"] == ["0000", "0001", "0002", "0003"]
    run(Threads(2, 0), tmp_path / "broken", "random")
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_a_trial_that_ends_its_workers_has_failed_until_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs itself alone; then it is tried again, once."""
    run(Threads(1, 0), tmp_path / "whole", "random")
    workers = Threads(3, 0)
    workers.raises["0004"] = WorkerDied("killed by signal 9")
    told = run(workers, tmp_path / "died", "random")
    assert [p.result.trial_id for p in told if p.score is None] == ["0002", "0004", "0012"]
    assert told[4].result.message == "killed by signal 9"
    again = Threads(2, 0)
    run(again, tmp_path / "died", "random")
    assert again.ran == ["0004"]
    assert "trial 0004 runs again" in caplog.text
    assert files(tmp_path / "died") == files(tmp_path / "whole")


@pytest.mark.parametrize("parallel", [1, 2, 7, 30])
def test_another_iteration_of_hyperband_goes_on_with_the_same_search(
    parallel: int, tmp_path: Path
) -> None:
    """However many trials are in flight when the budget ends."""
    for iterations in (1, 2):
        folder = tmp_path / str(iterations)
        own = {"parallel": parallel, "hyperband_iterations": iterations}
        run(Threads(3, 0), folder, "hyperband", **own)
    few, many = files(tmp_path / "1"), files(tmp_path / "2")
    del few["search/oracle.json"]
    assert few.items() <= many.items()
    workers = Threads(2, 1)
    run(workers, tmp_path / "1", "hyperband", **own)
    assert files(tmp_path / "1") == many


def test_the_best_of_equals_is_the_earliest_and_its_checkpoint_alone_is_kept(
    tmp_path: Path,
) -> None:
    """As Keras Tuner has it."""
    workers = Threads(3, 0)
    workers.fails = lambda trial_id: trial_id == "0000"
    told = run(workers, tmp_path, "grid")
    best = max(progress.score for progress in told if progress.score is not None)
    [first, *_] = [p.result.trial_id for p in told if p.score == best]
    [kept] = [name for name in files(tmp_path) if name.endswith(".h5")]
    assert first in kept
