"""A search space as the unit cube, which guided tuners calculate with: each hyperparameter's values
lie between 0 and 1, as Keras Tuner samples them.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.training.ledger import Values

if TYPE_CHECKING:
    from keras_tuner import HyperParameters
    from keras_tuner.engine.hyperparameters import HyperParameter


def coordinate(hp: "HyperParameter", value: Any) -> float:
    """Return where a value lies; one out of range, such as a default may be, at the nearest end."""
    if hasattr(hp, "min_value"):
        value = min(max(value, hp.min_value), hp.max_value)
        if hp.step and hp.sampling == "linear":
            value += hp.step / 2  # Keras Tuner rounds down, of some floats by one too many
    return float(min(max(hp.value_to_prob(value), 0.0), 1.0))


def value_at(hp: "HyperParameter", at: float) -> Any:
    """Return the value that lies there; at the ends of a range, Keras Tuner's may be out of it."""
    value = hp.prob_to_value(at)
    return min(max(value, hp.min_value), hp.max_value) if hasattr(hp, "min_value") else value


def count(hp: "HyperParameter") -> int | None:
    """Return how many values a hyperparameter has; None: it has no steps."""
    if not hasattr(hp, "min_value"):
        return len(hp.values)
    if isinstance(hp.min_value, int) and hp.sampling == "linear":
        hp.step = hp.step or 1
    return hp._get_n_values() if hp.step else None


def point(values: "HyperParameters", space: Iterable[Any]) -> list[float]:
    """Return where values lie in a space; what has none is at its default."""
    coordinates = []
    for hp in space:
        has_value = values.is_active(hp) and hp.name in values.values
        coordinates.append(coordinate(hp, values.values[hp.name] if has_value else hp.default))
    return coordinates


def values_at(point: np.ndarray, space: "HyperParameters") -> Values:
    """Return the values that lie at a point; they become the space's own."""
    space.values = {}
    for hp, at in zip(space.space, point.tolist(), strict=True):
        if space.is_active(hp):
            space.values[hp.name] = value_at(hp, at)
    return dict(space.values)


def snapped(points: np.ndarray, space: "HyperParameters") -> np.ndarray:
    """Return where the values of points lie: between two of them, there is nothing to try."""
    found = np.empty_like(points)
    for number, near in enumerate(points):
        values_at(near, space)
        found[number] = point(space, space.space)
    return found
