"""Searches on disk: killed anywhere and resumed, by a pure function of the values."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from keras_tuner import HyperParameters
from runner_samples import pipeline, read

from runner.config.schema import Hyperparameter, Objective, Pipeline, Run
from runner.config.space import declare, hyperparameters, sample
from runner.data.shared import Loaded
from runner.errors import InputError, SearchError
from runner.search.executors import Workers
from runner.search.loop import search
from runner.search.state import Place, Size, TrialResult, read_marker, tried
from runner.training.validated import Validated

DATA = Loaded("", {}, 0.0, 0)
TUNERS: dict[str, dict[str, Any]] = {
    "random": {"kind": "random", "max_trials": 8},
    "grid": {"kind": "grid"},
    "bayesian": {"kind": "bayesian", "max_trials": 5, "num_initial_points": 2},
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
    """Stands for training: a trial's result is a pure function of its values."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.kill: tuple[str, int] = ("never", 0)  # before or after the result of a trial is there
        self.starved: int | None = None  # the trial with this number runs out of memory

    def submit(self, _: object, /, *task: Any, **__: Any) -> Any:
        return super().submit(self.trial, *task[3:])

    def trial(self, where: Place, trial_id: str, config: dict[str, Any]) -> TrialResult:
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
        where.write("result.json", vars(result), trial_id)
        if not failed:
            where.checkpoint(trial_id).touch()
        self._perhaps("after", trial_id)
        return result

    def _perhaps(self, when: str, trial_id: str) -> None:
        if self.kill == (when, int(trial_id)):
            raise Killed


@pytest.fixture
def trials() -> Trials:
    return Trials()


def place(folder: Path) -> Place:
    return Place(folder / "search", "f" * 64, folder / ".locks")


def settings(tuner: str, **own: Any) -> Pipeline:
    objective = {"name": "score", "direction": "max"}
    return pipeline(tuner={**TUNERS[tuner], **own}, objective=objective)


def run(workers: Workers, folder: Path, tuner: str, seed: int = 1, **own: Any) -> tuple[Any, ...]:
    """A search's trials, the best of them and its hyperparameters."""
    made, marker, space = settings(tuner, **own), {"pipeline": "main"}, HyperParameters()
    declare({"model": SPACE}, space)
    known = space.get_config()
    where = place(folder)
    outcome = search(Run(seed=seed), made, where, marker, lambda _: None, workers, DATA, known)
    return outcome.record.trials, outcome.best, outcome.hyperparameters


def files(folder: Path) -> dict[str, object]:
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
    expected = run(trials, tmp_path / "whole", tuner)
    count = len(trials.ran)
    trials.ran.clear()
    for number in range(count):
        for when in ("before", "after"):
            trials.kill = (when, number)
            with pytest.raises(Killed):
                run(trials, tmp_path / "killed", tuner)
    assert run(trials, tmp_path / "killed", tuner) == expected
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert trials.ran == [f"{number:04}" for number in range(count)]


def test_the_synthetic_searches_are_worth_comparing(trials: Trials, tmp_path: Path) -> None:
    """A failure in each, promotions, a whole grid; the best checkpoint stays, Hyperband's all."""
    rows = {tuner: run(trials, tmp_path / tuner, tuner)[0] for tuner in TUNERS}
    for tuner, found in rows.items():
        assert [row["status"] for row in found].count("FAILED") == 1
        best = max((row for row in found if row["score"] is not None), key=lambda row: row["score"])
        kept = [name.split("/")[1] for name in files(tmp_path / tuner) if name.endswith(".h5")]
        completed = len(found) - 1
        assert len(kept) == (completed if tuner == "hyperband" else 1)
        assert f"trial_{best['trial_id']}" in kept
    assert len({str(row["values"]) for row in rows["grid"]}) == len(rows["grid"]) == 4 * 3 * 2
    assert any("tuner/trial_id" in row["values"] for row in rows["hyperband"])


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
        run(trials, tmp_path, tuner)
    DAMAGES[damage](tmp_path / "search" / name)
    trials.kill = ("never", 0)
    trials.ran.clear()
    found = run(trials, tmp_path, tuner)
    assert trials.ran[:2] == (["0001", "0003"] if "result" in name else ["0003", "0004"])
    assert found == run(trials, tmp_path / "whole", tuner)
    assert files(tmp_path) == files(tmp_path / "whole")


@pytest.mark.parametrize("tuner", [tuner for tuner in TUNERS if tuner != "bayesian"])
def test_a_result_of_other_values_does_not_stand_in_for_a_trial(
    tuner: str, trials: Trials, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and the trial runs again."""
    expected = run(trials, tmp_path, tuner)
    path = tmp_path / "search" / "trial_0001" / "result.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "asked": {**content["asked"], "model.units": 99}}))
    trials.ran.clear()
    assert run(trials, tmp_path, tuner) == expected
    assert trials.ran == ["0001"]
    assert "trial 0001 runs again: its result is one of other values" in caplog.text


def test_a_replay_fits_no_gaussian_process(
    trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fit costs half a second: what has ended is asked for as it was recorded."""
    expected = run(trials, tmp_path, "bayesian")
    monkeypatch.delattr(keras_tuner.oracles.BayesianOptimizationOracle, "populate_space")
    assert run(trials, tmp_path, "bayesian") == expected


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_trial_that_ran_out_of_memory_counts_as_failed_until_the_next_start(
    tuner: str, trials: Trials, tmp_path: Path
) -> None:
    """Then all is as if the memory had been there, whatever was asked for after it meanwhile."""
    expected = run(trials, tmp_path / "whole", tuner)
    trials.starved, first = 1, len(expected[0])
    rows = run(trials, tmp_path / "short", tuner)[0]
    assert [row["trial_id"] for row in rows if row["status"] == "FAILED"] == ["0001", "0002"]
    trials.starved = None
    del trials.ran[:]
    assert run(trials, tmp_path / "short", tuner) == expected
    assert trials.ran[0] == "0001"
    assert len(trials.ran) < first
    assert run(trials, tmp_path / "short", tuner) == expected
    assert trials.ran.count("0001") == 1


def test_a_budget_is_raised_and_lowered(trials: Trials, tmp_path: Path) -> None:
    """The same search goes on, or is read as far as it is asked for; nothing runs twice."""
    for tuner, key, budgets in (
        ("random", "max_trials", (3, 6)),
        ("hyperband", "hyperband_iterations", (1, 2)),
    ):
        few, many, again = (
            run(trials, tmp_path / tuner, tuner, **{key: budgets[n]})[0] for n in (0, 1, 0)
        )
        assert few == many[: len(few)] == again
        assert trials.ran == [row["trial_id"] for row in many]
        trials.ran.clear()


def test_seeds_of_runs_draw_different_trials(trials: Trials, tmp_path: Path) -> None:
    """And the same seed the same ones."""
    for tuner in ("random", "bayesian"):
        one, same, other = (
            [row["values"] for row in run(trials, tmp_path / tuner / name, tuner, seed)[0]]
            for name, seed in (("a", 1), ("b", 1), ("c", 2))
        )
        assert one == same
        assert one != other


def test_failures_in_a_row_end_a_search(trials: Trials, tmp_path: Path) -> None:
    """Counted over a restart; a higher limit goes on."""
    for _ in range(2):
        with pytest.raises(SearchError, match="1 trials failed one after the other"):
            run(trials, tmp_path, "random", max_consecutive_failed_trials=1)
    assert trials.ran == ["0000", "0001", "0002"]
    assert len(run(trials, tmp_path, "random", max_consecutive_failed_trials=2)[0]) == 8


def test_a_folder_of_another_search_is_refused(tmp_path: Path) -> None:
    """Its marker says whose it is; one that cannot be read is written anew."""
    mine = place(tmp_path)
    mine.mark({})
    with pytest.raises(InputError, match="belongs to another search"):
        Place(mine.folder, "e" * 64, mine.locks).mark({})
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
    return Validated([{"validation": row, "history": {}} for row in rows], [], 0, {}, 0.0)


def test_a_summary_is_the_mean_and_the_sample_deviation() -> None:
    """Over the repeats; of a single one there is no deviation, and of a metric that is not defined,
    since a class is missing from the rows, neither.
    """
    rows = [{"rmse": value, "r2": value / 10, "auc": math.nan} for value in (1.0, 2.0, 6.0)]
    deviation = {"rmse": math.sqrt(7), "r2": math.sqrt(0.07), "auc": math.nan}
    assert validated(*rows).summary("validation") == {
        "metrics": pytest.approx({"rmse": 3.0, "r2": 0.3, "auc": math.nan}, nan_ok=True),
        "deviation": pytest.approx(deviation, nan_ok=True),
    }
    one = {"metrics": {"rmse": 1.0}, "deviation": {}}
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
    row = {"score": best, "history": [{objective: trial}] if trial else [{}], "best_epoch": 1}
    curves = {} if own is None else {objective: [own]}
    refits = [{"validation": {}, "history": curves} for _ in reached]
    doubt = Validated(refits, reached, 0, {}, 0.0).doubt(sought, row)
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
