"""Fails early: a wrong model or objective costs seconds, not trainings."""

from typing import Any

import keras_tuner

from runner.check import suggest
from runner.data import Dataset
from runner.errors import ConfigError, Problem
from runner.search.hypermodel import build, fit_arguments, has_own_fit
from runner.settings import Pipeline

ROWS = 32


def preflight(pipeline: Pipeline, dataset: Dataset, maker: Any) -> None:
    """Builds the default model and lets it take one batch.

    A HyperModel with its own `fit` is only built: what it reports, it alone knows.

    Raises:
        ConfigError: the objective is not among the metrics that the model reports.
        Exception: whatever building or the batch raises.
    """
    hp = keras_tuner.HyperParameters()
    model = build(maker, hp, seed=1)
    if has_own_fit(maker):
        return
    arguments = fit_arguments(pipeline, dataset, maker, hp) | {"epochs": 1}
    train, validation = dataset.train, dataset.validation
    held = (validation.x[:ROWS], validation.y[:ROWS])
    returned = model.fit(train.x[:ROWS], train.y[:ROWS], validation_data=held, verbose=0, **arguments)
    name, reported = pipeline.objective.name, list(returned.history)
    if name not in reported:
        what = f"'{name}' is not among the metrics that the model reports{suggest(name, reported)}"
        raise ConfigError([Problem("objective.name", f"{what} (reported: {', '.join(reported)})")])
