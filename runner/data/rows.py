"""What a source holds before it is split: features and targets, checked to be such that a model can
be trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runner.data.dataset import Array, Features
from runner.errors import DataError


@dataclass(frozen=True)
class Rows:
    """What a source holds, before it is split."""

    x: Features
    y: Array
    classes: tuple[str, ...] | None = None  # names, where the source has them
    columns: Mapping[str, str] | None = None  # of a table: number or category
    by: Array | None = None  # what the split goes by
    given: bool = False  # `by` names the parts, which the source gave


def joined(pairs: Mapping[str, Sequence[Any]], where: str) -> Rows:
    """Parts that were given, one after the other."""
    found = {name: (features(x), y) for name, (x, y) in pairs.items()}
    shapes = {name: x.shape[1:] for name, (x, _) in found.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"{where}: the parts have rows of different shapes: {shapes}")
    targets = [one_each(y, len(x)) for x, y in found.values()]
    by = np.repeat(np.array(list(found), dtype=object), [len(y) for y in targets])
    return Rows(
        np.concatenate([x for x, _ in found.values()]), np.concatenate(targets), by=by, given=True
    )


def features(x: Any, where: str = "data") -> Array:
    """Features of shape (rows, ...) as float32, or images as the bytes that they are."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise DataError(
            f"{where}: the features are no array of rows of one shape: {error}"
        ) from error
    if array.ndim == 0 or len(array) == 0:
        raise DataError(f"{where}: there are no rows")
    if array.ndim < 2:
        raise DataError(
            f"{where}: the features have the shape {array.shape}; they need rows and at least one column"
        )
    if array.dtype == "uint8" and array.ndim == 4:
        # images: four times the size as float32, which Keras makes of them batch by batch
        return array
    return numbers(array, where, "features")


def numbers(array: Array, where: str, what: str) -> Array:
    """An array as float32; raises DataError where it holds anything but finite numbers of single
    precision.
    """
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where}: the {what} are of type {array.dtype}; a model takes numbers")
    with np.errstate(over="ignore"):
        found = array.astype("float32", copy=False)
    wrong = ~np.isfinite(found)
    if wrong.any():
        row, *place = (int(number) for number in np.argwhere(wrong)[0])
        at = f"row {row + 1}{f', place {place}' if place else ''}"
        raise DataError(
            f"{where}: {wrong.sum()} of the {what} are NaN or infinite, the first in {at}"
        )
    return found


def one_each(y: Any, rows: int) -> Array:
    """Targets of shape (rows,)."""
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) != rows:
        raise DataError(
            f"data: {rows} rows of features, but targets of shape {array.shape}; one target a row is needed"
        )
    return array


def class_numbers(y: Array, names: tuple[str, ...] | None) -> tuple[Array, tuple[str, ...]]:
    """Targets as numbers of classes from 0, and the names of these."""
    if y.dtype.kind == "f":
        numbers(y, "data", "targets")
    try:
        values, found = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise DataError(
            "data: the targets are of several kinds, or some are missing (None)"
        ) from error
    if len(values) < 2:
        raise DataError(
            f"data: classification needs at least two classes; there is only {values.tolist()}"
        )
    if y.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise DataError(
            f"data: the targets are fractions ({values[:3].tolist()} ...); is this a regression?"
        )
    values = values.astype("int64") if y.dtype.kind == "f" else values
    return found.astype("int64"), names or tuple(str(value) for value in values.tolist())


def target_values(y: Array) -> Array:
    """Targets as numbers."""
    if y.dtype.kind not in "fiu":
        raise DataError(
            f"data: regression needs numbers as targets, not {y.dtype}; is this a classification?"
        )
    return numbers(y, "data", "targets")
