"""A table in a file as rows, to train on or to predict: which columns are features and of what
kind, and what becomes of missing values. Or as windows over a series: the rows are split by time
first, so that no window reaches from one part into another.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas
from pydantic import AliasPath, BaseModel, Field, PositiveInt

from runner.config.schema import PARTS, TableData, WindowData
from runner.data import dataset
from runner.data.dataset import WHOLE, Array, Features, Part, Rows, is_text
from runner.data.files import Table, load_arrays, missing, open_table
from runner.data.split import by_time
from runner.errors import DataError

log = logging.getLogger("runner")

WORDS = 100  # different texts in a column that are taken for categories without being asked for


def read(settings: TableData, task: str) -> Rows:
    """Return the rows of a table; each part's file is read as the first one's columns are.

    Raises:
        DataError: a file cannot be read, or its columns are not as they must be; the column and the
            row are named.
    """
    named = {f"columns.{name}": name for name in settings.columns} | {"target": settings.target}
    if (column := settings.split.column) is not None:
        named["split.column"] = column
    kinds: dict[str, str] = {}
    parts: dict[str, Part] = {}
    for part in sorted(settings.paths, key=(WHOLE, *PARTS).index):
        table = open_table(Path(settings.paths[part]), settings.separator, settings.decimal)
        for key, name in named.items():
            table.require([name], f"data.{key}")
        if not kinds:
            told = {name: _kind(settings, table, name, task) for name in table.names}
            kinds = {name: kind for name, kind in told.items() if kind != "ignore"}
            if not set(kinds) - _beside(settings):
                raise DataError("no column is left for the features", "data.columns")
        table.require(kinds)
        columns = _without_missing(settings, table, table.columns(kinds))
        used = {name: c for name, c in columns.items() if name not in _beside(settings)}
        parts[part] = Part(as_features(used), columns[settings.target])
    by = None if column is None else columns[column]
    return Rows(parts, columns={name: kinds[name] for name in used}, by=by)


class StoredData(BaseModel):
    """What the section `data` of an entry says of its rows; see Dataset.describe."""

    shape: list[PositiveInt] = Field(validation_alias=AliasPath("shapes", "train"), min_length=2)
    columns: dict[str, str] | None = None  # the features' kinds
    classes: tuple[str, ...] | None = None
    separator: str = Field(",", validation_alias=AliasPath("source", "separator"))
    decimal: str = Field(".", validation_alias=AliasPath("source", "decimal"))
    missing: object = Field("", validation_alias=AliasPath("source", "missing"))


def read_new(path: Path, stored: StoredData) -> tuple[Features, list[str]]:
    """Return new rows for a stored model, and the names of the columns that were left out.

    Args:
        path: a file of one of files.FORMATS; a CSV has a header. Columns are taken by name where
            their names are known; those of a window, which has each once a step, in order.
        stored: what the model's entry says of its rows.

    Raises:
        DataError: the file cannot be read, or does not hold such rows; the first wrong value is
            named.
    """
    shape = tuple(stored.shape[1:])
    if path.suffix.lower() == ".npz":
        arrays = load_arrays(path)
        rows = arrays.popitem()[1] if len(arrays) == 1 else load_arrays(path, "x")["x"]
        if rows.shape[1:] != shape:
            raise DataError(
                f"{path}: its rows are of shape {rows.shape[1:]}; those of the model of {shape}"
            )
        return dataset.features(rows, str(path)), []
    table = open_table(path, stored.separator, stored.decimal)
    kinds = stored.columns if len(shape) == 1 else None
    if kinds is None:
        kinds = dict.fromkeys(table.names, "number")
        unnamed = pandas.to_numeric(pandas.Series(table.names), errors="coerce").notna()
        if path.suffix.lower() == ".csv" and unnamed.any():
            raise DataError(f"{path}: line 1 holds numbers; it must be texts that name the columns")
    table.require(kinds)
    if len(kinds) != np.prod(shape):
        raise DataError(f"{path} has {len(kinds)} columns; the model takes {np.prod(shape)}")
    columns = table.columns(kinds)
    if stored.missing != "fill":
        table.require_values(
            {name: column for name, column in columns.items() if not is_text(column)}
        )
    x = as_features(columns)
    ignored = [name for name in table.names if name not in kinds]
    return (x if isinstance(x, dict) else x.reshape(-1, *shape)), ignored


def as_features(columns: Mapping[str, Array]) -> Features:
    """Return what a model takes of columns: one array of numbers or, where some are words, each by
    itself.
    """
    x = {name: c if is_text(c) else c.astype("float32") for name, c in columns.items()}
    return x if any(map(is_text, x.values())) else np.stack(list(x.values()), axis=1)


def _beside(settings: TableData) -> set[str | None]:
    """Return the columns that are no features, unless they are named as such."""
    features = {name for name, kind in settings.columns.items() if kind != "ignore"}
    return {settings.target, settings.split.column} - features


def _kind(settings: TableData, table: Table, name: str, task: str) -> str:
    """Return number, category or ignore: how a column is to be read."""
    told = table.kind(name)
    if name == settings.target:
        return "number" if told == "number" or task == "regression" else "category"
    if name in _beside(settings):
        in_time = settings.split.kind == "chronological"
        return "number" if told == "number" and in_time else "category"
    if name in settings.columns:
        return settings.columns[name]
    if not name:
        raise DataError(
            "a column has no name (an index?): give it one, or say columns: {'': ignore}"
        )
    if told in ("category", "mixed"):
        _check_words(table, name)
        return "category"
    if told != "number":
        raise DataError(
            f"column '{name}' is of type {told}: say columns: {{{name}: ignore}}, or store it as "
            "numbers or text"
        )
    return told


def _check_words(table: Table, name: str) -> None:
    """Refuse texts that nobody called categories unless they look like some: few, and no numbers
    among which one is mistyped.
    """
    column = table.columns({name: "category"})[name]
    say = f"say columns: {{{name}: category}}"
    words = np.flatnonzero(table.parsed(name)[1])
    points = pandas.Series(column[words]).astype(str).str.replace(",", ".")
    commas = words[pandas.to_numeric(points, errors="coerce").notna()]
    if 2 * len(commas) > np.count_nonzero(column[words] != ""):
        raise DataError(
            f"{table.place(commas[0], name)}: {column[commas[0]]!r:.60} has a comma; is another "
            f"data.decimal meant? If not, {say}"
        )
    if 2 * len(words) < len(column):
        raise DataError(
            f"{table.place(words[0], name)}: {column[words[0]]!r:.60} stands among numbers: "
            f"mend it, or {say}"
        )
    different = len(set(column))
    if different > WORDS or different == len(column):
        raise DataError(
            f"{table.path}: column '{name}' has {different} different texts in {len(column)} "
            f"rows: {say}, or ignore"
        )


def _without_missing(
    settings: TableData, table: Table, columns: dict[str, Array]
) -> dict[str, Array]:
    """Return the columns without the rows that lack something, or as they are where the model is to
    fill them.
    """
    if settings.missing != "drop":
        beside = columns if settings.missing == "error" else _beside(settings)
        needed = {name: column for name, column in columns.items() if name in beside}
        table.require_values(needed, "; fill it in, or say data.missing: drop")
        return columns
    lacking = np.logical_or.reduce([missing(column) for column in columns.values()])
    if lacking.any():
        log.info(
            "%s: %d of %d rows are left out, for lack of a value",
            table.path,
            lacking.sum(),
            len(lacking),
        )
    return {name: column[~lacking] for name, column in columns.items()}


def read_windows(settings: WindowData, task: str) -> Rows:
    """Return windows of shape (windows, steps, features) with their targets, by part.

    Raises:
        DataError: the file cannot be read, a column is missing or holds what is no number, a part
            has too few rows.
    """
    table = open_table(Path(settings.path), settings.separator, settings.decimal)
    table.require([settings.target], "data.target")
    table.require(settings.features or [], "data.features")
    kinds = {name: table.kind(name) for name in table.names}
    a_number = task == "regression" or kinds[settings.target] == "number"
    kinds[settings.target] = "number" if a_number else "category"
    # texts some of which are numbers are a column of numbers, in which a cell is mistyped
    features = settings.features or [
        name
        for name, kind in kinds.items()
        if kind in ("number", "mixed") and (name != settings.target or settings.horizon)
    ]
    if not features:
        raise DataError(
            f"{table.path} has no column of numbers beside the target '{settings.target}'",
            "data.features",
        )
    columns = table.columns(dict.fromkeys(features, "number"))
    targets = table.columns({settings.target: kinds[settings.target]})
    table.require_values(columns | targets)
    rows = np.stack(list(columns.values()), axis=1).astype("float32")
    size = rows.nbytes * settings.sequence_length // settings.sequence_stride
    dataset.must_fit(size, "the windows", "larger sequence_stride")
    pairs = {
        name: _windows(rows[part], targets[settings.target][part], settings, name)
        for name, part in by_time(len(rows), settings.split).items()
    }
    parts = dataset.checked(pairs, settings.path)
    return Rows(parts, columns=dict.fromkeys(features, "number"), comparable=False)


def _windows(rows: Array, targets: Array, settings: WindowData, part: str) -> tuple[Array, Array]:
    """Return the windows and targets that Keras' timeseries_dataset_from_array makes of rows."""
    if len(rows) <= settings.reach:
        raise DataError(
            f"the {part} part has {len(rows)} rows; one window and its target reach over "
            f"{settings.reach + 1}. Give it a larger share in data.split, or a shorter "
            "sequence_length"
        )
    first = np.arange(0, len(rows) - settings.reach, settings.sequence_stride)
    steps = np.arange(settings.sequence_length) * settings.sampling_rate
    return rows[first[:, np.newaxis] + steps], targets[first + settings.reach]
