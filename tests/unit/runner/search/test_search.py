"""Searches on disk: killed anywhere and resumed, by a pure function of the values."""

import json
import math
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras_tuner
import pytest
from keras_tuner import HyperParameters
from runner_samples import pipeline, read

from history.records import Trial
from runner.config.schema import Hyperparameter, Objective, Pipeline, Run
from runner.config.space import declare, hyperparameters, sample
from runner.data.shared import Loaded
from runner.errors import InputError, SearchError
from runner.search import bayesian, loop
from runner.search.loop import search
from runner.training.ledger import SearchFolder, Size, TrialResult, read_marker, tried
from runner.training.validated import Refit, Validated
from runner.workers.executors import Workers

DATA = Loaded("", {}, 0.0, 0)
TUNERS: dict[str, dict[str, Any]] = {
    "random": {"kind": "random", "max_trials": 8},
    "grid": {"kind": "grid"},
    "bayesian": {"kind": "bayesian", "max_trials": 4, "num_initial_points": 2, "parallel": 2},
    "tpe": {"kind": "tpe", "max_trials": 8, "num_initial_points": 2, "parallel": 2},
    "hyperband": {"kind": "hyperband", "max_epochs": 4, "factor": 2},
}
SPACE: dict[str, dict[str, Any]] = {
    "units": {"hp": "Int", "min_value": 1, "max_value": 4},
    "rate": {"hp": "Float", "min_value": 0.1, "max_value": 0.5, "step": 0.2},
    "kind": {"hp": "Choice", "values": ["a", "b"]},
}
FAILING = 2  # the trial with this number fails


class Killed(BaseException):
    """Stands for SIGKILL."""


class Trials(Workers):
    """Stands for training: a trial's result is a pure function of its values, and takes a second of
    the loop's clock.
    """

    def __init__(self) -> None:
        super().__init__(Run())
        self.ran: list[str] = []
        self.kill: tuple[str, int] = ("never", 0)  # before or after the result of a trial is there
        self.starved: int | None = None  # the trial with this number runs out of memory
        self.most, self.lacked = 0, list[str]()  # checkpoints: at a time; that were to begin from

    def submit(self, _: object, /, *task: Any, **__: Any) -> Any:
        return super().submit(self.trial, *task[3:])

    def trial(self, where: SearchFolder, trial_id: str, config: dict[str, Any]) -> TrialResult:
        self._perhaps("before", trial_id)
        self.ran.append(trial_id)
        values = config["values"]
        score = math.sin(values["model.units"] * 3.7) + values["model.rate"]
        score += values.get("tuner/epochs", 0) / 10
        starved = int(trial_id) == self.starved
        failed = int(trial_id) == FAILING or starved
        result = TrialResult(
            trial_id=trial_id,
            asked=values,
            hyperparameters=config,
            status="FAILED" if failed else "COMPLETED",
            message="on purpose" if failed else None,
            metrics={} if failed else {"score": score},
            again=starved,
            started="2026-01-01T00:00:00+00:00",
            seconds=0.0,
        )
        parent = values.get("tuner/trial_id")
        self.lacked += [parent] * bool(parent and not where.checkpoint(parent).is_file())
        if not failed:
            where.write("checkpoint.weights.h5", b"weights", trial_id)
            result.checkpoints[trial_id] = {"bytes": 7, "sha256": "of weights"}
        where.write("result.json", vars(result), trial_id)
        self.most = max(self.most, len([*where.folder.glob("*/*.h5")]))
        self._perhaps("after", trial_id)
        return result

    def _perhaps(self, when: str, trial_id: str) -> None:
        if self.kill == (when, int(trial_id)):
            raise Killed


@pytest.fixture
def trials() -> Trials:
    return Trials()


def place(folder: Path) -> SearchFolder:
    return SearchFolder(folder / "search", "f" * 64, folder / ".locks")


def settings(tuner: str, **own: Any) -> Pipeline:
    objective = {"name": "score", "direction": "max"}
    return pipeline(tuner={**TUNERS[tuner], **own}, objective=objective)


def run(workers: Workers, folder: Path, tuner: str, seed: int = 1, **own: Any) -> tuple[Any, ...]:
    """A search's trials, the best of them and its hyperparameters."""
    specs, marker, space = own.pop("space", SPACE), {"pipeline": "main"}, HyperParameters()
    declare({"model": specs}, space)
    made, known = settings(tuner, **own), space.get_config()
    where = place(folder)
    outcome = search(Run(seed=seed), made, where, marker, lambda _: None, workers, DATA, known)
    return outcome.record.trials, outcome.best, outcome.hyperparameters, outcome.notes


def result(*given: Any, **own: Any) -> tuple[Any, ...]:
    """What a search comes to, however often it was started."""
    *found, said = run(*given, **own)
    return *found, {key: value for key, value in said.items() if key != "reused"}


def files(folder: Path) -> dict[str, bytes]:
    """All that a search has left, by path."""
    paths = [path for path in (folder / "search").rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_search_killed_at_every_trial_ends_as_one_that_nobody_killed(
    tuner: str, trials: Trials, tmp_path: Path
) -> None:
    """Before and after its result is there: the same trials, files and best, and what has ended
    never runs again.
    """
    expected = result(trials, tmp_path / "whole", tuner)
    count = len(trials.ran)
    trials.ran.clear()
    for number in range(count):
        for when in ("before", "after"):
            trials.kill = (when, number)
            with pytest.raises(Killed):
                result(trials, tmp_path / "killed", tuner)
    assert result(trials, tmp_path / "killed", tuner) == expected
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert trials.ran == [f"{number:04}" for number in range(count)]
    assert trials.lacked == []


def test_the_synthetic_searches_are_worth_comparing(trials: Trials, tmp_path: Path) -> None:
    """A failure in each, promotions, a whole grid; at the end the best checkpoint stays alone."""
    rows = {tuner: result(trials, tmp_path / tuner, tuner)[0] for tuner in TUNERS}
    for tuner, found in rows.items():
        assert [trial.status for trial in found].count("FAILED") == 1
        best = max((trial for trial in found if trial.score), key=lambda trial: trial.score)
        kept = [name.split("/")[1] for name in files(tmp_path / tuner) if name.endswith(".h5")]
        assert kept == [f"trial_{best.trial_id}"]
    assert len({str(trial.values) for trial in rows["grid"]}) == len(rows["grid"]) == 4 * 3 * 2
    assert any("tuner/trial_id" in trial.values for trial in rows["hyperband"])


@pytest.mark.parametrize(("parallel", "most"), [(1, 11), (2, 12), (8, 18)])
def test_only_checkpoints_that_may_be_needed_are_on_disk(
    parallel: int, most: int, trials: Trials, tmp_path: Path
) -> None:
    """Of Hyperband those that are best, run, are gone on from, or may still be; each is there when
    a trial goes on from it. What they took at most is told, and forecast.
    """
    own: dict[str, Any] = {"max_epochs": 9, "hyperband_iterations": 3, "parallel": parallel}
    endless = {**SPACE, "rate": {"hp": "Float", "min_value": 0.1, "max_value": 0.5}}
    rows = result(trials, tmp_path, "hyperband", space=endless, **own)[0]
    assert len(rows) > 60
    assert (trials.most <= most, trials.lacked) == (True, [])
    told = json.loads((tmp_path / "search" / "oracle.json").read_text())["peak_bytes"]
    others = sum(len(f) for name, f in files(tmp_path).items() if "trial_" in name) - 7
    assert 0 < told - others <= 7 * most


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "empty": lambda path: path.write_bytes(b""),
    "foreign": lambda path: path.write_text("[1, 2]"),
    "gone": lambda path: path.unlink(),
    "another's": lambda path: path.write_bytes(
        (path.parents[1] / "trial_0000" / path.name).read_bytes()
    ),
}


FILES = ("trial_0001/result.json", "trial_0001/trial.json", "oracle.json")
DAMAGED = [
    *((tuner, FILES[0], damage) for tuner in TUNERS if tuner != "bayesian" for damage in DAMAGES),
    *(("random", FILES[1], damage) for damage in DAMAGES),
    *(("grid", FILES[2], damage) for damage in DAMAGES if damage != "another's"),
    ("bayesian", FILES[0], "cut"),  # each of its points costs half a second
]


@pytest.mark.parametrize(("tuner", "name", "damage"), DAMAGED)
def test_a_damaged_file_is_made_again(
    tuner: str, name: str, damage: str, trials: Trials, tmp_path: Path
) -> None:
    """A trial whose result is lost runs again, the others do not; all else is written anew."""
    trials.kill = ("before", 3)
    with pytest.raises(Killed):
        result(trials, tmp_path, tuner)
    DAMAGES[damage](tmp_path / "search" / name)
    trials.kill = ("never", 0)
    trials.ran.clear()
    found = result(trials, tmp_path, tuner)
    assert trials.ran[:2] == (["0001", "0003"] if "result" in name else ["0003", "0004"])
    assert found == result(trials, tmp_path / "whole", tuner)
    assert files(tmp_path) == files(tmp_path / "whole")


@pytest.mark.parametrize("tuner", ["random", "grid", "hyperband"])
def test_a_result_of_other_values_does_not_stand_in_for_a_trial(
    tuner: str, trials: Trials, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and the trial runs again."""
    expected = result(trials, tmp_path, tuner)
    path = tmp_path / "search" / "trial_0001" / "result.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "asked": {**content["asked"], "model.units": 99}}))
    trials.ran.clear()
    assert result(trials, tmp_path, tuner) == expected
    assert trials.ran == ["0001"]
    assert "trial 0001 runs again: its result belongs to other values" in caplog.text


def test_a_replay_fits_no_gaussian_process(
    trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fit costs half a second: what has ended is asked for as it was recorded."""
    expected = result(trials, tmp_path, "bayesian")
    monkeypatch.delattr(bayesian, "candidates")
    assert result(trials, tmp_path, "bayesian") == expected


def test_a_search_says_how_many_trials_it_took_over(trials: Trials, tmp_path: Path) -> None:
    """None, where all of them ran in this start."""
    assert run(trials, tmp_path, "random", max_trials=3)[-1] == {}
    assert run(trials, tmp_path, "random", max_trials=5)[-1] == {"reused": 3}
    assert run(trials, tmp_path, "random", max_trials=2)[-1] == {"reused": 2}


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_trial_that_ran_out_of_memory_counts_as_failed_until_the_next_start(
    tuner: str, trials: Trials, tmp_path: Path
) -> None:
    """Then all is as if the memory had been there, whatever was asked for after it meanwhile."""
    expected = result(trials, tmp_path / "whole", tuner)
    trials.starved, first = 1, len(expected[0])
    rows = result(trials, tmp_path / "short", tuner)[0]
    assert [row.trial_id for row in rows if row.status == "FAILED"] == ["0001", "0002"]
    trials.starved = None
    del trials.ran[:]
    assert result(trials, tmp_path / "short", tuner) == expected
    assert trials.ran[0] == "0001"
    assert len(trials.ran) < first
    assert result(trials, tmp_path / "short", tuner) == expected
    assert trials.ran.count("0001") == 1


def test_a_budget_is_raised_and_lowered(trials: Trials, tmp_path: Path) -> None:
    """The same search goes on, or is read as far as it is asked for; nothing runs twice."""
    for tuner, key, budgets in (
        ("random", "max_trials", (3, 6)),
        ("tpe", "max_trials", (4, 8)),
        ("hyperband", "hyperband_iterations", (1, 2)),
    ):
        few, many, again = (
            result(trials, tmp_path / tuner, tuner, **{key: budgets[n]})[0] for n in (0, 1, 0)
        )
        assert few == many[: len(few)] == again
        assert trials.ran == [row.trial_id for row in many]
        trials.ran.clear()


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_clock_ends_a_search_and_the_number_of_its_trials_repeats_it(
    tuner: str, trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs then ends and counts. With more time it goes on to where it would have come."""
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(len(trials.ran))))
    most = settings(tuner).tuner.limit
    rows, *_, ended = result(trials, tmp_path / "short", tuner, max_seconds=3)
    assert [row.trial_id for row in rows] == trials.ran == ["0000", "0001", "0002"]
    said = f"tuner.max_seconds=3 ended it after 3 trials; tuner.{most}=3 repeats it"
    assert ended == {"ended": said, "max_seconds": 3.0}
    assert result(trials, tmp_path / "again", tuner, **{most: 3})[0] == rows
    assert files(tmp_path / "short") == files(tmp_path / "again")
    expected = result(trials, tmp_path / "whole", tuner)
    assert expected[3] == {}
    trials.ran.clear()
    assert result(trials, tmp_path / "short", tuner, max_seconds=100) == expected
    assert trials.ran[0] == "0003"


def test_no_time_leaves_what_there_is(trials: Trials, tmp_path: Path) -> None:
    """One trial where there is none; and what a kill has cut off before others that had ended."""
    assert len(result(trials, tmp_path / "new", "random", max_seconds=0)[0]) == 1
    trials.kill = ("before", 4)
    with pytest.raises(Killed):
        result(trials, tmp_path, "random")
    (tmp_path / "search" / "trial_0001" / "result.json").unlink()
    trials.ran.clear()
    rows = result(trials, tmp_path, "random", max_seconds=0)[0]
    assert [row.trial_id for row in rows] == ["0000", "0001", "0002", "0003"]
    assert trials.ran == ["0001"]


def test_time_is_counted_once_however_many_trials_ran(tmp_path: Path) -> None:
    """And not while none did."""
    spans = [(0, 2.5), (1, 1.0), (2, 4.0), (30, 5.5), (31, 0.5)]
    results = [
        TrialResult(
            trial_id=f"{begun}",
            asked={},
            hyperparameters={},
            status="COMPLETED",
            started=f"2026-01-01T00:00:{begun:02}.000+00:00",
            seconds=lasted,
        )
        for begun, lasted in reversed(spans)
    ]
    assert loop.seconds(results) == pytest.approx(6 + 5.5)


class Threads(Trials):
    """Trials that run at the same time."""

    slots = 0

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.slots, self.pool, self.go = slots, ThreadPoolExecutor(slots), threading.Event()
        self.go.set()

    def submit(self, _: object, /, *task: Any, **__: Any) -> Any:
        return self.pool.submit(self.trial, *task[3:])

    def trial(self, *task: Any) -> TrialResult:
        assert self.go.wait(10)
        return super().trial(*task)


def test_a_trial_that_waits_for_a_worker_does_not_begin_when_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked for, but no more."""
    workers, seen = Threads(1), list[float]()

    def clock() -> float:
        seen.append(100.0 if workers.pool._work_queue.qsize() else 0.0)
        if 100.0 in seen[:-1]:
            workers.go.set()
        return max(seen)

    workers.go.clear()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=clock))
    rows = run(workers, tmp_path, "random", max_seconds=4)[0]
    assert [row.trial_id for row in rows] == workers.ran == ["0000"]


@pytest.mark.parametrize("tuner", [tuner for tuner in TUNERS if tuner != "hyperband"])
def test_trials_in_vain_end_a_search(tuner: str, trials: Trials, tmp_path: Path) -> None:
    """After so many that were told without a better score, whatever else was running, and killed or
    not.
    """
    rows = result(trials, tmp_path / "whole", tuner)[0]
    in_vain, best, expected = 0, -math.inf, list[Any]()
    patience = 1 if tuner == "bayesian" else 2  # its few trials take half a second each
    while in_vain < patience:
        expected.append(rows[len(expected)])
        score = expected[-1].score
        better = score is not None and score > best
        in_vain, best = (0, score) if better else (in_vain + 1, best)
    assert len(expected) < len(rows)
    given: dict[str, Any] = {"tuner": tuner, "stop_when_no_improvement": patience}
    found = run(Threads(3), tmp_path / "threads", **given)
    assert found[0] == expected
    said = f"tuner.stop_when_no_improvement={patience} ended it after {len(expected)} trials"
    assert found[3] == {"ended": said}
    trials.kill = ("after", len(expected) - 1)
    with pytest.raises(Killed):
        result(trials, tmp_path / "killed", **given)
    assert result(trials, tmp_path / "killed", **given) == found


def test_seeds_of_runs_draw_different_trials(trials: Trials, tmp_path: Path) -> None:
    """And the same seed the same ones."""
    for tuner in ("random", "bayesian", "tpe"):
        one, same, other = (
            [row.values for row in result(trials, tmp_path / tuner / name, tuner, seed)[0]]
            for name, seed in (("a", 1), ("b", 1), ("c", 2))
        )
        assert one == same
        assert one != other


def test_failures_in_a_row_end_a_search(trials: Trials, tmp_path: Path) -> None:
    """Counted over a restart; a higher limit goes on."""
    for _ in range(2):
        with pytest.raises(SearchError, match="1 trials in a row failed"):
            result(trials, tmp_path, "random", max_consecutive_failed_trials=1)
    assert trials.ran == ["0000", "0001", "0002"]
    assert len(result(trials, tmp_path, "random", max_consecutive_failed_trials=2)[0]) == 8


def test_a_folder_of_another_search_is_refused(tmp_path: Path) -> None:
    """Its marker says whose it is; one that cannot be read is written anew."""
    mine = place(tmp_path)
    mine.mark({})
    with pytest.raises(InputError, match="belongs to another search"):
        SearchFolder(mine.folder, "e" * 64, mine.locks).mark({})
    (mine.folder / "search.json").write_bytes(b"")
    mine.mark({})
    assert json.loads((mine.folder / "search.json").read_text())["fingerprint"] == mine.fingerprint


def test_a_search_says_that_its_pipeline_was_tried(tmp_path: Path) -> None:
    """Before its first trial, so that it need not be when it goes on; another pipeline's, with
    another validation say, need.
    """
    mine, hp = place(tmp_path), HyperParameters()
    declare({"model": SPACE}, hp)
    assert tried(mine.folder, "p") is None
    size = Size(3, 12, hp.get_config())
    mine.mark({"pipeline": "main", "tried": {"fingerprint": "p", "size": vars(size)}})
    assert tried(mine.folder, "p") == size
    assert tried(mine.folder, "q") is None


# --- the space


NESTED = {
    "hidden": {"h1": SPACE["units"], "h2": None},
    "blocks": [{"rate": SPACE["rate"]}, 3],
    "own": {**SPACE["kind"], "name": "kind"},
    "plain": "relu",
}


def test_hyperparameters_are_named_by_their_path() -> None:
    """Through mappings and lists."""
    assert [path for path, _ in hyperparameters(NESTED, "model")] == [
        "model.hidden.h1",
        "model.blocks[0].rate",
        "model.own",
    ]
    assert [len(hyperparameters(v)) == 1 for v in (SPACE["units"], NESTED, {}, "hp", ["hp"])] == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_sampling_replaces_each_hyperparameter_by_its_value() -> None:
    """And leaves all else as it is; what the object holds wins over the default."""
    hp = keras_tuner.HyperParameters()
    hp.values["model.hidden.h1"] = 4
    assert sample(NESTED, hp, "model") == {
        "hidden": {"h1": 4, "h2": None},
        "blocks": [{"rate": 0.1}, 3],
        "own": "a",
        "plain": "relu",
    }
    assert hp.values == {"model.hidden.h1": 4, "model.blocks[0].rate": 0.1, "kind": "a"}
    assert [type(entry).__name__ for entry in hp.space] == ["Int", "Float", "Choice"]


def test_every_kind_of_hyperparameter_is_keras_tuners_own() -> None:
    """With the arguments of the config, read and written back."""
    specs: dict[str, dict[str, Any]] = {
        "i": {
            "hp": "Int",
            "min_value": 2,
            "max_value": 8,
            "step": 2,
            "sampling": "log",
            "default": 4,
        },
        "f": {"hp": "Float", "min_value": 0.1, "max_value": 0.9, "default": 0.3},
        "c": {"hp": "Choice", "values": [3, 1], "ordered": False, "default": 1},
        "b": {"hp": "Boolean", "default": True},
        "x": {"hp": "Fixed", "value": "relu"},
    }
    hp = keras_tuner.HyperParameters()
    written_back = {key: read(spec, Hyperparameter)[0].model_dump() for key, spec in specs.items()}
    assert sample(written_back, hp, "m") == {"i": 4, "f": 0.3, "c": 1, "b": True, "x": "relu"}
    integer = hp.space[0]
    assert (integer.min_value, integer.max_value, integer.step, integer.sampling) == (
        2,
        8,
        2,
        "log",
    )


def test_a_hyperparameter_whose_condition_does_not_hold_is_none() -> None:
    """And its own value where it holds."""
    tree = {
        "deep": {"hp": "Boolean"},
        "second": {**SPACE["units"], "parent_name": "m.deep", "parent_values": [True]},
    }
    shallow, deep = keras_tuner.HyperParameters(), keras_tuner.HyperParameters()
    deep.values["m.deep"] = True
    assert sample(tree, shallow, "m") == {"deep": False, "second": None}
    assert sample(tree, deep, "m") == {"deep": True, "second": 1}


def test_a_condition_may_stand_before_what_it_names() -> None:
    """A merge puts inherited keys first, and sections have no order that anybody wrote."""
    second = {**SPACE["units"], "parent_name": "fit.deep", "parent_values": [True]}
    third = {**SPACE["units"], "parent_name": "m.kind", "parent_values": ["a"]}
    kind = {"hp": "Choice", "values": ["a", "b"]}
    deep = {"hp": "Boolean", "default": True}
    trees = {"m": {"third": third, "second": second, "kind": kind}, "fit": {"deep": deep}}
    hp = keras_tuner.HyperParameters()
    declare(trees, hp)
    assert [found.name for found in hp.space] == ["m.kind", "fit.deep", "m.third", "m.second"]
    assert sample(trees["m"], hp, "m") == {"third": 1, "second": 1, "kind": "a"}


def drawn_spec(draw: random.Random) -> dict[str, Any]:
    """A hyperparameter as somebody might write it, right or wrong."""
    kind = draw.choice(["Int", "Float", "Choice", "Boolean", "Fixed"])
    if kind in ("Int", "Float"):
        number: Callable[[], Any] = (
            (lambda: draw.randint(-2, 9))
            if kind == "Int"
            else (lambda: draw.choice([-1.0, 0.0, 0.001, 0.5, 1, 8.0]))
        )
        spec = {"hp": kind, "min_value": number(), "max_value": number()}
        optional = {
            "step": number,
            "sampling": lambda: draw.choice(["linear", "log", "reverse_log"]),
            "default": number,
        }
        return spec | {key: make() for key, make in optional.items() if draw.random() < 0.5}
    if kind == "Choice":
        values = [
            draw.choice([0, 1, 2, 0.5, "a", "b", True, False]) for _ in range(draw.randint(0, 3))
        ]
        extra = {"ordered": False} if draw.random() < 0.3 else {}
        return {"hp": kind, "values": values, **extra} | (
            {"default": draw.choice([1, "a"])} if draw.random() < 0.3 else {}
        )
    return (
        {"hp": "Boolean"}
        if kind == "Boolean"
        else {"hp": "Fixed", "value": draw.choice([1, 0.5, "a", True])}
    )


def test_what_passes_the_check_is_taken_and_drawn_by_keras_tuner() -> None:
    """Over many specifications: no config that is called right fails once the search has begun."""
    draw = random.Random(7)
    passed = 0
    for _ in range(1200):
        spec = drawn_spec(draw)
        made, found = read(spec, Hyperparameter)
        if found:
            continue
        passed += 1
        hp = keras_tuner.HyperParameters()
        sample({"x": made.model_dump()}, hp, "m")
        value = hp.space[0].random_sample(seed=draw.randint(1, 10**6))
        if spec["hp"] in ("Int", "Float"):
            assert spec["min_value"] <= value <= spec["max_value"], spec
    assert passed > 200


# --- the repeats of a refit


def validated(*rows: dict[str, float]) -> Validated:
    return Validated([Refit({"validation": row, "history": {}}) for row in rows], 0, {}, 0.0)


def test_a_summary_is_the_mean_and_the_sample_deviation() -> None:
    """Over the repeats; of a single one there is no deviation, and of a metric that is not defined,
    since a class is missing from the rows, neither.
    """
    rows = [{"rmse": value, "r2": value / 10, "auc": math.nan} for value in (1.0, 2.0, 6.0)]
    deviation = {"rmse": math.sqrt(7), "r2": math.sqrt(0.07), "auc": math.nan}
    assert validated(*rows).summary("validation") == {
        "repeats": 3,
        "metrics": pytest.approx({"rmse": 3.0, "r2": 0.3, "auc": math.nan}, nan_ok=True),
        "deviation": pytest.approx(deviation, nan_ok=True),
    }
    one = {"repeats": 1, "metrics": {"rmse": 1.0}, "deviation": {}}
    assert validated({"rmse": 1.0}).summary("validation") == one


@pytest.mark.parametrize(
    ("objective", "trial", "reached", "own", "words"),
    [
        ("val_accuracy", [0.7, 0.95], [0.91, 0.9, 0.93], None, None),
        ("val_accuracy", [0.7, 0.95], [0.4], None, "in the best trial"),
        ("val_accuracy", [0.7, 0.95], [0.4, 0.95, 0.3], None, None),  # as unlike as these are
        ("val_accuracy", [0.7, 0.95], [0.45, 0.41, 0.43], None, "in the best trial"),
        ("val_accuracy", [], [0.2], None, "in the best trial"),  # of a fit that reports a number
        ("val_accuracy", [0.7, 0.95], [0.8], 0.95, "in their own training"),
        ("val_accuracy", [0.7, 0.95], [0.98], 0.95, None),
        ("val_accuracy", [0.7, 0.95], [None], 0.95, None),
        ("val_loss", [0.6, 0.3, 1.1], [1.2], None, None),  # both went on after the best epoch
        ("val_loss", [0.6, 0.3], [1.2], None, "in the best trial"),
    ],
)
def test_refits_are_doubted_where_no_noise_explains_them(
    objective: str,
    trial: list[float],
    reached: list[float | None],
    own: float | None,
    words: str | None,
) -> None:
    """Far worse than the trial was from its best epoch on, or than their training reported."""
    sought = Objective(name=objective)
    best = min(trial, default=0.95) if sought.sense == "min" else max(trial, default=0.95)
    history: list[dict[str, Any]] = [{objective: trial}] if trial else [{}]
    searched = Trial(
        trial_id="0", status="COMPLETED", values={}, score=best, best_epoch=1, history=history
    )
    curves = {} if own is None else {objective: [own]}
    refits = [Refit({"validation": {}, "history": curves}, value) for value in reached]
    doubt = Validated(refits, 0, {}, 0.0).doubt(sought, searched)
    assert doubt is None if words is None else words in str(doubt)


def test_no_value_and_no_message_is_beyond_a_file(tmp_path: Path, trials: Trials) -> None:
    """Integers of more than 64 bits, and letters that UTF-8 does not have."""
    odd = {"big": -(2**70), "\udc80": ["\ud800", 2**64]}
    place(tmp_path).mark({"pipeline": "main", "parts": odd})
    values: dict[str, int | float | str | bool] = {"big": 2**80, "odd": "\udc80"}
    result = TrialResult(
        trial_id="0000",
        asked=values,
        hyperparameters={"space": [], "values": values},
        status="FAILED",
        message="\udc80",
        metrics={"score": 2**70},
        started="",
        seconds=0.0,
    )
    place(tmp_path).write("result.json", vars(result), "0000")
    assert place(tmp_path).results() == {"0000": result}
    assert read_marker(place(tmp_path).folder) is not None
