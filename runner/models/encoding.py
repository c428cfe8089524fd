"""From raw rows to numbers, inside the model: it is stored with the statistics and words of its
training rows.
"""

import re
from collections.abc import Mapping
from typing import Any

from runner import later as keras
from runner.data.facts import Facts
from runner.errors import ConfigError

Tensor = Any  # Keras has no types

# stands for words that no training row had; a word of its own in no table
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def inputs(facts: Facts) -> tuple[Tensor, Tensor]:
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
    given, numbers, encoded = raw_inputs(facts)
    if numbers is None:
        return given, joined(encoded)
    # what never varied may do so in new rows
    variance = [value or 1.0 for value in facts.feature_variance]
    scaled = keras.layers.Normalization(mean=facts.feature_mean, variance=variance)(numbers)
    if facts.may_miss:
        scaled = keras.ops.nan_to_num(scaled, nan=0.0)
    return given, joined([scaled, *encoded])


def raw_inputs(facts: Facts) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return inputs for raw rows, their numbers as they are (None without any), each category
    one-hot, and of each text which of its frequent words are there.

    Raises:
        ConfigError: there are several inputs, or the backend has no text.
    """
    if isinstance(facts.input_shape, Mapping):
        raise ConfigError(
            "takes one array, or the columns of a table, but not several inputs: "
            f"{', '.join(facts.input_shape)}; write your own model for those",
            "model._target_",
        )
    words = [*facts.categories, *facts.texts]
    if not words:
        row = keras.Input(facts.input_shape)
        return row, row, []
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"only the tensorflow backend has text, and the columns {', '.join(words)} contain "
            "words",
            "backend",
        )
    columns = {name: _column(name, name in words) for name in facts.columns or ()}
    encoded = []
    for name, vocabulary in facts.categories.items():
        lookup = keras.layers.StringLookup(
            vocabulary=vocabulary, oov_token=UNKNOWN, output_mode="one_hot"
        )
        encoded.append(lookup(columns[name]))
    for name, vocabulary in facts.texts.items():
        vectorization = keras.layers.TextVectorization(
            vocabulary=vocabulary or [UNKNOWN], output_mode="multi_hot"
        )
        encoded.append(keras.layers.Flatten()(vectorization(columns[name])))
    numbers = [column for name, column in columns.items() if name not in words]
    return columns, joined(numbers) if numbers else None, encoded


def _column(name: str, is_text: bool) -> Tensor:
    """Return the input for a column, with its name where Keras takes that: it must have no slash,
    and not be that of a layer (`dropout_1`).
    """
    layers = {layer.lower() for layer in dir(keras.layers)}
    is_taken = "/" in name or re.sub(r"_\d+$", "", name).replace("_", "") in layers
    return keras.Input(
        (1,),
        name=None if is_taken else name or None,
        dtype="string" if is_text else None,
    )


def joined(tensors: list[Tensor]) -> Tensor:
    """Return one tensor of the columns of all."""
    return keras.layers.Concatenate()(tensors) if len(tensors) > 1 else tensors[0]


def softly_clipped(flow: Tensor) -> Tensor:
    """Return numbers of deviation 1 such that none is beyond 3."""
    return flow / keras.ops.sqrt(1 + (flow / 3) ** 2)
