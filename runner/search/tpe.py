"""What Optuna's tree-structured Parzen estimator (TPE) chooses of a space of Keras Tuner's. It is
made anew for each trial, seeded by that and given all trials, so that it has no state of its own.
"""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import optuna

from history.ranking import Direction
from runner.search import cube
from runner.training.ledger import Values

if TYPE_CHECKING:
    import keras_tuner
    from keras_tuner.engine.hyperparameters import HyperParameter
    from keras_tuner.engine.trial import Trial

STATES = {
    "COMPLETED": optuna.trial.TrialState.COMPLETE,
    "FAILED": optuna.trial.TrialState.FAIL,
    "RUNNING": optuna.trial.TrialState.RUNNING,  # which it takes for bad, to look elsewhere
}


class Axis:
    """A hyperparameter as Optuna sees it: where it has steps, as the number of one of its values;
    without, as where the value lies from 0 to 1, as the hyperparameter is sampled.
    """

    def __init__(self, name: str, hp: "HyperParameter") -> None:
        self.name, self.hp = name, hp
        self.count = count = cube.count(hp)
        self.distribution: optuna.distributions.BaseDistribution
        if count is None:
            self.distribution = optuna.distributions.FloatDistribution(0.0, 1.0)
        elif hasattr(hp, "min_value") or getattr(hp, "ordered", False):
            self.distribution = optuna.distributions.IntDistribution(0, count - 1)
        else:
            self.distribution = optuna.distributions.CategoricalDistribution(range(count))

    def position(self, value: Any) -> float:
        """Return what Optuna has for a value; for one between two steps, the nearest."""
        at = cube.coordinate(self.hp, value)
        return min(int(at * self.count), self.count - 1) if self.count else at

    def draw(self, trial: Any) -> Any:
        """Return the value that Optuna chooses for a trial."""
        at = trial._suggest(self.name, self.distribution)  # as its method for each kind does
        return cube.value_at(self.hp, (at + 0.5) / self.count if self.count else at)


def choose(
    space: "keras_tuner.HyperParameters", trials: Iterable["Trial"], direction: Direction, seed: int
) -> Values:
    """Return the values of the next trial.

    Args:
        space: its own values are replaced.
        trials: all that have been asked for, in their order.
        direction: of the objective, min or max.
        seed: of what is drawn.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=1, multivariate=True, group=True, constant_liar=True, seed=seed
        )
    study = optuna.create_study(
        sampler=sampler, direction="minimize" if direction == "min" else "maximize"
    )
    axes = [Axis(f"{number:04}", hp) for number, hp in enumerate(space.space)]
    for trial in trials:
        study.add_trial(_as_optuna_has_it(trial, axes))
    chosen, space.values = study.ask(), {}
    for axis in axes:  # a condition's hyperparameter comes before what it decides
        if space.is_active(axis.hp):
            space.values[axis.hp.name] = axis.draw(chosen)
    return dict(space.values)


def _as_optuna_has_it(trial: "Trial", axes: Iterable[Axis]) -> optuna.trial.FrozenTrial:
    hp, positions, distributions = trial.hyperparameters, {}, {}
    for axis in axes:
        if hp.is_active(axis.hp) and axis.hp.name in hp.values:
            positions[axis.name] = axis.position(hp.values[axis.hp.name])
            distributions[axis.name] = axis.distribution
    return optuna.trial.create_trial(
        state=STATES[trial.status],
        value=trial.score if trial.status == "COMPLETED" else None,
        params=positions,
        distributions=distributions,
    )
