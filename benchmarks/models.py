"""The models that are measured; with Keras, so for workers alone."""

import time
from typing import Any

import keras_tuner

from runner import models


def build(hp: Any, facts: Any) -> Any:
    """Return the small MLP of all sides."""
    return models.mlp(
        facts=facts,
        hidden={"h1": hp.Int("h1", 16, 128, step=16)},
        dropout=hp.Float("dropout", 0.0, 0.5),
        learning_rate=hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"),
    )


def large(hp: Any, facts: Any) -> Any:
    """Return an MLP of 0.3 to 1.1 million parameters."""
    return models.mlp(
        facts=facts,
        hidden={"h1": hp.Int("h1", 512, 1024, step=128), "h2": hp.Int("h2", 512, 1024, step=128)},
        learning_rate=hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"),
    )


class Timed(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """The small MLP; its history tells how long building and fitting took."""

    def __init__(self, facts: Any) -> None:
        super().__init__()
        self.facts, self.built = facts, 0.0

    def build(self, hp: Any) -> Any:
        clock = time.perf_counter()
        model = build(hp, self.facts)
        self.built = time.perf_counter() - clock
        return model

    def fit(self, hp: Any, model: Any, *rows: Any, **given: Any) -> Any:
        clock = time.perf_counter()
        done = model.fit(*rows, **given)
        done.history |= {"fit": [time.perf_counter() - clock], "build": [self.built]}
        return done
