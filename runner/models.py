"""The models that need no Python: tabular, series, linear, mlp, cnn, lstm, for classification and
regression.

Each takes raw rows: the features are normalised inside, by the statistics of the training part, and
a regression target is scaled back inside, so that a saved model predicts in the target's own units.
"""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError

# stands for words that no training row had; a word of its own in no table
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"

if TYPE_CHECKING:
    import keras

    from runner.data.dataset import Facts

    Optimizer = str | Mapping[str, object]
else:
    from runner import later as keras

Sizes = Mapping[str, int | None] | Sequence[int]

# what the models minimise, and what they report beside it
LOSSES = {"classification": "sparse_categorical_crossentropy", "regression": "mse"}
METRICS = {"classification": ["accuracy"], "regression": ["mse", "mae"]}
RATES = {"classification": 0.01, "regression": 0.03}  # learning rates of `tabular`
# how these are trained unless `fit` says otherwise: epochs, the rows for each of a batch and its
# least size, and the patience; `tabular` is never stopped early: the last of its cycles is the best
TRAINED = {"tabular": (64, 24, 16, 10**9), "series": (100, 72, 32, 20)}


def tabular(
    *,
    facts: "Facts",
    steps: int = 1000,
    width: int = 128,
    depth: int = 2,
    dropout: float = 0.15,
    learning_rate: float | Mapping[str, float | None] | None = None,
) -> "keras.Model":
    """Return a multilayer perceptron for tables that keeps up with boosted trees: numbers are
    clipped and, in addition, encoded piecewise between their quantiles; each feature has a learned
    scale, and the learning rate has a schedule. Unless `fit` says otherwise, it trains for 64
    epochs with a batch size that suits the number of rows, and keeps its best epoch by val_loss.

    Args:
        facts: what is known of the training data.
        steps: how many training steps it will be trained for.
        width: units of each hidden layer.
        depth: number of hidden layers.
        dropout: rate after each hidden layer.
        learning_rate: the highest one, or one per task; None: 0.01 for classes, 0.03 for numbers.

    Raises:
        ConfigError: the data is not a table.
    """
    _check_axes(facts, 1, "tabular takes rows of columns")
    task = "regression" if facts.num_classes is None else "classification"
    rate = learning_rate.get(task) if isinstance(learning_rate, Mapping) else learning_rate
    given, numbers, flows = _raw(facts)
    if numbers is not None:
        flows += _encoded(facts, numbers)
    flow = keras.layers.Concatenate()(flows) if len(flows) > 1 else flows[0]
    # a sixth that counts six times learns six times as fast
    scale = keras.layers.EinsumDense(
        "ab,b->ab", flow.shape[-1], kernel_initializer=keras.initializers.Constant(1 / 6)
    )
    flow = keras.layers.Rescaling(6)(scale(flow))

    def dense(units: int, activation: str | None) -> "keras.KerasTensor":
        # so that the step of a bias is small beside that of the kernel
        scaled = keras.layers.Rescaling(flow.shape[-1] ** -0.5)(flow)
        return keras.layers.Dense(
            units, activation, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0)
        )(scaled)

    for _ in range(depth):
        flow = keras.layers.Dropout(dropout)(dense(width, "mish"))
    flow = dense(facts.num_classes or 1, "softmax" if facts.num_classes else None)
    if not facts.num_classes:
        flow = keras.layers.Rescaling(facts.target_deviation, offset=facts.target_mean)(flow)
    model = keras.Model(given, flow)
    schedule = keras.optimizers.schedules.CosineDecayRestarts(
        rate or RATES[task], max(1, steps // 15), t_mul=2.0
    )
    model.compile(keras.optimizers.Adam(schedule, beta_2=0.95), LOSSES[task], metrics=METRICS[task])
    return model


def _encoded(facts: "Facts", numbers: "keras.KerasTensor") -> list["keras.KerasTensor"]:
    """Return numbers of rows of columns, a missing one being their median: smoothly clipped, and
    between 0 and 1 for each piece between two eighths of the training rows.
    """
    import numpy as np

    eighths = facts.eighths
    middle, inner, outer = eighths[4], eighths[6] - eighths[2], (eighths[8] - eighths[0]) / 2
    spread = np.select([inner > 0, outer > 0], [inner, outer], 1.0)
    flow = keras.layers.Normalization(mean=middle, variance=spread**2)(numbers)
    flow = keras.ops.nan_to_num(flow, nan=0.0) if facts.may_miss else flow
    edges = [np.unique(column) for column in ((eighths - middle) / spread).T]
    places = [place for place, found in enumerate(edges) for _ in found[1:]]
    clipped = flow / keras.ops.sqrt(1 + (flow / 3) ** 2)
    if not places:
        return [clipped]
    pieces = keras.layers.Normalization(
        mean=np.concatenate([found[:-1] for found in edges]),
        variance=np.concatenate([np.diff(found) for found in edges]) ** 2,
    )(keras.ops.take(flow, places, axis=1))
    return [clipped, keras.layers.ReLU(max_value=1)(pieces)]


def trained(target: str, facts: "Facts") -> dict[str, Any]:
    """Return how a model is trained, as arguments of Keras' fit, where the config does not say it.

    Args:
        target: the dotted path of the model's function.
        facts: what is known of the training data.
    """
    model = target.removeprefix("runner.models.")
    if model not in TRAINED:
        return {}
    epochs, batches, least, patience = TRAINED[model]
    size = 2 ** round(math.log2(min(max(facts.rows / batches, least), 256)))
    if model == "series":
        # Keras may have the same batches in each epoch (seen with 3.15, on TensorFlow, with a
        # seed), and a last one of a row or two then spoils a training: all are equal
        size = math.ceil(facts.rows / math.ceil(facts.rows / size))
    return {
        "epochs": epochs,
        "batch_size": size,
        "callbacks": [keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)],
    }


def series(
    *,
    facts: "Facts",
    steps: int = 1000,
    hidden: Sizes = (),
    dropout: float = 0.0,
    activation: str = "relu",
    learning_rate: float = 0.003,
) -> "keras.Model":
    """Return a model for windows of a series, linear or with hidden layers. If the window contains
    the target's own past, the model predicts how far the target will be from its last value, and
    starts from a difference of zero. Unless `fit` says otherwise, it trains for at most 100 epochs,
    stops after 20 without an improvement, and keeps its best epoch by val_loss; or it repeats the
    last value, if training has not beaten that beyond chance.

    Args:
        facts: what is known of the training data.
        steps: how many training steps it will be trained for.
        hidden: units of each hidden layer, in order; None or 0 leaves one out.
        dropout: rate after each hidden layer.
        activation: the activation of the hidden layers.
        learning_rate: the highest one, of AdamW; it decays to 0.

    Raises:
        ConfigError: the rows have no steps.
    """
    _check_axes(facts, 2, "series takes rows of shape (steps, features)")
    return _model(
        facts,
        _dense(hidden, activation, dropout),
        keras.optimizers.schedules.CosineDecay(learning_rate, steps),
        "adamw",
        of_changes=True,
    )


def linear(
    *,
    facts: "Facts",
    l2: float = 0.0,
    learning_rate: float | None = None,
    optimizer: "Optimizer" = "adam",
) -> "keras.Model":
    """Return a linear or logistic regression.

    Args:
        facts: what is known of the training data.
        l2: weight penalty, on the scale of a standardised target.
        learning_rate: of the optimizer; None: the optimizer's default.
        optimizer: a Keras optimizer, by name, or a mapping of `name` and its arguments.
    """
    return _model(
        facts,
        [keras.layers.Flatten()],
        learning_rate,
        optimizer,
        keras.regularizers.L2(l2 * facts.target_deviation**2),  # that of classes is 1
    )


def mlp(
    *,
    facts: "Facts",
    hidden: Sizes,
    dropout: float = 0.0,
    activation: str = "relu",
    learning_rate: float | None = None,
    optimizer: "Optimizer" = "adam",
) -> "keras.Model":
    """Return a multilayer perceptron.

    Args:
        facts: what is known of the training data.
        hidden: units of each hidden layer, in order; None or 0 leaves one out.
        dropout: rate after each hidden layer.
        activation: the activation of the hidden layers.
        learning_rate: of the optimizer; None: the optimizer's default.
        optimizer: a Keras optimizer, by name, or a mapping of `name` and its arguments.
    """
    return _model(facts, _dense(hidden, activation, dropout), learning_rate, optimizer)


def _dense(hidden: Sizes, activation: str, dropout: float) -> list["keras.Layer | None"]:
    """Return hidden layers of rows as one vector each."""
    return [
        keras.layers.Flatten(),
        *(
            layer
            for units in _in_order(hidden)
            for layer in (
                keras.layers.Dense(units, activation=activation),
                keras.layers.Dropout(dropout) if dropout else None,
            )
        ),
    ]


def cnn(
    *,
    facts: "Facts",
    steps: int = 1000,
    filters: Sizes,
    kernel_size: int = 3,
    augment: str | Sequence[str] = "none",
    dense: int | None = None,
    dropout: float = 0.0,
    activation: str = "relu",
    learning_rate: float | None = None,
    optimizer: "Optimizer" = "adam",
) -> "keras.Model":
    """Return a residual network (He et al. 2016) for images of shape (height, width, channels): for
    each of `filters` a convolution to that many channels and a second one that adds to them, both
    with batch normalisation, pooling by two between the blocks, and global average pooling at the
    end.

    Args:
        facts: what is known of the training data.
        steps: how many training steps it will be trained for.
        filters: of the convolutions of each block, in order; None or 0 leaves one out.
        kernel_size: of every convolution, in pixels.
        augment: what is done to an image at random while the model is trained: `flip` (left and
            right), `shift` (by up to a tenth each way), a list of these, or `none`.
        dense: units of a hidden layer before the output; None: no such layer.
        dropout: rate before the output.
        activation: the activation of the hidden layers.
        learning_rate: the highest one; it decays to 0. None: the optimizer's own, kept constant.
        optimizer: a Keras optimizer, by name, or a mapping of `name` and its arguments.

    Raises:
        ConfigError: the data is not images, or there is no such augmentation.
    """
    _check_axes(facts, 3, "cnn takes images (height, width, channels)")
    known = {
        "none": None,
        "flip": keras.layers.RandomFlip("horizontal"),
        "shift": keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
    }
    chosen = [augment] if isinstance(augment, str) else augment
    if unknown := {*chosen} - {*known}:
        raise ConfigError(
            f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}", "model.augment"
        )
    blocks = [
        layer
        for count in _in_order(filters)
        for layer in (
            keras.layers.MaxPooling2D(padding="same"),
            functools.partial(_residual, count, kernel_size, activation),
        )
    ]
    layers = [
        *(known[name] for name in chosen),
        *blocks[1:],
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(dense, activation=activation) if dense else None,
        keras.layers.Dropout(dropout) if dropout else None,
    ]
    return _model(
        facts,
        layers,
        learning_rate and keras.optimizers.schedules.CosineDecay(learning_rate, steps),
        optimizer,
    )


def _residual(
    filters: int, kernel_size: int, activation: str, flow: "keras.KerasTensor"
) -> "keras.KerasTensor":
    """Return an image after a convolution, and what a second one adds to that."""
    activate = keras.layers.Activation(activation)
    for is_second in (False, True):
        # the normalisation that follows has the bias; few steps must do for its means
        made = keras.layers.BatchNormalization(momentum=0.9)(
            keras.layers.Conv2D(filters, kernel_size, padding="same", use_bias=False)(flow)
        )
        flow = activate(keras.layers.Add()([flow, made]) if is_second else made)
    return flow


def inputs(
    facts: "Facts",
) -> tuple["keras.KerasTensor | dict[str, keras.KerasTensor]", "keras.KerasTensor"]:
    """Return inputs for raw rows, and what a first layer takes of them: numbers normalised by the
    training rows, a missing one being their mean, and each category one-hot, with a place for words
    that no training row had.

    Args:
        facts: what is known of the training data.

    Returns:
        The input, or one for each column of a table with categories; and a tensor of the features'
        shape, or of (rows, width) for such a table.

    Raises:
        ConfigError: the backend has no text.
    """
    given, flow, flows = _raw(facts)
    if flow is not None:
        flow = keras.layers.Normalization(
            mean=facts.feature_mean,
            # what never varied may do so in new rows
            variance=[value or 1.0 for value in facts.feature_variance],
        )(flow)
        flows.insert(0, keras.ops.nan_to_num(flow, nan=0.0) if facts.may_miss else flow)
    return given, keras.layers.Concatenate()(flows) if len(flows) > 1 else flows[0]


def _raw(
    facts: "Facts",
) -> tuple[
    "keras.KerasTensor | dict[str, keras.KerasTensor]",
    "keras.KerasTensor | None",
    list["keras.KerasTensor"],
]:
    """Return inputs for raw rows, their numbers as they are, if there are any, each category
    one-hot, and of each text which of its frequent words are there.

    Raises:
        ConfigError: the backend has no text.
    """
    if isinstance(facts.input_shape, Mapping):
        raise ConfigError(
            "takes one array, or the columns of a table, but not several inputs: "
            f"{', '.join(facts.input_shape)}; write your own model for those",
            "model._target_",
        )
    words = {**facts.categories, **facts.texts}
    if words and keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"only the tensorflow backend has text, and the columns {', '.join(words)} contain "
            "words",
            "backend",
        )
    kinds = {kind.lower() for kind in dir(keras.layers)}
    columns: dict[str, keras.KerasTensor] = {}
    for name in facts.columns or () if words else ():
        # Keras takes no input with a slash in its name, or with that of a layer (`dropout_1`)
        is_taken = "/" in name or re.sub(r"_\d+$", "", name).replace("_", "") in kinds
        columns[name] = keras.Input(
            (1,),
            name=None if is_taken else name or None,
            dtype="string" if name in words else None,
        )
    numbers = (
        [column for name, column in columns.items() if name not in words]
        if columns
        else [keras.Input(facts.input_shape)]
    )
    flows = [
        keras.layers.StringLookup(vocabulary=known, oov_token=_UNKNOWN, output_mode="one_hot")(
            columns[name]
        )
        for name, known in facts.categories.items()
    ] + [
        keras.layers.Flatten()(
            keras.layers.TextVectorization(vocabulary=known or [_UNKNOWN], output_mode="multi_hot")(
                columns[name]
            )
        )
        for name, known in facts.texts.items()
    ]
    flow = keras.layers.Concatenate()(numbers) if len(numbers) > 1 else [*numbers, None][0]
    return columns or numbers[0], flow, flows


def lstm(
    *,
    facts: "Facts",
    units: Sizes,
    bidirectional: bool = False,
    dropout: float = 0.0,
    learning_rate: float | None = None,
    optimizer: "Optimizer" = "adam",
) -> "keras.Model":
    """Return recurrent layers over rows of shape (steps, features), such as windows of a series. If
    the window contains the target's own past, they predict how far the target will be from its last
    value.

    Args:
        facts: what is known of the training data.
        units: of each layer, in order; None or 0 leaves one out.
        bidirectional: read the steps from both ends.
        dropout: rate after each layer.
        learning_rate: of the optimizer; None: the optimizer's default.
        optimizer: a Keras optimizer, by name, or a mapping of `name` and its arguments.

    Raises:
        ConfigError: the rows have no steps, or no layer is left.
    """
    _check_axes(facts, 2, "lstm takes rows of shape (steps, features)")
    sizes = _in_order(units)
    if not sizes:
        raise ConfigError("at least one layer is needed", "model.units")
    layers: list[keras.Layer | None] = []
    for place, size in enumerate(sizes, 1):
        # the last one gives its last step alone
        layer = keras.layers.LSTM(size, return_sequences=place < len(sizes))
        layers += [
            keras.layers.Bidirectional(layer) if bidirectional else layer,
            keras.layers.Dropout(dropout) if dropout else None,
        ]
    return _model(facts, layers, learning_rate, optimizer, of_changes=True)


def _check_axes(facts: "Facts", count: int, what: str) -> None:
    if isinstance(facts.input_shape, Mapping) or len(facts.input_shape) != count:
        raise ConfigError(f"{what}; their shape is {facts.input_shape}", "model._target_")


def _in_order(sizes: Sizes) -> list[int]:
    return [int(n) for n in (sizes.values() if isinstance(sizes, Mapping) else sizes) if n]


def _changes(
    facts: "Facts", given: "keras.KerasTensor", scaled: "keras.KerasTensor"
) -> tuple["keras.KerasTensor", "keras.KerasTensor"]:
    """Return the target's last value in a window; and the window as the distance of each feature
    from its own last value, in units of what it usually changes from one row to the next, beside
    the features but the target as they are, `scaled` and smoothly clipped.
    """
    steps, features = facts.input_shape
    last = keras.layers.Cropping1D((steps - 1, 0))(given)
    flow = keras.layers.Normalization(mean=[0.0] * features, variance=facts.changes[:-1] ** 2)(
        given - last
    )
    others = [place for place in range(features) if place != facts.past]
    if others:
        levels = keras.ops.take(scaled, others, axis=-1)
        levels /= keras.ops.sqrt(1 + (levels / 3) ** 2)
        flow = keras.layers.Concatenate()([flow, levels])
    return keras.ops.take(last, facts.past, axis=-1), flow


def _model(
    facts: "Facts",
    layers: Sequence["Callable[[keras.KerasTensor], keras.KerasTensor] | None"],
    learning_rate: "float | keras.optimizers.schedules.LearningRateSchedule | None",
    optimizer: "Optimizer",
    regularizer: "keras.Regularizer | None" = None,
    *,
    of_changes: bool = False,
) -> "keras.Model":
    """Return a compiled model: layers, those that are there, between the inputs and an output that
    suits the task; with `of_changes`, where it can be, the change against a window's last value.

    Raises:
        ConfigError: the learning rate is given twice.
        ValueError: there is no such optimizer, or it does not take an argument.
    """
    chosen = dict[str, object]({"name": optimizer} if isinstance(optimizer, str) else optimizer)
    if learning_rate is not None and chosen.get("learning_rate") is not None:
        raise ConfigError(
            "is also given by model.learning_rate; set one of them to null",
            "model.optimizer.learning_rate",
        )
    if learning_rate is not None:
        chosen["learning_rate"] = learning_rate
    task = "regression" if facts.num_classes is None else "classification"
    last, scale = None, (facts.target_deviation, facts.target_mean)
    given, flow = inputs(facts)
    if of_changes and facts.past is not None:
        last, flow, scale = *_changes(facts, given, flow), (float(facts.changes[-1]), 0.0)
    output = [
        keras.layers.Dense(
            facts.num_classes or 1,
            activation="softmax" if facts.num_classes else None,
            kernel_initializer="glorot_uniform" if last is None else "zeros",
            kernel_regularizer=regularizer,
        ),
        None if facts.num_classes else keras.layers.Rescaling(*scale),
    ]
    for layer in filter(None, [*layers, *output]):
        flow = layer(flow)
    model = keras.Model(given, flow if last is None else keras.layers.Add()([last, flow]))
    model.compile(
        keras.optimizers.get(
            {
                "class_name": str(chosen.pop("name", None)),
                # without a learning rate it has Keras' own
                "config": {key: value for key, value in chosen.items() if value is not None},
            }
        ),
        LOSSES[task],
        metrics=METRICS[task],
    )
    return model
