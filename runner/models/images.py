"""A residual network for images (He et al. 2016)."""

from collections.abc import Sequence
from typing import Any

from runner import later as keras
from runner.data.facts import Facts
from runner.errors import ConfigError
from runner.models.building import Optimizer, Sizes, check_axes, in_order, new_model, new_optimizer
from runner.models.encoding import Tensor


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
    check_axes(facts, 3, "cnn takes images (height, width, channels)")
    layers = _augmentation([augment] if isinstance(augment, str) else augment)
    blocks = []
    for count in in_order(filters):
        blocks.append(keras.layers.MaxPooling2D(padding="same"))
        blocks.append(_residual(count, kernel_size, activation))
    layers += [*blocks[1:], keras.layers.GlobalAveragePooling2D()]
    if dense:
        layers.append(keras.layers.Dense(dense, activation=activation))
    if dropout:
        layers.append(keras.layers.Dropout(dropout))
    rate = learning_rate and keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return new_model(facts, layers, new_optimizer(optimizer, rate))


def _augmentation(names: Sequence[str]) -> list[Any]:
    """Return the layers of those names; each is made, as it draws a seed, whether it is used or
    not.
    """
    layers = {
        "flip": keras.layers.RandomFlip("horizontal"),
        "shift": keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
    }
    known = ["none", *layers]
    if unknown := set(names).difference(known):
        raise ConfigError(
            f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}", "model.augment"
        )
    return [layers[name] for name in names if name != "none"]


def _residual(filters: int, kernel_size: int, activation: str) -> Any:
    """Return a block of a convolution, and of a second one that adds to it."""

    def convolved(flow: Tensor) -> Tensor:
        # the normalisation that follows has the bias; few steps must do for its means
        convolution = keras.layers.Conv2D(filters, kernel_size, padding="same", use_bias=False)
        return keras.layers.BatchNormalization(momentum=0.9)(convolution(flow))

    def block(flow: Tensor) -> Tensor:
        activate = keras.layers.Activation(activation)
        first = activate(convolved(flow))
        return activate(keras.layers.Add()([first, convolved(first)]))

    return block
