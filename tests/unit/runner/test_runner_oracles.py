"""What is relied on in Keras Tuner's private parts: a new version that differs fails here first."""

import inspect
import tracemalloc
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from runner_samples import pipeline

from runner.config.schema import Objective, Pipeline, Run
from runner.config.space import declare
from runner.search.oracles import Oracle, measured, new_oracle
from runner.search.state import TrialResult

TUNERS: dict[str, dict[str, Any]] = {
    "random": {"kind": "random"},
    "grid": {"kind": "grid"},
    "bayesian": {"kind": "bayesian", "num_initial_points": 2},
    "hyperband": {"kind": "hyperband", "max_epochs": 3},
}
RATE = {"hp": "Float", "min_value": 0.1, "max_value": 0.5}


def settings(tuner: str) -> Pipeline:
    return pipeline(tuner=TUNERS[tuner], objective={"name": "score", "direction": "max"})


def new(tuner: str, recorded: Any = ()) -> Oracle:
    oracle = new_oracle(Run(), settings(tuner), dict(recorded))
    space = oracle.get_space()
    declare({"model": {"rate": RATE}}, space)
    oracle.update_space(space)
    return oracle


def step(oracle: Oracle) -> dict[str, Any]:
    """The values of the next trial, which is told a score."""
    trial = oracle.ask()
    assert trial is not None
    values = dict(trial.hyperparameters.values)
    metrics = {"score": -((values["model.rate"] - 0.3) ** 2), "loss": 1.0}
    result = TrialResult(
        trial_id=trial.trial_id,
        asked=values,
        hyperparameters=trial.hyperparameters.get_config(),
        status="COMPLETED",
        metrics=metrics,
        best_step=2,
        started="",
        seconds=0.0,
    )
    oracle.tell(trial, result)
    assert (trial.score, trial.best_step, trial.status) == (metrics["score"], 2, "COMPLETED")
    return values


@pytest.mark.parametrize("tuner", TUNERS)
def test_an_oracle_is_asked_and_told_and_leaves_nothing(
    tuner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file, no line of output; trials are numbered in order, and the best is found."""
    monkeypatch.chdir(tmp_path)
    oracle = new(tuner)
    drawn = [step(oracle)["model.rate"] for _ in range(3)]
    assert [*oracle.trials] == oracle.end_order == ["0000", "0001", "0002"]
    assert oracle.best().trial_id == f"{min(range(3), key=lambda n: abs(drawn[n] - 0.3)):04}"
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_bayesian_optimisation_draws_by_the_id_of_the_trial() -> None:
    """In its initial points and after them: whether those before were drawn or recorded is one."""
    drawing = new("bayesian")
    drawn = [step(drawing) for _ in range(4)]
    for known in (1, 3):
        replaying = new("bayesian", {f"{number:04}": drawn[number] for number in range(known)})
        assert [step(replaying) for _ in range(known + 1)] == drawn[: known + 1]


def test_the_names_that_are_overridden_are_there() -> None:
    """Keras Tuner calls and reads them by these names."""
    base, bayesian = keras_tuner.Oracle, keras_tuner.oracles.BayesianOptimizationOracle
    assert callable(base.save)
    assert callable(base._save_trial)
    assert "self._random_state.uniform(" in inspect.getsource(bayesian)
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
    assert grid(new_oracle(Run(), settings("grid")), space) == grid(theirs, space)


def test_a_grid_of_a_hundred_million_values_is_not_listed() -> None:
    """Its first trials cost what those of a small one do."""
    large = {"a": {"hp": "Int", "min_value": 1, "max_value": 10**8, "default": 3}}
    tracemalloc.start()
    asked = grid(new_oracle(Run(), settings("grid")), large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [values["model.a"] for values in asked[:4]] == [3, 1, 2, 4]
    assert peak < 10**7
