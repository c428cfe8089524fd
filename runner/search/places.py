"""Where the values of hyperparameters are between 0 and 1, as Keras Tuner samples them: what guided
tuners reckon with.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_tuner.engine.hyperparameters import HyperParameter


def place_of(hp: "HyperParameter", value: Any) -> float:
    """Return the place of a value; of one out of range, such as a default may be, that of the
    nearest end.
    """
    if hasattr(hp, "min_value"):
        value = min(max(value, hp.min_value), hp.max_value)
        if hp.step and hp.sampling == "linear":
            value += hp.step / 2  # Keras Tuner rounds down, of some floats by one too many
    return float(min(max(hp.value_to_prob(value), 0.0), 1.0))


def value_at(hp: "HyperParameter", place: float) -> Any:
    """Return the value at a place; at the ends of a range, Keras Tuner's may be out of it."""
    value = hp.prob_to_value(place)
    return min(max(value, hp.min_value), hp.max_value) if hasattr(hp, "min_value") else value
