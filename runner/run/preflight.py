"""Fails early: a wrong model or objective costs seconds, not trainings."""

from typing import Any

import keras_tuner

from runner.config.rules import OURS
from runner.config.schema import Pipeline
from runner.data.dataset import Dataset
from runner.errors import ConfigError, ModelError, Problem
from runner.search.trial import BestEpoch
from runner.training.build import build, callbacks, fit_arguments, has_own_fit

ROWS = 32


def preflight(pipeline: Pipeline, dataset: Dataset, maker: Any) -> Any:
    """Builds the default model and lets it take one batch.

    A HyperModel with its own `fit` is only built: what it reports, it alone knows.

    Returns:
        The model.

    Raises:
        ConfigError: no compiled model is built, a callback does not exist or does not take its
        arguments, or the
            objective is not among the metrics that the model reports.
        Exception: whatever building or the batch raises.
    """
    hp = keras_tuner.HyperParameters()
    try:
        model = build(maker, hp, seed=1)
    except ModelError as error:
        raise ConfigError(
            [Problem("model._target_", f"{pipeline.model.target} {error}")]
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        if pipeline.model.target.rpartition(".")[0] != OURS:
            raise  # the user's own code keeps its trace
        said = str(error).partition("\n")[0]
        raise ConfigError(
            [Problem("model", f"an argument is not as it must be: {said}")]
        ) from error
    arguments = fit_arguments(pipeline, dataset, maker, hp) | {"epochs": 1}
    callbacks(pipeline.callbacks, "callbacks")  # made, not used: one may write files
    callbacks(pipeline.validation.callbacks or {}, "validation.callbacks")
    if has_own_fit(maker):
        return model
    rows, held_out = (part.head(ROWS).given() for part in (dataset.train, dataset.validation))
    objective = keras_tuner.Objective(pipeline.objective.name, pipeline.objective.sense)
    arguments["callbacks"] = [BestEpoch(objective, must_be_logged=True)]
    model.fit(*rows, validation_data=held_out, verbose=0, **arguments)
    return model
