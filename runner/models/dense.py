"""Rows as one vector each: linear and logistic regression, and a multilayer perceptron."""

from runner import later as keras
from runner.data.facts import Facts
from runner.models.building import Optimizer, Sizes, hidden_layers, new_model, new_optimizer


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
    penalty = keras.regularizers.L2(l2 * facts.target_deviation**2)  # that of classes is 1
    layers = [keras.layers.Flatten()]
    return new_model(facts, layers, new_optimizer(optimizer, learning_rate), penalty)


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
    layers = hidden_layers(hidden, activation, dropout)
    return new_model(facts, layers, new_optimizer(optimizer, learning_rate))
