"""Windows of a series: they are told how far the target will be from its last value."""

from typing import Any

from runner import later as keras
from runner.data.facts import Facts
from runner.errors import ConfigError
from runner.models import building
from runner.models.building import Optimizer, Sizes, new_optimizer
from runner.models.encoding import Tensor, inputs, joined, softly_clipped


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
    building.check_axes(facts, 2, "series takes rows of shape (steps, features)")
    layers = building.hidden_layers(hidden, activation, dropout)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return window_model(facts, layers, new_optimizer("adamw", rate))


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
    building.check_axes(facts, 2, "lstm takes rows of shape (steps, features)")
    sizes = building.in_order(units)
    if not sizes:
        raise ConfigError("at least one layer is needed", "model.units")
    layers = []
    for number, size in enumerate(sizes, 1):
        # the last one gives its last step alone
        layer = keras.layers.LSTM(size, return_sequences=number < len(sizes))
        layers.append(keras.layers.Bidirectional(layer) if bidirectional else layer)
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    return window_model(facts, layers, new_optimizer(optimizer, learning_rate))


def window_model(facts: Facts, layers: list[Any], optimizer: Any) -> Any:
    """Return a compiled model of windows: of the change against the target's last value, where a
    window contains that.
    """
    if facts.past is None:
        return building.new_model(facts, layers, optimizer)
    given, scaled = inputs(facts)
    last = keras.layers.Cropping1D((facts.input_shape[0] - 1, 0))(given)
    *of_features, of_target = _usual_changes(facts)
    flow = _distances(facts, given - last, scaled, of_features)
    output = [
        keras.layers.Dense(1, kernel_initializer="zeros"),
        keras.layers.Rescaling(float(of_target)),
    ]
    change = building.through([*layers, *output], flow)
    last_target = keras.ops.take(last, facts.past, axis=-1)
    return building.compiled(facts, given, keras.layers.Add()([last_target, change]), optimizer)


def _usual_changes(facts: Facts) -> list[float]:
    """Return how far each feature of a window usually is from what it was one row before, and the
    target from its last value there; 1 for what never changes.
    """
    rows = facts.train.numbers
    last = rows[:, -1].astype("float64")
    before = rows[:, -2:][:, 0]
    of_features = (last - before).std(axis=0)
    of_target = (facts.train.y - last[:, facts.past]).std()
    return [value or 1.0 for value in (*of_features, of_target)]


def _distances(facts: Facts, off: Tensor, scaled: Tensor, usual: list[float]) -> Tensor:
    """Return each feature's distance from its own last value, in units of what it usually changes
    from one row to the next; beside the features but the target as they are, softly clipped.

    Args:
        facts: what is known of the training data.
        off: the distances.
        scaled: the features, normalised.
        usual: the change of each.
    """
    features = facts.input_shape[1]
    variance = [change**2 for change in usual]
    flow = keras.layers.Normalization(mean=[0.0] * features, variance=variance)(off)
    others = [number for number in range(features) if number != facts.past]
    if not others:
        return flow
    levels = softly_clipped(keras.ops.take(scaled, others, axis=-1))
    return joined([flow, levels])
