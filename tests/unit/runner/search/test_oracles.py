"""What is relied on in Keras Tuner's private parts: a new version that differs fails here first."""

import inspect
import random
import tracemalloc
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
from runner_samples import pipeline
from training_samples import bench

from runner.config.schema import Objective, Pipeline, Run
from runner.config.space import declare
from runner.errors import ConfigError
from runner.search import cube, tpe
from runner.search.oracles import Oracle, new_oracle
from runner.search.spaces import populate
from runner.training.ledger import TrialResult
from runner.training.trial import measured

TUNERS: dict[str, dict[str, Any]] = {
    "random": {"kind": "random"},
    "grid": {"kind": "grid"},
    "bayesian": {"kind": "bayesian", "num_initial_points": 2},
    "tpe": {"kind": "tpe", "num_initial_points": 2},
    "hyperband": {"kind": "hyperband", "max_epochs": 3},
}
EMPTY: dict[str, Any] = {"space": [], "values": {}}
RATE: dict[str, Any] = {"hp": "Float", "min_value": 0.1, "max_value": 0.5}
WIDTH = {"hp": "Int", "min_value": 4, "max_value": 512, "step": 4}


OBJECTIVE = {"name": "score", "direction": "max"}


def settings(tuner: str) -> Pipeline:
    return pipeline(tuner=TUNERS[tuner], objective=OBJECTIVE)


def new(tuner: str, recorded: Any = ()) -> Oracle:
    space = keras_tuner.HyperParameters()
    declare({"model": {"rate": RATE}}, space)
    return new_oracle(Run(), settings(tuner), space.get_config(), dict(recorded))


def over(
    tuner: str, space: dict[str, Any], direction: Any = "max", seed: Any = 0, **own: Any
) -> Oracle:
    """An oracle of a model's space."""
    objective = {**OBJECTIVE, "direction": direction}
    hp, model = keras_tuner.HyperParameters(), {"_target_": "runner.models.mlp", **space}
    declare({"model": space}, hp)
    made = pipeline(model=model, tuner={**TUNERS[tuner], **own}, objective=objective)
    return new_oracle(Run(seed=seed), made, hp.get_config(), {})


def told_of(
    oracle: Oracle, number: int, late: int | None = None, score: float | None = None
) -> Any:
    """Tells a trial a score; its model has perhaps brought up another hyperparameter."""
    hp = oracle.trials[f"{number:04}"].hyperparameters.copy()
    values = dict(hp.values)
    if late is not None:
        hp.values["late"] = late
        hp.Int("late", 1, 9, default=3)
    score = -((values["model.rate"] - 0.3) ** 2) if score is None else score
    metrics = {"score": score, "loss": 1.0}
    result = TrialResult(
        trial_id=f"{number:04}",
        asked=values,
        hyperparameters=hp.get_config(),
        status="COMPLETED",
        metrics=metrics,
        best_step=2,
        started="",
        seconds=0.0,
    )
    told = oracle.tell(result)
    assert told.score == metrics["score"]
    assert (told.trial["best_step"], told.trial["status"]) == (2, "COMPLETED")


def step(oracle: Oracle) -> dict[str, Any]:
    """The values of the next trial, which is told a score."""
    values = asked(oracle)
    told_of(oracle, len(oracle.end_order))
    return values


@pytest.mark.parametrize("tuner", TUNERS)
def test_an_oracle_is_asked_and_told_and_leaves_nothing(
    tuner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file, no line of output; trials are numbered in order."""
    monkeypatch.chdir(tmp_path)
    oracle = new(tuner)
    for _ in range(3):
        step(oracle)
    assert [*oracle.trials] == oracle.end_order == ["0000", "0001", "0002"]
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize(
    "space",
    [
        {"rate": {**RATE, "default": 0.4}, "on": {"hp": "Boolean"}, "units": WIDTH},
        {"rate": {**RATE, "default": 0.1}, "on": {"hp": "Boolean"}, "units": WIDTH},
        {"rate": RATE, "on": {"hp": "Boolean", "default": True}, "units": WIDTH},
    ],
)
def test_the_first_trial_has_the_defaults_where_any_is_stated(
    tuner: str, space: dict[str, Any]
) -> None:
    """Though it be the least value; and no other trial has them all again."""
    hp = keras_tuner.HyperParameters()
    declare({"model": space}, hp)
    oracle = over(tuner, space)
    drawn = [asked(oracle) for _ in range(3)]
    assert {name: drawn[0][name] for name in hp.values} == hp.values
    assert all({name: each[name] for name in hp.values} != hp.values for each in drawn[1:])


STARTS: list[dict[str, Any]] = [
    {"model.rate": 0.3, "model.kind": "b"},
    {},
    {"model.kind": "a", "model.units": 77, "model.rate": 0.1},
    {"model.kind": "b", "model.on": True},
    {"model.rate": 0.2},
]
CONDITIONAL: dict[str, Any] = {
    "rate": {**RATE, "default": 0.4},
    "kind": {"hp": "Choice", "values": ["a", "b"]},
    "units": {**WIDTH, "parent_name": "model.kind", "parent_values": ["a"]},
    "on": {"hp": "Boolean", "parent_name": "model.kind", "parent_values": ["b"]},
}


@pytest.mark.parametrize("tuner", [tuner for tuner in TUNERS if tuner != "grid"])
def test_a_search_starts_from_what_is_given(tuner: str) -> None:
    """In order, what is left out by default, and only what conditions let in; though others could
    be chosen by now, and whether the first were recorded or not. Then it goes on.
    """
    own = {"max_epochs": 9} if tuner == "hyperband" else {}
    oracle = over(tuner, CONDITIONAL, start_from=STARTS, **own)
    drawn = [step(oracle) for _ in range(7)]
    found = [{k: v for k, v in each.items() if not k.startswith("tuner/")} for each in drawn]
    assert found[:5] == [
        {"model.rate": 0.3, "model.kind": "b", "model.on": False},
        {"model.rate": 0.4, "model.kind": "a", "model.units": 4},
        {"model.rate": 0.1, "model.kind": "a", "model.units": 77},
        {"model.rate": 0.4, "model.kind": "b", "model.on": True},
        {"model.rate": 0.2, "model.kind": "a", "model.units": 4},
    ]
    assert found[5] != found[6]
    again = over(tuner, CONDITIONAL, start_from=STARTS, **own)
    again.recorded = {f"{number:04}": drawn[number] for number in range(6)}
    assert [step(again) for _ in range(7)] == drawn


def test_what_a_search_starts_from_must_lie_in_its_space() -> None:
    """All that does not is said, and where; a number may be written as another type has it."""
    lying: dict[str, Any] = {
        "model.rte": 0.3, "model.rate": 0.6, "model.kind": "c", "model.units": 4.5, "model.on": 1,
    }  # fmt: skip
    with pytest.raises(ConfigError) as error:
        over("random", CONDITIONAL, start_from=[{}, lying, {"model.rate": "high"}])
    assert [
        (problem.where, problem.what.partition(" (")[0]) for problem in error.value.problems
    ] == [
        ("tuner.start_from[1]", "model.rate is a number from 0.1 to 0.5, not 0.6"),
        ("tuner.start_from[1]", "model.kind is one of a, b, not 'c'"),
        ("tuner.start_from[1]", "model.units is a whole number from 4 to 512, not 4.5"),
        (
            "tuner.start_from[1]",
            "unknown hyperparameter 'model.rte'; did you mean 'model.rate'?",
        ),
        ("tuner.start_from[1]", "model.on has no value here: its condition does not hold"),
        ("tuner.start_from[2]", "model.rate is a number from 0.1 to 0.5, not 'high'"),
    ]
    oracle = over("random", CONDITIONAL, start_from=[{"model.units": 8.0, "model.rate": 0.5}])
    assert repr(asked(oracle)["model.units"]) == "8"


SPACES: dict[str, dict[str, Any]] = {
    "int": {"hp": "Int", "min_value": -3, "max_value": 4},
    "int by 3": {"hp": "Int", "min_value": -3, "max_value": 9, "step": 3},
    "int log": {"hp": "Int", "min_value": 2, "max_value": 40, "sampling": "log"},
    "int log by 2": {"hp": "Int", "min_value": 4, "max_value": 64, "sampling": "log", "step": 2},
    "int reverse": {"hp": "Int", "min_value": 2, "max_value": 40, "sampling": "reverse_log"},
    "large": {"hp": "Int", "min_value": 1, "max_value": 10**8},
    "float": {"hp": "Float", "min_value": -1.0, "max_value": 0.5},
    "float by 0.1": {"hp": "Float", "min_value": 0.15, "max_value": 0.95, "step": 0.1},
    "float by tenths": {"hp": "Float", "min_value": 0.0, "max_value": 1.0, "step": 0.1},
    "float log": {"hp": "Float", "min_value": 1e-4, "max_value": 0.1, "sampling": "log"},
    "float reverse": {
        "hp": "Float", "min_value": 1.0, "max_value": 9.0, "sampling": "reverse_log", "step": 1.5,
    },
    "words": {"hp": "Choice", "values": ["x", "y", "z"]},
    "numbers": {"hp": "Choice", "values": [16, 64, 32]},
    "booleans": {"hp": "Choice", "values": [True, False]},
    "boolean": {"hp": "Boolean"},
    "fixed": {"hp": "Fixed", "value": 7},
}  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
def test_optuna_sees_each_hyperparameter_as_keras_tuner_has_it(name: str) -> None:
    """Whatever Keras Tuner draws has a place, at which it is found again: a whole number or a value
    of steps exactly. What Optuna draws lies in the range, and reaches its ends.
    """
    hp = keras_tuner.HyperParameters()
    declare({"m": {"x": SPACES[name]}}, hp)
    [one] = hp.space
    axis = tpe.Axis("0000", one)
    for seed in range(200):
        value = one.random_sample(seed)
        position = axis.position(value)
        assert axis.distribution._contains(axis.distribution.to_internal_repr(position))
        found = axis.draw(optuna.trial.FixedTrial({"0000": position}))
        assert found == pytest.approx(value, rel=1e-9) if axis.count is None else found == value
        assert type(found) is type(value)
    if not isinstance(axis.distribution, optuna.distributions.CategoricalDistribution):
        low, high = (getattr(axis.distribution, end) for end in ("low", "high"))
        ends = [axis.draw(optuna.trial.FixedTrial({"0000": end})) for end in (low, high)]
        if hasattr(one, "min_value") and not SPACES[name].get("step"):
            assert sorted(ends) == pytest.approx([one.min_value, one.max_value])


def test_tpe_looks_where_scores_are_best_and_not_where_others_look(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nearer than random search does; trials that run are known to it. Optuna logs nothing."""
    near = {}
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    for tuner in ("random", "tpe"):
        oracle = new(tuner)
        rates = [step(oracle)["model.rate"] for _ in range(40)]
        near[tuner] = float(np.mean([abs(rate - 0.3) for rate in rates[20:]]))
    assert near["tpe"] < near["random"] * 0.7
    crowd = [asked(oracle)["model.rate"] for _ in range(8)]
    assert len({*crowd}) == 8
    assert np.std(crowd) > 0
    optuna.logging.disable_propagation()
    assert caplog.records == []


@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
def test_numbers_stay_in_their_range(sampling: str) -> None:
    """At its ends, Keras Tuner's would be one more, or one less."""
    spec = {"hp": "Int", "min_value": 7, "max_value": 28, "sampling": sampling}
    (one,) = over("bayesian", {"units": spec}).get_space().space
    assert [cube.value_at(one, at) for at in (0.0, 1.0)] == [7, 28]
    rate = keras_tuner.HyperParameters()
    rate.Float("rate", 1e-4, 0.1, sampling="log", default=0.0)
    assert cube.coordinate(rate.space[0], 0.0) == 0.0


@pytest.mark.parametrize("name", SPACES)
def test_what_bayesian_optimisation_is_asked_about_can_be_tried(name: str) -> None:
    """A point is where its values are, so that what is learned of a trial is known of its point."""
    space = over("bayesian", {"one": SPACES[name]}).get_space()
    drawn = cube.snapped(np.linspace(0, 1, 50)[:, None], space)
    assert cube.snapped(drawn, space) == pytest.approx(drawn)
    for point in drawn:
        cube.values_at(point, space)
        assert cube.point(space, space.space) == pytest.approx(point)
    tried = {cube.values_at(point, space)["model.one"] for point in drawn}
    assert len(tried) == len({*drawn.ravel()})
    one = space.space[0]
    if name != "large" and getattr(one, "step", not hasattr(one, "min_value")):
        assert tried == {*one.values}


@pytest.mark.parametrize("direction", ["max", "min"])
def test_bayesian_optimisation_looks_where_scores_are_best(direction: str) -> None:
    """Soon and closely, though it looks at the ends first."""
    oracle = over("bayesian", {"rate": RATE}, direction=direction)
    rates = []
    for number in range(12):
        rates.append(asked(oracle)["model.rate"])
        distance = (rates[-1] - 0.3) ** 2
        told_of(oracle, number, score=-distance if direction == "max" else distance)
    assert min(abs(rate - 0.3) for rate in rates) < 0.004
    assert np.mean([abs(rate - 0.3) for rate in rates[6:]]) < 0.05


def test_bayesian_optimisation_expects_the_worst_of_trials_that_run() -> None:
    """So that it looks elsewhere meanwhile: as one by one it would not, of the same scores."""
    oracle = over("bayesian", {"rate": RATE})
    for number in range(6):
        asked(oracle)
        told_of(oracle, number)
    crowd = sorted(asked(oracle)["model.rate"] for _ in range(4))
    assert min(np.diff(crowd)) > 0.002


def test_bayesian_optimisation_leaves_a_category_that_is_known() -> None:
    """Keras Tuner's asks for the same trial again and again, as it takes what lies between two
    categories for a place of its own, and the values of a condition that does not hold, too.
    """
    kinds = {"hp": "Choice", "values": ["a", "b", "c"]}
    own = {**RATE, "parent_name": "model.kind", "parent_values": ["a"]}
    oracle = over("bayesian", {"kind": kinds, "rate": own}, num_initial_points=3)
    drawn = []
    for number in range(16):
        values = asked(oracle)
        drawn.append((values["model.kind"], values.get("model.rate")))
        told_of(oracle, number, score={"a": 0.5, "b": 0.1, "c": 0.4}[values["model.kind"]])
    assert {kind for kind, _ in drawn} == {"a", "b", "c"}
    assert len({*drawn}) == len(drawn)


def test_bayesian_optimisation_does_not_stay_where_noise_was_kind() -> None:
    """Near scores that differ do not make all else unknown."""
    kinds = {"hp": "Choice", "values": ["a", "b", "c"]}
    space = {"kind": kinds, "rate": RATE, "n": {"hp": "Int", "min_value": 1, "max_value": 8}}
    oracle = over("bayesian", space, num_initial_points=3)
    noise, found = random.Random(100), []
    for number in range(24):
        values = asked(oracle)
        rate, n = (values["model.rate"] - 0.1) / 0.4, values["model.n"]
        depth = {"a": 0.2, "b": 0.5, "c": 0.1}[values["model.kind"]]
        found.append(depth - (rate - 0.4) ** 2 + n * 0.05)
        told_of(oracle, number, score=found[-1] + noise.gauss(0, 0.02))
    assert max(found) > 0.89


@pytest.mark.parametrize("tuner", ["bayesian", "tpe"])
def test_a_guided_search_tries_all_of_a_small_space_once(tuner: str) -> None:
    """Then nothing is left; and where there is nothing to choose, there is one trial."""
    numbers = {"hp": "Int", "min_value": 1, "max_value": 5}
    oracle = over(tuner, {"on": {"hp": "Boolean"}, "n": numbers}, num_initial_points=1)
    drawn = []
    for number in range(10):
        drawn.append(tuple(asked(oracle).values()))
        told_of(oracle, number, score=float(drawn[-1][1]))
    assert len({*drawn}) == 10
    assert oracle.ask() is None
    empty = over(tuner, {}, num_initial_points=1)
    assert asked(empty) == {}
    told_of(empty, 0, score=0.0)
    assert empty.ask() is None


def test_where_no_default_is_stated_the_first_trial_is_drawn() -> None:
    """Least values alone are seldom worth one."""
    assert asked(new("random"))["model.rate"] > RATE["min_value"]


@pytest.mark.parametrize("tuner", ["random", "bayesian", "tpe"])
def test_a_trial_of_the_defaults_is_not_drawn_again(tuner: str) -> None:
    """Of two values, one is left after it; then nothing is."""
    oracle = over(tuner, {"on": {"hp": "Boolean", "default": True}})
    assert [asked(oracle)["model.on"] for _ in range(2)] == [True, False]
    assert oracle.ask() is None


@pytest.mark.parametrize("tuner", ["bayesian", "tpe"])
def test_what_is_guided_is_drawn_by_the_id_of_the_trial(tuner: str) -> None:
    """In its initial points and after them: whether those before were drawn or recorded is one."""
    drawing = new(tuner)
    drawn = [step(drawing) for _ in range(4)]
    for known in (1, 3):
        replaying = new(tuner, {f"{number:04}": drawn[number] for number in range(known)})
        assert [step(replaying) for _ in range(known + 1)] == drawn[: known + 1]


def asked(oracle: Oracle) -> dict[str, Any]:
    found = oracle.ask()
    assert found is not None
    return dict(found.hyperparameters["values"])


@pytest.mark.parametrize("tuner", ["bayesian", "tpe"])
def test_the_same_is_expected_of_running_trials_whenever_a_search_began(tuner: str) -> None:
    """What it asks for while others run is a function of those that have ended and of those."""
    drawing, drawn = new(tuner), list[dict[str, Any]]()
    drawn += [asked(drawing), asked(drawing)]
    for told in range(4):
        told_of(drawing, told)
        drawn += [asked(drawing)]
    replaying = new(tuner, {f"{number:04}": drawn[number] for number in range(5)})
    again = [asked(replaying), asked(replaying)]
    for told in range(4):
        told_of(replaying, told)
        again += [asked(replaying)]
    assert again == drawn


@pytest.mark.parametrize("tuner", ["random", "grid"])
def test_what_was_told_changes_nothing_at_random_and_on_a_grid(tuner: str) -> None:
    """Not even another hyperparameter that a model has brought up, nor what it has failed with."""
    silent, telling = new(tuner), new(tuner)
    expected = [asked(silent) for _ in range(8)]
    found = []
    for number in range(8):
        found.append(asked(telling))
        told_of(telling, number, late=number)
    assert found == expected


def test_what_has_come_up_since_begins_with_its_default() -> None:
    """In a trial that goes on from one without it; Keras Tuner would draw it by chance."""
    oracle = new("hyperband")
    rates = [asked(oracle)["model.rate"] for _ in range(3)]
    best = min(range(3), key=lambda number: abs(rates[number] - 0.3))
    for number in range(3):
        told_of(oracle, number, late=None if number == best else 7)
    promoted = asked(oracle)
    assert (promoted["tuner/trial_id"], promoted["late"]) == (f"{best:04}", 3)


def layered(hp: Any, num_classes: int) -> keras.Model:
    """A model function as Keras Tuner's guides write it: loops and branches, without scopes."""
    model = keras.Sequential([keras.Input((4,))])
    if hp.Choice("kind", ["plain", "deep"]) == "deep":
        if hp.Boolean("wide"):
            model.add(keras.layers.Dense(hp.Int("width", 200, 300), activation="relu"))
        for layer in range(hp.Int("layers", 1, 3)):
            model.add(keras.layers.Dense(hp.Int(f"units_{layer}", 8, 512, step=8)))
    hp.Choice("other", ["no", "yes"])
    with hp.conditional_scope("other", ["yes"]):
        for time in range(hp.Int("times", 1, 2) or 0):
            hp.Boolean(f"on_{time}")
    if hp.Choice("broken", [False, True]):
        raise ValueError("no such model")
    model.add(keras.layers.Dense(num_classes, activation="softmax"))
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.1, 1)), "sparse_categorical_crossentropy")
    return model


def test_what_loops_and_branches_bring_up_is_of_the_space_before_the_first_trial() -> None:
    """So that the first trials draw it, too, however many are asked for before one has ended. A
    model that cannot be built is its trial's failure. Nothing of it is left to chance.
    """
    space = populate(bench(pipeline(model={"_target_": f"{__name__}.layered"})))
    assert [one["config"]["name"] for one in space["space"]] == [
        "kind", "other", "times", "broken", "rate", "on_0",
        "wide", "layers", "units_0", "on_1", "width", "units_1", "units_2",
    ]  # fmt: skip
    assert space["values"] == {
        "kind": "plain", "other": "no", "broken": False, "rate": 0.1,
        "wide": False, "layers": 1, "units_0": 8, "width": 200, "units_1": 8, "units_2": 8,
    }  # fmt: skip


def test_the_names_that_are_overridden_are_there() -> None:
    """Keras Tuner calls and reads them by these names."""
    base = keras_tuner.Oracle
    assert callable(base.save)
    assert callable(base._save_trial)
    assert "random_sample(self._seed_state)" in inspect.getsource(base)


def test_what_a_training_returned_is_measured_at_its_best_epoch() -> None:
    """The mean over the trainings, of a History, a dict or a number; anything else is refused."""
    objective = Objective(name="score", direction="max")
    history = keras.callbacks.History()
    history.history = {"score": [1.0, 3.0, 2.0], "loss": [5.0, 6.0, 7.0]}
    assert measured([history], objective) == ({"score": 3.0, "loss": 6.0}, 1)
    assert measured([history, history], objective) == ({"score": 3.0, "loss": 6.0}, 1)
    assert measured([{"score": 2, "other": 1.0}], objective) == ({"score": 2.0, "other": 1.0}, 0)
    assert measured([0.5, 1.5], objective) == ({"score": 1.0}, 0)
    for wrong in (None, "text", {"other": 1.0}):
        with pytest.raises(keras_tuner.errors.FatalError):
            measured([wrong], objective)


def grid(oracle: keras_tuner.oracles.GridSearchOracle, space: dict[str, Any]) -> list[Any]:
    """What a grid asks for, up to 60 trials."""
    hp = oracle.get_space()
    declare({"model": space}, hp)
    oracle.update_space(hp)
    asked: list[Any] = []
    while len(asked) < 60:
        trial = oracle.create_trial("slot0")
        if trial.status != "RUNNING":
            return asked
        asked.append(dict(trial.hyperparameters.values))
        trial.status = "COMPLETED" if len(asked) % 3 else "FAILED"
        if trial.status == "COMPLETED":
            oracle.update_trial(trial.trial_id, {"score": 1.0})
        oracle.end_trial(trial)
    return asked


@pytest.mark.parametrize(
    "space",
    [
        {"a": {"hp": "Int", "min_value": 1, "max_value": 5, "default": 3}},
        {"a": {"hp": "Float", "min_value": 0.0, "max_value": 0.5, "step": 0.1, "default": 0.25}},
        {"a": RATE, "b": {"hp": "Boolean"}},
        {"a": {"hp": "Int", "min_value": 1, "max_value": 64, "sampling": "log", "step": 2}},
        {
            "a": {"hp": "Choice", "values": ["x", "y", "z"], "default": "y"},
            "b": {"hp": "Int", "min_value": 1, "max_value": 3, "step": 2},
            "c": {
                "hp": "Choice", "values": [1, 2],
                "parent_name": "model.a", "parent_values": ["x", "z"],
            },
            "d": {"hp": "Fixed", "value": 7},
        },
    ],
)  # fmt: skip
def test_a_grid_has_the_order_of_keras_tuners(space: dict[str, Any], tmp_path: Path) -> None:
    """Also where trials fail, and below conditions."""
    objective = keras_tuner.Objective("score", "max")
    theirs = keras_tuner.oracles.GridSearchOracle(
        objective=objective, max_consecutive_failed_trials=99
    )
    theirs._set_project_dir(str(tmp_path), "theirs")
    assert grid(new_oracle(Run(), settings("grid"), EMPTY, {}), space) == grid(theirs, space)


def test_a_grid_of_a_hundred_million_values_is_not_listed() -> None:
    """Its first trials cost what those of a small one do."""
    large = {"a": {"hp": "Int", "min_value": 1, "max_value": 10**8, "default": 3}}
    tracemalloc.start()
    asked = grid(new_oracle(Run(), settings("grid"), EMPTY, {}), large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [values["model.a"] for values in asked[:4]] == [3, 1, 2, 4]
    assert peak < 10**7
