"""What Optuna's tree-structured Parzen estimator (TPE) chooses of a space of Keras Tuner's. It is
made anew for each trial, seeded by that and given all trials, so that it has no state of its own.
"""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras_tuner
import optuna

from runner.search import places
from runner.search.state import Values

if TYPE_CHECKING:
    from keras_tuner.engine.hyperparameters import HyperParameter
    from keras_tuner.engine.trial import Trial

STATES = {
    "COMPLETED": optuna.trial.TrialState.COMPLETE,
    "FAILED": optuna.trial.TrialState.FAIL,
    "RUNNING": optuna.trial.TrialState.RUNNING,  # which it takes for bad, to look elsewhere
}


class Axis:
    """A hyperparameter as Optuna sees it. A place is the number of one of its values; without
    steps, it is where the value lies from 0 to 1, as the hyperparameter is sampled.
    """

    def __init__(self, name: str, hp: "HyperParameter") -> None:
        self.name, self.hp = name, hp
        if isinstance(hp, keras_tuner.engine.hyperparameters.Int) and hp.sampling == "linear":
            hp.step = hp.step or 1
        is_number = hasattr(hp, "min_value")
        steps = hp.step and hp._get_n_values() if is_number else len(hp.values)
        self.count: int | None = steps
        self.kind, self.range = "Float", tuple[Any, ...]((0.0, 1.0))
        if steps and not is_number and not getattr(hp, "ordered", False):
            self.kind, self.range = "Categorical", (tuple(range(steps)),)
        elif steps:
            self.kind, self.range = "Int", (0, steps - 1)

    @property
    def distribution(self) -> optuna.distributions.BaseDistribution:
        return getattr(optuna.distributions, f"{self.kind}Distribution")(*self.range)  # type: ignore[no-any-return]

    def place(self, value: Any) -> float:
        """Return the place of a value; of one between two steps, that of the nearest."""
        place = places.place_of(self.hp, value)
        return min(int(place * self.count), self.count - 1) if self.count else place

    def draw(self, trial: optuna.trial.BaseTrial) -> Any:
        """Return the value that Optuna chooses for a trial."""
        place = getattr(trial, f"suggest_{self.kind.lower()}")(self.name, *self.range)
        return places.value_at(self.hp, (place + 0.5) / self.count if self.count else place)


def choose(
    hp: "keras_tuner.HyperParameters", trials: Iterable["Trial"], direction: str, seed: int
) -> Values:
    """Return the values of the next trial.

    Args:
        hp: the space; its own values are replaced.
        trials: all that have been asked for, in their order.
        direction: of the objective, min or max.
        seed: of what is drawn.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(
                n_startup_trials=1,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            ),
            direction="minimize" if direction == "min" else "maximize",
        )
    axes = [Axis(f"{number:04}", one) for number, one in enumerate(hp.space)]
    for trial in trials:
        of = trial.hyperparameters
        known = [a for a in axes if of.is_active(a.hp) and a.hp.name in of.values]
        study.add_trial(
            optuna.trial.create_trial(
                state=STATES[trial.status],
                value=trial.score if trial.status == "COMPLETED" else None,
                params={axis.name: axis.place(of.values[axis.hp.name]) for axis in known},
                distributions={axis.name: axis.distribution for axis in known},
            )
        )
    asked, hp.values = study.ask(), {}
    for axis in axes:  # a condition's hyperparameter comes before what it decides
        if hp.is_active(axis.hp):
            hp.values[axis.hp.name] = axis.draw(asked)
    return dict(hp.values)
