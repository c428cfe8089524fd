"""`model: cnn`: a residual network for images."""

import keras
import keras_tuner
import numpy as np
import pytest
from runner_samples import from_hydra, pipeline
from training_samples import bench

from runner import models
from runner.errors import ConfigError
from runner.training.build import Bench

DIGITS = {"kind": "sklearn", "name": "digits", "split": {"validation": 0.2, "test": 0.2}}
STEPS = 14 * 17  # of 1,077 rows in batches of 64, 14 times


def digits(**model: object) -> Bench:
    model = {"_target_": "runner.models.cnn", "learning_rate": 0.005, **model}
    return bench(
        pipeline(
            task={"kind": "classification"},
            data=DIGITS,
            model=model,
            fit={"epochs": 14, "batch_size": 64},
        )
    )


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_blocks_add_to_what_they_are_given_and_a_mean_over_all_places_ends_them() -> None:
    """Two convolutions each, normalised by batches. Pooling stands between blocks alone."""
    built = models.cnn(
        facts=digits(filters=[4]).dataset.facts, filters={"a": 4, "b": 4, "c": None, "d": 8}
    )
    found = kinds(built)
    assert [found.count(kind) for kind in ("Add", "MaxPooling2D", "GlobalAveragePooling2D")] == [
        3,
        2,
        1,
    ]
    assert found.count("Conv2D") == found.count("BatchNormalization") == 3 * 2
    assert "Flatten" not in found


def test_digits_are_told_apart_and_the_learning_rate_falls_to_nothing() -> None:
    """With the width that the shipped experiment begins with; the rest of its last step is none."""
    ready = digits(filters=[16, 32], dropout=0.1)
    hp = keras_tuner.HyperParameters()
    model = ready.build(hp, seed=0)
    ready.train(model, hp, [], {})
    held = ready.dataset.parts["validation"]
    assert (model.predict(held.x, verbose=0).argmax(axis=1) == held.y).mean() > 0.97
    rate = model.optimizer._learning_rate
    assert [float(rate(step)) for step in (0, STEPS)] == pytest.approx([0.005, 0], abs=1e-8)


@pytest.mark.parametrize("augment", ["none", "flip", "shift", ["flip", "shift"]])
def test_images_change_only_while_a_model_is_trained(augment: str | list[str]) -> None:
    """By chance that follows the seed, so that a training can be repeated."""
    ready = digits(filters=[4], augment=augment)
    model = ready.build(keras_tuner.HyperParameters(), seed=0)
    random = [layer for layer in model.layers if type(layer).__name__.startswith("Random")]
    assert len(random) == (0 if augment == "none" else 1 if isinstance(augment, str) else 2)
    x = ready.dataset.train.numbers[:64]
    for layer in random:
        assert np.array_equal(layer(x, training=False), x)
        assert not np.array_equal(layer(x, training=True), x)
    trained = []
    for _ in range(2):
        hp = keras_tuner.HyperParameters()
        again = ready.build(hp, seed=3)
        ready.train(again, hp, [], {"epochs": 1})
        trained.append(again.predict(x, verbose=0))
    assert np.array_equal(*trained)


def test_an_unknown_augmentation_is_refused() -> None:
    facts = digits(filters=[4]).dataset.facts
    with pytest.raises(ConfigError, match=r"model\.augment: unknown: turn; known: none, flip"):
        models.cnn(facts=facts, filters=[4], augment=["flip", "turn"])


def test_the_optimizers_own_learning_rate_stays() -> None:
    facts = digits(filters=[4]).dataset.facts
    built = models.cnn(facts=facts, filters=[4], optimizer={"name": "sgd", "learning_rate": 0.1})
    assert float(built.optimizer._learning_rate) == pytest.approx(0.1)


def test_the_shipped_digits_are_not_augmented() -> None:
    args = from_hydra("experiment=digits").pipelines["cnn"].model.args
    assert args["augment"] == "none"
