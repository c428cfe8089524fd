"""New rows for a stored model, read as its entry says that the rows were that it was trained on."""

import math
from datetime import datetime
from pathlib import Path

import pandas
from pydantic import AliasPath, BaseModel, Field, PositiveInt

from runner.config import schema
from runner.data import arrays, columns, files, numerals
from runner.data.dataset import features_of
from runner.data.npz import load_arrays
from runner.errors import DataError


class StoredDialect(schema.Dialect, extra="ignore"):
    """How the file of a source was written, among all else that an entry says of that."""


class StoredData(BaseModel):
    """What the section `data` of an entry says of its rows; see Dataset.describe."""

    shape: list[PositiveInt] = Field(validation_alias=AliasPath("shapes", "train"), min_length=2)
    columns: dict[str, str] | None = None  # the features' kinds
    inputs: dict[str, list[int]] = {}  # the shapes of several inputs, by name
    styles: dict[str, numerals.Style] = {}  # of numbers that are not plain
    since: dict[str, datetime] = {}  # the first of each column of dates
    classes: tuple[str, ...] | None = None
    source: StoredDialect = StoredDialect()
    missing: object = Field("", validation_alias=AliasPath("source", "missing"))


def read_new(path: Path, stored: StoredData) -> tuple[arrays.Features, list[str]]:
    """Return new rows for a stored model, and the names of the columns that were left out.

    Args:
        path: a file of one of files.FORMATS; a CSV has a header. Columns are taken by name where
            their names are known; those of a window, which has each once a step, in order.
        stored: what the model's entry says of its rows.

    Raises:
        DataError: the file cannot be read, or does not hold such rows; the first wrong value is
            named.
    """
    if path.suffix.lower() == ".npz":
        return _of_arrays(path, stored), []
    if stored.inputs:
        raise DataError(
            f"{path}: the model has several inputs; use an .npz file with the arrays "
            f"{', '.join(stored.inputs)}"
        )
    return _of_table(path, stored)


def _of_arrays(path: Path, stored: StoredData) -> arrays.Features:
    if stored.inputs:
        x = arrays.features(load_arrays(path, *stored.inputs), str(path))
        shapes = {name: list(shape) for name, shape in arrays.shapes(x).items()}
        if shapes != stored.inputs:
            raise DataError(
                f"{path}: its rows have the shapes {shapes}; the model expects {stored.inputs}"
            )
        return x
    every = load_arrays(path)
    rows = every.popitem()[1] if len(every) == 1 else load_arrays(path, "x")["x"]
    expected = tuple(stored.shape[1:])
    if rows.shape[1:] != expected:
        raise DataError(
            f"{path}: its rows have the shape {rows.shape[1:]}; the model expects {expected}"
        )
    return arrays.features(rows, str(path))


def _of_table(path: Path, stored: StoredData) -> tuple[arrays.Features, list[str]]:
    shape = stored.shape[1:]
    width = math.prod(shape)
    table = files.open_table(path, stored.source, styles=stored.styles)
    if stored.columns is not None and len(shape) == 1:
        kinds = stored.columns
    else:
        kinds = dict.fromkeys(table.names, "number")
        names = pandas.to_numeric(pandas.Series(table.names), errors="coerce")
        if table.lines is not None and names.notna().any():
            raise DataError(f"{path}: line 1 contains numbers; it must name the columns")
    table.require({"": kinds})
    count = len(features_of(kinds))
    if count != width:
        raise DataError(f"{path} has {count} columns; the model takes {width}")
    whole = list[str]()
    if stored.missing != "fill":
        whole = [name for name, kind in kinds.items() if kind in ("number", "date")]
    x = columns.as_features(table.columns(kinds, whole), stored.since)
    if not isinstance(x, dict):
        x = x.reshape(-1, *shape)
    return x, [name for name in table.names if name not in kinds]
