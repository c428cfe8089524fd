"""What the recipes share: hidden layers, an output that suits the task, and compiling."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from runner import later as keras
from runner.config.schema import METRICS
from runner.data.facts import Facts
from runner.errors import ConfigError
from runner.models.encoding import Tensor, inputs

Sizes = Mapping[str, int | None] | Sequence[int]
Optimizer = str | Mapping[str, object]

LOSSES = {"classification": "sparse_categorical_crossentropy", "regression": "mse"}


def in_order(sizes: Sizes) -> list[int]:
    """Return the sizes of the layers that are not left out."""
    every = sizes.values() if isinstance(sizes, Mapping) else sizes
    return [int(size) for size in every if size]


def check_axes(facts: Facts, count: int, what: str) -> None:
    """Raise ConfigError unless the rows have so many axes."""
    shape = facts.input_shape
    if isinstance(shape, Mapping) or len(shape) != count:
        raise ConfigError(f"{what}; their shape is {shape}", "model._target_")


def hidden_layers(sizes: Sizes, activation: str, dropout: float) -> list[Any]:
    """Return layers that take each row as one vector."""
    layers = [keras.layers.Flatten()]
    for units in in_order(sizes):
        layers.append(keras.layers.Dense(units, activation=activation))
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    return layers


def new_optimizer(optimizer: Optimizer, learning_rate: object) -> Any:
    """Return a Keras optimizer; what is None has its own default.

    Raises:
        ConfigError: the learning rate is given twice.
        ValueError: there is no such optimizer, or it does not take an argument.
    """
    if isinstance(optimizer, str):
        optimizer = {"name": optimizer}
    config = {key: value for key, value in optimizer.items() if value is not None}
    name = config.pop("name", None)
    if learning_rate is not None:
        if "learning_rate" in config:
            raise ConfigError(
                "is also given by model.learning_rate; set one of them to null",
                "model.optimizer.learning_rate",
            )
        config["learning_rate"] = learning_rate
    return keras.optimizers.get({"class_name": str(name), "config": config})


def through(layers: Iterable[Callable[[Tensor], Tensor]], flow: Tensor) -> Tensor:
    """Return what becomes of a tensor in one layer after another."""
    for layer in layers:
        flow = layer(flow)
    return flow


def compiled(facts: Facts, given: Tensor, predicted: Tensor, optimizer: Any) -> Any:
    """Return a compiled model from its inputs and its output."""
    model = keras.Model(given, predicted)
    model.compile(optimizer, LOSSES[facts.task], metrics=METRICS[facts.task])
    return model


def new_model(facts: Facts, layers: Sequence[Any], optimizer: Any, regularizer: Any = None) -> Any:
    """Return a compiled model: layers between the inputs and an output that suits the task."""
    given, flow = inputs(facts)
    output = [
        keras.layers.Dense(
            facts.num_classes or 1,
            activation="softmax" if facts.num_classes else None,
            kernel_regularizer=regularizer,
        )
    ]
    if not facts.num_classes:
        output.append(keras.layers.Rescaling(facts.target_deviation, facts.target_mean))
    return compiled(facts, given, through([*layers, *output], flow), optimizer)
