"""What a search will come to, against what Keras Tuner's oracles then do."""

from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from runner_samples import from_hydra, pipeline
from training_samples import bench, loaded

from runner.config.schema import Run
from runner.config.space import declare
from runner.run.identity import Identity
from runner.run.plan import Plan
from runner.run.rehearsal import cost
from runner.search.oracles import Oracle, ask_all, new_oracle
from runner.search.spaces import populate
from runner.training.ledger import SearchFolder, Size

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


def oracle(kind: str, space: dict[str, Any], **settings: Any) -> Oracle:
    """An oracle that knows a space."""
    known = keras_tuner.HyperParameters()
    declare({"model": space}, known)
    tuner = pipeline(tuner={"kind": kind, **settings})
    return new_oracle(Run(), tuner, known.get_config(), {})


COMBINATIONS = {"empty": 1, "choices": 6, "steps": 12, "no step": 11, "default": 4, "conditions": 8}


@pytest.mark.parametrize("space", SPACES)
def test_a_grid_is_counted_to_its_end(space: str) -> None:
    """Conditions, values without a step and defaults beside them included."""
    assert len(ask_all(oracle("grid", SPACES[space]), 100)) == COMBINATIONS[space]
    assert len(ask_all(oracle("grid", SPACES[space]), 3)) == min(3, COMBINATIONS[space])


def test_a_finite_space_ends_a_random_search() -> None:
    """It tries no set of values twice."""
    asked = ask_all(oracle("random", SPACES["conditions"]), 100)
    assert len({str(values) for values in asked}) == len(asked) <= 8


@pytest.mark.parametrize(
    ("settings", "trials", "epochs"),
    [((9, 3), 23, 75), ((1, 3), 1, 1), ((8, 2), 36, 102), ((10, 3), 30, 120)],
)
@pytest.mark.parametrize("iterations", [1, 2])
def test_hyperband_is_counted_round_by_round(
    settings: tuple[int, int], trials: int, epochs: int, iterations: int
) -> None:
    """A trial that goes on trains the rest only."""
    max_epochs, factor = settings
    own = {"max_epochs": max_epochs, "factor": factor, "hyperband_iterations": iterations}
    asked = ask_all(oracle("hyperband", SPACES["no step"], **own), 1000)
    spent = [int(each["tuner/epochs"]) - int(each["tuner/initial_epoch"]) for each in asked]
    assert (len(asked), sum(spent)) == (iterations * trials, iterations * epochs)


def test_hyperband_has_nothing_to_do_without_a_hyperparameter() -> None:
    """Which is why such a config is refused."""
    assert ask_all(oracle("hyperband", {}), 10) == []


# (trials, epochs of all trainings) of each pipeline; their runs' entries say the same
SHIPPED = {
    "diabetes": {"linear": (12, 240), "mlp": (10, 200)},
    "digits": {"mlp": (10, 100), "cnn": (10, 36)},
    "mixed": {"wine": (4, 60), "progression": (4, 60)},
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_experiments_are_counted(name: str, tmp_path: Path) -> None:
    """As their runs then count them."""
    experiment = from_hydra(f"experiment={name}")
    counted = {}
    for pipeline_name, settings in experiment.pipelines.items():
        size = Size(1, 1, populate(bench(settings)))
        place = SearchFolder(tmp_path, "", tmp_path)
        given, identity = loaded(settings), Identity({}, {})
        plan = Plan(pipeline_name, experiment.run, settings, identity, place, given, size=size)
        counted[pipeline_name] = (cost(plan, 2).trials, cost(plan, 2).epochs)
    assert counted == SHIPPED[name]
