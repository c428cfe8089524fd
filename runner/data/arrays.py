"""Arrays of rows, checked to be such that a model can be trained on them."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runner.errors import DataError

Array: TypeAlias = NDArray[Any]
# One array (rows, ...), or the columns of a table that has categories, each (rows,): numbers as
# float32, where NaN is a missing one, and words as text, where "" is a missing one. Or several
# inputs by name, each an array (rows, ...) or words (rows,).
Features: TypeAlias = Array | dict[str, Array]
UNNAMED = 'give several inputs by name: {"a": ..., "b": ...}'


def is_text(column: Array) -> bool:
    """Say whether an array is a column of words."""
    return column.dtype.kind == "O"


def shapes(x: Features) -> dict[str, tuple[int, ...]]:
    """Return the shapes of rows of columns, or of several inputs, by name; none of one array."""
    if not isinstance(x, dict):
        return {}
    return {name: column.shape[1:] or (1,) for name, column in x.items()}


def features(x: object, where: str) -> Features:
    """Return features of shape (rows, ...) as float32, or images as the bytes that they are; or
    several such inputs, by name.

    Raises:
        DataError: they hold anything but finite numbers, or have other shapes.
    """
    if not isinstance(x, Mapping):
        return _one_array(np.asarray(x), where)
    inputs = {str(name): _input(x[name], f"{where}[{name!r}]") for name in sorted(x, key=str)}
    rows = {name: len(array) for name, array in inputs.items()}
    if len({*rows.values()}) > 1:
        raise DataError(f"{where}: the inputs have different numbers of rows: {rows}")
    return inputs


def _input(x: object, where: str) -> Array:
    """Return one of several inputs: numbers of any shape (rows, ...), or words (rows,)."""
    array = np.asarray(x)
    if array.dtype.kind in "OSU" and array.shape[:1] == (array.size,):
        words = [w.decode(errors="replace") if isinstance(w, bytes) else w for w in array.ravel()]
        if all(isinstance(word, str) for word in words):
            return np.array([str(word) for word in words], object)
    rows = array[:, np.newaxis] if array.ndim == 1 else array
    return _one_array(rows, where).reshape(array.shape)


def _one_array(array: Array, where: str) -> Array:
    if array.ndim < 2 or not array.size:
        raise DataError(
            f"{where}: the features have the shape {array.shape}; "
            "they need rows and at least one column"
        )
    if array.dtype == "uint8" and array.ndim == 4:
        return array  # images: Keras makes float32 of them batch by batch, four times the size
    return numbers(array, f"features of {where}")


def numbers(array: Array, what: str) -> Array:
    """Return an array as float32.

    Raises:
        DataError: it holds anything but finite numbers of single precision.
    """
    if array.dtype.kind not in "fiub":
        raise DataError(f"the {what} have type {array.dtype}; a model needs numbers")
    with np.errstate(over="ignore"):
        single = array.astype("float32", copy=False)
    wrong = np.argwhere(~np.isfinite(single))
    if len(wrong):
        row, *place = wrong[0].tolist()
        at = f"row {row + 1}"
        if place:
            at += f", place {place}"
        raise DataError(f"{len(wrong)} of the {what} are NaN or infinite, the first in {at}")
    return single


def one_each(y: object, rows: int, where: str) -> Array:
    """Return targets of shape (rows,)."""
    try:
        array = np.asarray(y)
    except ValueError:  # of several shapes
        array = np.empty(())
    if array.shape == (rows, 1):
        array = array[:, 0]
    if array.shape != (rows,):
        raise DataError(
            f"{where}: {rows} rows of features, but targets of shape {array.shape}; exactly one "
            "target per row is needed, not several and not one-hot rows"
        )
    return array


def numbered(y: Array, task: str) -> tuple[Array, tuple[str, ...] | None]:
    """Return targets as numbers, and what stands for each in the source; None for a regression.

    Raises:
        DataError: they do not suit the task.
    """
    kind = y.dtype.kind
    if task == "regression":
        if kind not in "fiu":
            raise DataError(
                f"regression needs numbers as targets, not {y.dtype}; is this a classification?"
            )
        return numbers(y, "targets"), None
    if kind not in "biufUO":
        raise DataError(f"classes must be whole numbers or text, not {y.dtype}")
    try:
        values, places = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise DataError("the targets have mixed types, or some are None") from error
    if len(values) < 2:
        raise DataError(
            f"classification needs at least two classes; there is only {values.tolist()}"
        )
    if kind == "f":
        numbers(y, "targets")
        if not np.array_equal(values, np.round(values)):
            raise DataError(
                f"the targets are fractions ({values[:3].tolist()} ...); is this a regression?"
            )
        values = values.astype("int64")
    return places, tuple(str(value) for value in values.tolist())


def moments(chunks: Iterable[Array]) -> tuple[list[float], list[float]]:
    """Return mean and variance over the last axis, missing numbers left out, in one pass over
    chunks of rows; 0 where all are missing.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for chunk in chunks:
        with np.errstate(invalid="ignore"):  # all missing: NaN
            if chunk.size:
                scaler.partial_fit(chunk.reshape(-1, chunk.shape[-1]).astype("float64"))
    mean = np.nan_to_num(getattr(scaler, "mean_", []))
    variance = np.nan_to_num(getattr(scaler, "var_", []))
    return mean.tolist(), variance.tolist()
