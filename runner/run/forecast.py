"""What a search comes to, before it runs: trials, epochs, bytes of trial data. Counts are the most
there can be.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from runner.config.check import plain_config
from runner.config.schema import (
    BayesianTuner,
    Fixed,
    GridTuner,
    HyperbandTuner,
    Pipeline,
    RandomTuner,
    Run,
)
from runner.config.space import is_hyperparameter
from runner.config.targets import wanted
from runner.search.loop import populate
from runner.search.oracles import oracle
from runner.training.build import DEFAULT_EPOCHS, ConfigHyperModel, build, has_own_fit

RECORD = 5_000  # bytes of a trial's JSON files, as measured with 10 epochs of 4 metrics
WRAPPING = (
    25_000  # bytes of a weights file beside the weights, as measured with models of 5 to 10 layers
)


@dataclass(frozen=True)
class Forecast:
    """What a search comes to at most, every hyperparameter at its largest."""

    parameters: tuple[int, int]  # of the default model, of the largest
    trials: int
    # False: models of other values may bring up hyperparameters that the default model has not
    exact: bool
    epochs: int | None  # of all trials and executions; None: a HyperModel with its own fit decides
    refit_epochs: int | None  # of one refit
    trial_data: int  # bytes at the peak
    model: int  # bytes of the stored model


def forecast(run: Run, pipeline: Pipeline, maker: Any, model: Any) -> Forecast:
    """What a pipeline's search comes to.

    Args:
        run, pipeline: the settings.
        maker: the pipeline's HyperModel.
        model: the default model, compiled.
    """
    space = _space(run, pipeline)
    smallest = model.count_params()
    model = _largest(maker, space) or model
    weights = _bytes(model.weights) + WRAPPING
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    state = _bytes(model.optimizer.variables) if model.optimizer is not None else 0
    tuner, longest = pipeline.tuner, _longest(pipeline, maker)
    epochs: int | None
    if isinstance(tuner, HyperbandTuner):
        trials, epochs = (
            tuner.hyperband_iterations * count for count in _hyperband(oracle(run, pipeline))
        )
        kept, exact, longest = (
            trials,
            True,
            tuner.max_epochs,
        )  # later trials start from checkpoints of earlier ones
    else:
        trials = _trials(tuner, space)
        kept, exact = (
            min(trials, 2),
            trials == tuner.max_trials or _is_whole(maker),
        )  # the best trial's, and the newest's
        epochs = None if longest is None else trials * longest
    return Forecast(
        parameters=(smallest, model.count_params()),
        trials=trials,
        exact=exact,
        epochs=None if epochs is None else epochs * tuner.executions_per_trial,
        refit_epochs=pipeline.validation.epochs or longest,
        trial_data=kept * weights + trials * RECORD,
        model=weights + state,
    )


def _bytes(variables: Sequence[Any]) -> int:
    return sum(keras.ops.convert_to_numpy(variable).nbytes for variable in variables)


def _largest(maker: Any, space: Sequence[Any]) -> Any:
    """The model with every hyperparameter at its largest value, where there is one of that kind."""
    hp = keras_tuner.HyperParameters()
    hp.merge(space)
    for one in space:
        values = [one.min_value, one.max_value] if hasattr(one, "max_value") else list(one.values)
        if hp.is_active(one) and not isinstance(values[0], str):
            hp.values[one.name] = max(values)
    try:
        return build(maker, hp, seed=1)
    except Exception:  # a combination that the search may never come to
        return None


def _longest(pipeline: Pipeline, maker: Any) -> int | None:
    """The epochs of the longest trial."""
    epochs = plain_config(pipeline.fit.epochs)
    if isinstance(pipeline.fit.epochs, Fixed):
        return int(pipeline.fit.epochs.value)
    if is_hyperparameter(epochs):
        return int(max(epochs["values"]) if "values" in epochs else epochs["max_value"])
    return epochs or (None if has_own_fit(maker) else DEFAULT_EPOCHS)


def _hyperband(made: Any) -> tuple[int, int]:
    """Trials and epochs of one iteration, by Keras Tuner's own arithmetic: a round of a bracket
    goes on where the round before it ended.
    """
    trials = epochs = 0
    for bracket in range(made._get_num_brackets()):
        before = 0
        for number in range(made._get_num_rounds(bracket)):
            until, size = made._get_epochs(bracket, number), made._get_size(bracket, number)
            trials += size
            epochs += size * (until - before)
            before = until
    return trials, epochs


def _space(run: Run, pipeline: Pipeline) -> list[Any]:
    """The hyperparameters that the config declares and the default model brings up."""
    made = oracle(run, pipeline)
    with tempfile.TemporaryDirectory() as folder:  # Keras Tuner makes one, come what may
        populate(made, pipeline, Path(folder) / "search")
    return list(made.get_space().space)


def _is_whole(maker: Any) -> bool:
    """Whether a space is known without building every model: nothing in the model asks for more."""
    return isinstance(maker, ConfigHyperModel) and not wanted(maker.target, {"hp": None})


def _trials(tuner: RandomTuner | GridTuner | BayesianTuner, space: Sequence[Any]) -> int:
    if isinstance(tuner, GridTuner):
        return min(_combinations(space, grid=True), tuner.max_trials or 2**63)
    if isinstance(tuner, RandomTuner):
        return min(_combinations(space, grid=False), tuner.max_trials)
    return tuner.max_trials


def _combinations(space: Sequence[Any], *, grid: bool) -> int:
    """How many different sets of values a space has. A grid takes ten values of what has no step,
    and the default.
    """
    parents = {
        condition.name for hyperparameter in space for condition in hyperparameter.conditions
    }

    def count(index: int, values: Mapping[str, Any]) -> int:
        if index == len(space):
            return 1
        one = space[index]
        if not all(condition.is_active(values) for condition in one.conditions):
            return count(index + 1, values)
        if getattr(one, "step", 0) is None and not grid:
            return 2**63
        choices = {*one.values, one.default} if grid else {*one.values}
        if one.name not in parents:
            return len(choices) * count(index + 1, values)
        return sum(count(index + 1, {**values, one.name: value}) for value in choices)

    return count(0, {})
