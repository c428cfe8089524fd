"""Keras Tuner's oracles, with the state that they forget to save.

Keras Tuner writes its files in place and leaves out what two of its oracles need to go on: the
grid's position and the random state of Bayesian optimisation. Here an oracle writes nothing by
itself (state.py does, atomically) and its state is whole. Budgets are not the oracle's either: with
`max_trials` unset the trial ids do not depend on the budget, so that a raised budget continues the
same search.
"""

import warnings
from typing import Any

import keras_tuner
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from runner.config.schema import (
    BayesianTuner,
    GridTuner,
    HyperbandTuner,
    Pipeline,
    RandomTuner,
    Run,
)
from runner.training.seeds import derive_seed

UNLIMITED = 2**31  # failures are counted by the loop, whose count survives a restart


class _Silent(keras_tuner.Oracle):  # type: ignore[misc]  # keras_tuner has no types
    """Keeps an oracle from writing files and printing."""

    def save(self, *_: Any) -> None:
        pass

    def _save_trial(self, trial: Any) -> None:
        pass


class RandomOracle(_Silent, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    pass


class HyperbandOracle(_Silent, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    pass


class GridOracle(_Silent, keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
    """Saves which trials are still to be followed up, and the order of all."""

    def get_state(self) -> dict[str, Any]:
        order = self._ordered_ids
        following = {str(k): v for k, v in order._next_index.items()}
        grid = {"populate_next": self._populate_next, "memory": order._memory, "next": following}
        return {**super().get_state(), "grid": {**grid, "last": order._last_index}}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        grid, order = state["grid"], self._ordered_ids
        self._populate_next = grid["populate_next"]
        order._memory = grid["memory"]
        order._data_to_index = {trial: index for index, trial in enumerate(order._memory)}
        order._next_index.update(
            {None if k == "None" else int(k): v for k, v in grid["next"].items()}
        )
        order._last_index = grid["last"]


class BayesianOracle(_Silent, keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """Saves the random state that the search for the next point draws from."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with (
            warnings.catch_warnings()
        ):  # a kernel at its bounds: nothing that the user could do about it
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().populate_space(trial_id)  # type: ignore[no-any-return]

    def get_state(self) -> dict[str, Any]:
        name, keys, *rest = self._random_state.get_state()
        return {**super().get_state(), "random_state": [name, keys.tolist(), *rest]}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        name, keys, *rest = state["random_state"]
        self._random_state.set_state((name, np.array(keys, dtype="uint32"), *rest))


def oracle(run: Run, pipeline: Pipeline) -> Any:
    """A new oracle for a pipeline's tuner, seeded from the run's seed."""
    tuner = pipeline.tuner
    objective = keras_tuner.Objective(pipeline.objective.name, pipeline.objective.sense)
    common: dict[str, Any] = {
        "objective": objective,
        "seed": derive_seed(run.seed, "oracle"),
        "max_consecutive_failed_trials": UNLIMITED,
    }
    match tuner:
        case RandomTuner():
            made = RandomOracle(max_trials=None, **common)
        case GridTuner():
            made = GridOracle(max_trials=None, **common)
        case BayesianTuner():
            points = {
                "num_initial_points": tuner.num_initial_points,
                "alpha": tuner.alpha,
                "beta": tuner.beta,
            }
            made = BayesianOracle(max_trials=None, **points, **common)
        case HyperbandTuner():
            rounds = {"max_epochs": tuner.max_epochs, "factor": tuner.factor}
            made = HyperbandOracle(
                hyperband_iterations=tuner.hyperband_iterations, **rounds, **common
            )
    made.verbose = 0
    return made
