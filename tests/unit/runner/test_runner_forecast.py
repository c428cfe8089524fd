"""What a search will come to, against what Keras Tuner's oracles then do."""

from typing import Any

import pytest
from runner_samples import from_hydra, pipeline

from runner.config.schema import Run
from runner.config.space import declare
from runner.run.forecast import _combinations, _hyperband
from runner.search.oracles import oracle

SPACES: dict[str, dict[str, Any]] = {
    "empty": {},
    "choices": {
        "a": {"hp": "Choice", "values": [1, 2, 3]},
        "b": {"hp": "Boolean"},
        "c": {"hp": "Fixed", "value": 3},
    },
    "steps": {
        "a": {"hp": "Int", "min_value": 1, "max_value": 4},
        "b": {"hp": "Float", "min_value": 0.0, "max_value": 1.0, "step": 0.5},
    },
    "no step": {"a": {"hp": "Float", "min_value": 0.1, "max_value": 1.0, "sampling": "log"}},
    "default": {
        "a": {"hp": "Float", "min_value": 0.0, "max_value": 1.0, "step": 0.5, "default": 0.3}
    },
    "conditions": {
        "deep": {"hp": "Boolean"},
        "a": {
            "hp": "Choice",
            "values": [1, 2, 3],
            "parent_name": "model.deep",
            "parent_values": [True],
        },
        "b": {"hp": "Choice", "values": [1, 2]},
    },
}


def told(kind: str, space: dict[str, Any], **settings: Any) -> tuple[Any, list[Any]]:
    """An oracle that knows a space, and its hyperparameters."""
    made = oracle(Run(), pipeline(tuner={"kind": kind, **settings}))
    known = made.get_space()
    declare({"model": space}, known)
    made.update_space(known)
    return made, list(made.get_space().space)


def run_all(made: Any) -> list[dict[str, Any]]:
    """The values of every trial that an oracle asks for, each told a score of its own."""
    asked: list[dict[str, Any]] = []
    while (trial := made.create_trial("slot")).status == "RUNNING":
        asked.append(dict(trial.hyperparameters.values))
        made.update_trial(trial.trial_id, {"val_loss": float(len(asked))})
        trial.status = "COMPLETED"
        made.end_trial(trial)
    return asked


@pytest.mark.parametrize("space", SPACES)
def test_a_grid_has_as_many_trials_as_were_counted(space: str) -> None:
    """Conditions, values without a step and defaults beside them included."""
    made, known = told("grid", SPACES[space])
    assert _combinations(known, grid=True) == len(run_all(made))


@pytest.mark.parametrize("space", ["empty", "choices", "steps", "conditions"])
def test_a_finite_space_bounds_a_random_search(space: str) -> None:
    """Of which it tries no set of values twice."""
    made, known = told("random", SPACES[space])
    assert len(run_all(made)) <= _combinations(known, grid=False)


@pytest.mark.parametrize(("max_epochs", "factor"), [(9, 3), (10, 3), (1, 3), (8, 2), (100, 4)])
@pytest.mark.parametrize("iterations", [1, 2])
def test_hyperband_has_the_trials_and_epochs_that_were_counted(
    max_epochs: int, factor: int, iterations: int
) -> None:
    """In every round of every bracket; a trial that goes on trains the rest only."""
    settings = {"max_epochs": max_epochs, "factor": factor, "hyperband_iterations": iterations}
    made, _ = told("hyperband", SPACES["no step"], **settings)
    trials, epochs = _hyperband(made)
    asked = run_all(made)
    assert len(asked) == iterations * trials
    assert (
        sum(values["tuner/epochs"] - values["tuner/initial_epoch"] for values in asked)
        == iterations * epochs
    )


def test_hyperband_has_nothing_to_do_without_a_hyperparameter() -> None:
    """Which is why such a config is refused."""
    assert run_all(told("hyperband", {})[0]) == []


def test_the_shipped_experiment_is_counted() -> None:
    """As the README shows it."""
    cnn = from_hydra("experiment=digits").pipelines["cnn"]
    assert _hyperband(oracle(Run(), cnn))[0] == 23
