"""Oracles and their state on disk, driven without training by a pure function of the values."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from runner_samples import pipeline, read

from runner.config.check import plain_config
from runner.config.schema import Hyperparameter, Run
from runner.config.space import declare, hyperparameters, is_hyperparameter, sample
from runner.errors import Problem
from runner.search.loop import SLOT, _tell
from runner.search.oracles import oracle
from runner.search.state import Place, State
from runner.training.refit import Ranking, Validated

TUNERS: dict[str, dict[str, Any]] = {
    "random": {"kind": "random"},
    "grid": {"kind": "grid"},
    "bayesian": {"kind": "bayesian", "num_initial_points": 2},
    "hyperband": {"kind": "hyperband", "max_epochs": 9, "factor": 3},
}
STEPS = {"random": 12, "grid": 30, "bayesian": 4, "hyperband": 40}
SPACE: dict[str, dict[str, Any]] = {
    "units": {"hp": "Int", "min_value": 1, "max_value": 5},
    "rate": {"hp": "Float", "min_value": 0.1, "max_value": 0.5, "step": 0.2},
    "kind": {"hp": "Choice", "values": ["a", "b"]},
}
SMOOTH = {  # where another random state leads to another point
    "units": {"hp": "Float", "min_value": 1.0, "max_value": 5.0},
    "rate": {"hp": "Float", "min_value": 0.1, "max_value": 0.5},
    "kind": SPACE["kind"],
}
FAILING = 3  # the trial with this number fails


def new(tuner: str) -> Any:
    """An oracle that knows the space."""
    made = bare(tuner)
    space = made.get_space()
    sample(SMOOTH if tuner == "bayesian" else SPACE, space, "model")
    made.update_space(space)
    return made


def bare(tuner: str) -> Any:
    """An oracle that has to be told everything."""
    return oracle(
        Run(seed=1), pipeline(tuner=TUNERS[tuner], objective={"name": "score", "direction": "max"})
    )


def result(trial: Any) -> dict[str, Any]:
    """What a training would have returned: a pure function of the values."""
    values = trial.hyperparameters.values
    score = math.sin(values["model.units"] * 3.7) + values["model.rate"] * (
        2 if values["model.kind"] == "a" else -1
    )
    score += values.get("tuner/epochs", 0) / 10
    failed = int(trial.trial_id) == FAILING
    return {
        "trial_id": trial.trial_id,
        "status": "FAILED" if failed else "COMPLETED",
        "message": "on purpose" if failed else None,
        "metrics": {} if failed else {"score": score},
        "best_step": 0,
        "asked": dict(values),
        "hyperparameters": trial.hyperparameters.get_config(),
    }


def end(kept: State, made: Any, trial: Any) -> None:
    """What a search does with a trial that has returned."""
    (kept.trial_folder(trial.trial_id) / "result.json").write_text(json.dumps(result(trial)))
    _tell(made, trial, result(trial))
    kept.save(made, trial)


Row = tuple[str, str, float | None, dict[str, Any]]


def row(trial: Any) -> Row:
    return trial.trial_id, trial.status, trial.score, dict(trial.hyperparameters.values)


def uninterrupted(tuner: str) -> list[Row]:
    made, rows = new(tuner), []
    for _ in range(STEPS[tuner]):
        trial = made.create_trial(SLOT)
        if trial.status != "RUNNING":
            break
        _tell(made, trial, result(trial))
        rows.append(row(made.trials[trial.trial_id]))
    return rows


@pytest.fixture(scope="module")
def expected() -> dict[str, list[Row]]:
    return {tuner: uninterrupted(tuner) for tuner in TUNERS}


def state(folder: Path) -> State:
    made = State(Place(folder, "f", folder / ".locks"))
    made.mark({})
    return made


def restored(tuner: str, folder: Path) -> Any:
    made = bare(tuner)
    assert state(folder).restore(made)
    return made


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_synthetic_search_is_worth_comparing(
    tuner: str, expected: dict[str, list[Row]]
) -> None:
    """Many different trials, one of them failed, Hyperband with promotions, the grid to its end."""
    rows = expected[tuner]
    assert len(rows) >= 4
    assert [status for _, status, _, _ in rows].count("FAILED") == 1
    assert [number for number, *_ in rows] == [
        str(number).zfill(len(rows[0][0])) for number in range(len(rows))
    ]
    if tuner == "grid":
        assert len(rows) == 5 * 3 * 2
        assert len({json.dumps(values, sort_keys=True) for *_, values in rows}) == 30
    if tuner == "hyperband":
        assert any("tuner/trial_id" in values for *_, values in rows)


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_search_restored_at_every_step_is_the_uninterrupted_one(
    tuner: str, expected: dict[str, list[Row]], tmp_path: Path
) -> None:
    """Killed after every ask and after every tell: the same ids, values and scores in the same
    order.
    """
    kept = state(tmp_path)
    kept.save_oracle(new(tuner))
    rows: list[Row] = []
    while len(rows) < STEPS[tuner]:
        asking = restored(tuner, tmp_path)
        trial = asking.create_trial(SLOT)
        if trial.status != "RUNNING":
            break
        kept.save(asking, trial)
        again = restored(tuner, tmp_path)
        same = again.create_trial(SLOT)
        assert (same.trial_id, same.hyperparameters.values) == (
            trial.trial_id,
            trial.hyperparameters.values,
        )
        end(kept, again, same)
        rows.append(row(again.trials[same.trial_id]))
    assert rows == expected[tuner]
    last = restored(tuner, tmp_path)
    assert [row(last.trials[trial_id]) for trial_id in last.end_order] == expected[tuner]


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_trial_that_was_told_but_not_saved_is_told_again(
    tuner: str, expected: dict[str, list[Row]], tmp_path: Path
) -> None:
    """Killed between the trial's file and the oracle's, at every trial."""
    kept = state(tmp_path)
    made = new(tuner)
    kept.save_oracle(made)
    rows: list[Row] = []
    for _ in expected[tuner]:
        trial = made.create_trial(SLOT)
        kept.save(made, trial)
        before = (tmp_path / "oracle.json").read_bytes()
        end(kept, made, trial)
        (tmp_path / "oracle.json").write_bytes(before)
        made = restored(tuner, tmp_path)
        same = made.create_trial(SLOT)
        end(kept, made, same)
        rows.append(row(made.trials[same.trial_id]))
    assert rows == expected[tuner]


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_state_that_is_saved_and_restored_is_the_same_state(tuner: str, tmp_path: Path) -> None:
    """Through the file."""
    made = new(tuner)
    kept = state(tmp_path)
    for _ in range(3):
        trial = made.create_trial(SLOT)
        kept.save(made, trial)
        end(kept, made, trial)
    found, expected = (
        json.loads(json.dumps(each.get_state())) for each in (restored(tuner, tmp_path), made)
    )
    for unordered in (found, expected):
        unordered["tried_so_far"].sort()
    assert found == expected


def written(tuner: str, folder: Path, count: int) -> State:
    """A search of some ended trials, results included."""
    made, kept = new(tuner), state(folder)
    for _ in range(count):
        trial = made.create_trial(SLOT)
        kept.save(made, trial)
        end(kept, made, trial)
    return kept


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_text("[1, 2]")


FILES = ("oracle.json", "trial_{}/trial.json", "trial_{}/result.json")
QUICK = [tuner for tuner in TUNERS if tuner != "bayesian"]  # each of its points costs half a second
DAMAGES = [
    (tuner, name, damage)
    for tuner in QUICK
    for name in FILES
    for damage in (truncate, empty, foreign, Path.unlink)
]


@pytest.mark.parametrize(("tuner", "name", "damage"), [*DAMAGES, ("bayesian", FILES[0], truncate)])
def test_a_damaged_state_is_rebuilt_from_the_results(
    tuner: str,
    name: str,
    damage: Callable[[Path], None],
    expected: dict[str, list[Row]],
    tmp_path: Path,
) -> None:
    """Restoring says no and deletes nothing; what has ended is replayed, and the search goes on as
    if nothing was.
    """
    kept = written(tuner, tmp_path, 3)
    ended = expected[tuner][:3]
    damage(tmp_path / name.format(ended[2][0]))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    made = bare(tuner)
    assert not kept.restore(made)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    made, rows, replayed = new(tuner), [], 0
    for _ in range(4):
        trial = made.create_trial(SLOT)
        found = kept.result(trial)
        replayed += found is not None
        _tell(made, trial, found or result(trial))
        rows.append(row(made.trials[trial.trial_id]))
    assert rows == expected[tuner][:4]
    assert replayed == (2 if "result" in name else 3)


def test_a_result_of_other_values_does_not_stand_in_for_a_trial(tmp_path: Path) -> None:
    """Nor does a torn one, nor none."""
    kept = written("random", tmp_path, 1)
    trial = new("random").create_trial(SLOT)
    path = kept.trial_folder(trial.trial_id) / "result.json"
    assert kept.result(trial) == result(trial)
    path.write_text(
        json.dumps({**result(trial), "asked": {**result(trial)["asked"], "model.units": 99}})
    )
    assert kept.result(trial) is None
    truncate(path)
    assert kept.result(trial) is None
    path.unlink()
    assert kept.result(trial) is None


def test_a_budget_does_not_change_the_ids() -> None:
    """So that a raised one continues the same search."""
    few, many = (
        oracle(Run(), pipeline(tuner={"kind": "random", "max_trials": budget}))
        .create_trial(SLOT)
        .trial_id
        for budget in (5, 50_000)
    )
    assert few == many


def test_seeds_of_runs_draw_different_trials() -> None:
    """And the same seed the same ones."""
    drawn = []
    for seed in (1, 1, 2):
        made = oracle(Run(seed=seed), pipeline())
        space = made.get_space()
        sample(SPACE, space, "model")
        made.update_space(space)
        drawn.append([made.create_trial(str(slot)).hyperparameters.values for slot in range(5)])
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_only_the_checkpoints_of_the_others_are_deleted(tmp_path: Path) -> None:
    """Never a trial.json, never a result."""
    kept = written("random", tmp_path, 3)
    ids = [path.name.removeprefix("trial_") for path in sorted(tmp_path.glob("trial_*"))]
    for trial_id in ids:
        kept.checkpoint(trial_id).touch()
    kept.keep_checkpoints({ids[1]})
    assert [kept.checkpoint(trial_id).exists() for trial_id in ids] == [False, True, False]
    assert len(list(tmp_path.glob("trial_*/*.json"))) == 6


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
    assert [is_hyperparameter(v) for v in (SPACE["units"], NESTED, {}, "hp", ["hp"])] == [
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
    written_back = {key: plain_config(read(spec, Hyperparameter)[0]) for key, spec in specs.items()}
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
        extra = {"ordered": draw.choice([True, False])} if draw.random() < 0.3 else {}
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
        sample({"x": plain_config(made)}, hp, "m")
        value = hp.space[0].random_sample(seed=draw.randint(1, 10**6))
        if spec["hp"] in ("Int", "Float"):
            assert spec["min_value"] <= value <= spec["max_value"], spec
    assert passed > 200


# --- the repeats of a refit


def test_a_summary_is_the_mean_and_the_sample_deviation() -> None:
    """Over the repeats; of a single one there is no deviation."""
    rows = [{"validation": {"rmse": value, "r2": value / 10}} for value in (1.0, 2.0, 6.0)]
    assert Validated(runs=rows).summary("validation") == {
        "metrics": pytest.approx({"rmse": 3.0, "r2": 0.3}),
        "deviation": pytest.approx({"rmse": math.sqrt(7), "r2": math.sqrt(0.07)}),
    }
    assert Validated(runs=rows[:1]).summary("validation") == {
        "metrics": {"rmse": 1.0, "r2": 0.1},
        "deviation": {},
    }


def test_a_metric_that_is_not_defined_has_no_mean_and_no_deviation() -> None:
    """A class that is missing from the rows leaves NaN, and the others stand."""
    rows = [{"validation": {"accuracy": value, "roc_auc": math.nan}} for value in (0.5, 0.7)]
    summary = Validated(runs=rows).summary("validation")
    assert summary["metrics"] == pytest.approx({"accuracy": 0.6, "roc_auc": math.nan}, nan_ok=True)
    assert summary["deviation"] == pytest.approx(
        {"accuracy": math.sqrt(0.02), "roc_auc": math.nan}, nan_ok=True
    )


@pytest.mark.parametrize(
    ("direction", "value", "than", "better"),
    [
        ("max", 2.0, 1.0, True),
        ("max", 1.0, 2.0, False),
        ("min", 1.0, 2.0, True),
        ("min", 1.0, 1.0, False),
        ("max", math.nan, 1.0, False),
        ("max", 1.0, math.nan, True),
        ("min", math.nan, math.nan, False),
    ],
)
def test_the_better_repeat_is_kept(direction: Any, value: float, than: float, better: bool) -> None:
    """NaN never is; the first of equals stays."""
    assert Ranking("x", direction).better(value, than) is better


def test_a_problem_is_told_with_its_key() -> None:
    """Or alone where it has none."""
    assert (str(Problem("a.b", "is wrong")), str(Problem("", "is wrong"))) == (
        "a.b: is wrong",
        "is wrong",
    )
