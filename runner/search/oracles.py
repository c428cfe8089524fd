"""Keras Tuner's oracles, asked and told. All that is private to Keras Tuner is named in this file;
tests/unit/runner/test_runner_oracles.py checks what it relies on.

An oracle here writes and prints nothing, and what it asks for is a function of its settings, the
space and what it was told. Budgets are not the oracle's: with `max_trials` unset the trial ids do
not depend on the budget, so that a raised budget continues the same search.
"""

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras_tuner
import numpy as np
from keras_tuner.src.engine import tuner_utils  # how what a fit returned becomes metrics
from sklearn.exceptions import ConvergenceWarning

from runner.config.schema import Objective, Pipeline, Run
from runner.config.space import declare
from runner.search.state import TrialResult, Values
from runner.training.build import Bench, values_of
from runner.training.seeds import derive_seed

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial


class Oracle(keras_tuner.Oracle):  # type: ignore[misc]  # keras_tuner has no types
    """What is common to the oracles here."""

    recorded: Mapping[str, Values] = {}  # what was asked for before, by trial id

    def save(self, *_: object) -> None:
        """Write nothing."""

    def _save_trial(self, trial: "Trial") -> None:
        """Write nothing."""

    def ask(self) -> "Trial | None":
        """Return the next trial, or None at the end of the search."""
        trial = self.create_trial("slot0")
        return trial if trial.status == "RUNNING" else None

    def tell(self, trial: "Trial", result: TrialResult) -> None:
        """End a trial that was asked for with what it returned."""
        trial.hyperparameters = values_of(result.hyperparameters)
        trial.status, trial.message = result.status, result.message
        if result.status == "COMPLETED":
            for name in result.metrics:  # Keras Tuner would guess directions, and fails at some
                trial.metrics.register(
                    name, self.objective.direction if name == self.objective.name else "min"
                )
            self.update_trial(trial.trial_id, result.metrics, step=result.best_step)
        self.end_trial(trial)

    def best(self) -> "Trial":
        """Return the best trial that was told, a failed one only where all have failed."""
        return self.get_best_trials(1)[0]


class RandomOracle(Oracle, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Keras Tuner's own."""


class HyperbandOracle(Oracle, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Keras Tuner's own."""


class GridOracle(Oracle, keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
    """In the order of Keras Tuner's own, but without a list of all values: there may be billions
    of them.
    """

    def _get_next_combination(self, values: Values) -> Values | None:
        hp = self.get_space()
        hp.values = dict(values)
        for one in reversed(hp.space):  # a condition's value after those below it
            rest = _in_order(one)
            known = hp.is_active(one) and hp.values[one.name] in rest  # what is left comes after it
            if known and (value := next(rest, None)) is not None:
                hp.values[one.name] = value
                hp.ensure_active_values()
                return dict(hp.values)
            hp.values[one.name] = one.default
        return None

    def _compare(self, a: Values, b: Values) -> int:
        for one in self.get_space().space:
            if one.name in a and a[one.name] != b[one.name]:
                pair = a[one.name], b[one.name]
                return -1 if next(v for v in _in_order(one) if v in pair) == pair[0] else 1
        return 0


def _in_order(hp: "keras_tuner.engine.hyperparameters.HyperParameter") -> Iterator[object]:
    """Yield the values of a hyperparameter as a grid takes them: the default first."""
    yield hp.default
    yield from (value for value in hp.values if value != hp.default)


class BayesianOracle(Oracle, keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """Draws what it asks for by the trial's id, so that no trial's values depend on whether those
    before it were drawn or had been recorded.
    """

    def populate_space(self, trial_id: str) -> dict[str, object]:
        if trial_id in self.recorded:  # without a new fit
            return {"status": "RUNNING", "values": dict(self.recorded[trial_id])}
        self._seed_state = derive_seed(self.seed, trial_id)
        self._random_state = np.random.RandomState(self._seed_state)
        with warnings.catch_warnings():
            # a kernel at its bounds: nothing that the user could do about it
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().populate_space(trial_id)  # type: ignore[no-any-return]


ORACLES: Mapping[str, type[Oracle]] = {
    "random": RandomOracle,
    "grid": GridOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
}
# keys of tuners that are Keras Tuner's own arguments
ARGUMENTS = {"num_initial_points", "alpha", "beta", "max_epochs", "factor", "hyperband_iterations"}


def new_oracle(run: Run, pipeline: Pipeline, recorded: Mapping[str, Values] = {}) -> Oracle:
    """Return an oracle for a pipeline's tuner, seeded from the run's seed, with an empty space.

    Args:
        run, pipeline: the settings.
        recorded: the values of trials that have ended, by trial id.
    """
    oracle = ORACLES[pipeline.tuner.kind](
        objective=keras_tuner.Objective(pipeline.objective.name, pipeline.objective.sense),
        seed=derive_seed(run.seed, "oracle"),
        max_consecutive_failed_trials=2**31,  # the loop counts them, over restarts too
        **pipeline.tuner.model_dump(include=ARGUMENTS),
    )
    oracle.max_trials = None
    oracle.verbose = 0
    oracle.recorded = recorded
    return oracle


def populate(oracle: Oracle, bench: Bench) -> None:
    """Register the space: that of `fit`, and all that building the model brings up, conditions
    included.
    """
    space = oracle.get_space()
    declare({"fit": bench.pipeline.fit.model_dump(), "model": bench.pipeline.model.args}, space)
    oracle.update_space(space)
    # Keras Tuner's constructor explores the space, and makes a folder; the tuner itself is not used
    with tempfile.TemporaryDirectory() as folder:
        keras_tuner.Tuner(
            oracle=oracle, hypermodel=bench.hypermodel, directory=Path(folder), project_name="space"
        )


def measured(returned: Sequence[object], objective: Objective) -> tuple[dict[str, float], int]:
    """Return what the trainings of a trial come to as Keras Tuner counts it: the metrics at the
    best epoch, mean over the trainings, and that epoch, from 0.

    Args:
        returned: by each training: a History, a dict of metrics, or the objective's value.
        objective: its name must be among the metrics.

    Raises:
        keras_tuner.errors.FatalError: it is something else.
    """
    sought = keras_tuner.Objective(objective.name, objective.sense)
    tuner_utils.validate_trial_results(list(returned), sought, "HyperModel.fit()")
    metrics = tuner_utils.convert_to_metrics_dict(list(returned), sought)
    best_step = int(tuner_utils.get_best_step(list(returned), sought))
    return {name: float(value) for name, value in metrics.items()}, best_step
