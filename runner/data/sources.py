"""Where rows come from: scikit-learn's tables, files of rows, images, windows over a series, the user's function."""

import dataclasses
import functools
import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from history.errors import unknown
from runner.check import plain
from runner.data import Array, Dataset, Features, Part, images, streams, take, windows
from runner.data.split import refuse_leaks, split
from runner.data.tables import NOTHING, Table, features, is_number, load_arrays, open_table
from runner.errors import DataError
from runner.settings import PARTS, Data, FunctionData, ImageData, NpzData, SklearnData, Split, TableData, WindowData
from runner.targets import check_arguments, locate

log = logging.getLogger("runner")

WORDS = 100  # different texts in a column of a table that are taken for categories without being asked for


@dataclass(frozen=True)
class _Rows:
    """What a source holds, before it is split."""

    x: Features
    y: Array
    classes: tuple[str, ...] | None = None  # names, where the source has them
    columns: Mapping[str, str] | None = None  # of a table: number or category
    by: Array | None = None  # what the split goes by
    given: bool = False  # `by` names the parts, which the source gave


def load(settings: Data, task: str) -> Dataset:
    """The data of a pipeline, split.

    Args:
        settings: the section `data`.
        task: classification or regression.

    Raises:
        DataError: the source is missing, unreadable or does not suit the task, or the split is empty or leaks.
    """
    if isinstance(settings, SklearnData):
        rows = _sklearn(settings, task)
    elif isinstance(settings, FunctionData):
        given = _call(settings)
        if isinstance(given, Mapping) and any(map(streams.is_stream, given.values())):
            return _streamed(settings, given, task)
        rows = _function(settings, given)
    else:
        rows = _files(settings, task)
    y, classes = _classes(rows.y, rows.classes) if task == "classification" else (_numbers(rows.y), None)
    how = Split(kind="given", column="its part") if rows.given else settings.split
    chosen = split(y, how, task, rows.by, classes)
    parts = {name: Part(take(rows.x, numbers), y[numbers]) for name, numbers in chosen.items()}
    if not isinstance(settings, WindowData):  # what repeats itself in time has like windows in every part
        refuse_leaks(parts, given=how.kind == "given")
    source = plain(settings) | {"split": "given"}
    if not rows.given:
        source.pop("split")
    return Dataset(parts["train"], parts["validation"], parts.get("test"), classes, source, columns=rows.columns)


def _sklearn(settings: SklearnData, task: str) -> _Rows:
    datasets = importlib.import_module("sklearn.datasets")
    bunch = getattr(datasets, f"load_{settings.name}")()
    is_table_of_classes = "target_names" in bunch
    if is_table_of_classes != (task == "classification"):
        its = "classification" if is_table_of_classes else "regression"
        raise DataError(f"data.name: the table '{settings.name}' is for {its}, the task of this pipeline is {task}")
    x = bunch.images[..., np.newaxis] if "images" in bunch else bunch.data
    names = tuple(str(name) for name in bunch.target_names) if is_table_of_classes else None
    columns = {str(name): "number" for name in bunch.feature_names} if x.ndim == 2 else None
    return _Rows(_features(x), _flat(bunch.target, len(x)), names, columns)


def _files(settings: TableData | NpzData | ImageData | WindowData, task: str) -> _Rows:
    try:
        if isinstance(settings, TableData):
            return _table(settings, task)
        if isinstance(settings, NpzData):
            return _npz(settings)
        if isinstance(settings, WindowData):
            parts, names = windows.read(settings, task)
            return dataclasses.replace(_joined(parts, "data.path"), columns=dict.fromkeys(names, "number"))
        parts = images.read(settings, task)
        return _Rows(*parts[""]) if "" in parts else _joined(parts, "data.path")
    except DataError as error:
        if error.problem.where:
            raise
        raise DataError(f"data.path: {error}") from error


# --- tables


def _table(settings: TableData, task: str) -> _Rows:
    """Each part's file is read as the first one's columns are."""
    files = settings.path if isinstance(settings.path, dict) else {"": settings.path}
    kinds: dict[str, str] = {}
    found: list[dict[str, Array]] = []
    for name in sorted(files, key=PARTS.index) if isinstance(settings.path, dict) else files:
        path = Path(files[name])
        table = open_table(path, settings.separator, settings.decimal)
        _check_columns(settings, table, path)
        kinds = kinds or _kinds(settings, table, task)
        for column in kinds:
            if column not in table.names:
                raise DataError(f"{path}: {unknown('column', column, table.names)}")
        columns = table.columns(kinds)
        if not len(columns[settings.target]):
            raise DataError(f"{path} holds no rows")
        if not found:
            _check_content(settings, table, columns, path)
        columns = _without_missing(settings, table, columns, path)
        if isinstance(settings.path, dict):
            columns["its part"] = np.full(len(columns[settings.target]), name, dtype=object)
        found.append(columns)
    joined = {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}
    named = {name: kind for name, kind in kinds.items() if name not in _beside(settings)}
    x = features({name: joined[name] for name in named}, Path(next(iter(files.values()))))
    goes_by = "its part" if isinstance(settings.path, dict) else settings.split.column
    by = None if goes_by is None else joined[goes_by]
    if settings.split.kind == "chronological" and by is not None:
        by = _times(by)
    return _Rows(x, joined[settings.target], columns=named, by=by, given=isinstance(settings.path, dict))


def _beside(settings: TableData) -> set[str | None]:
    """Columns that are no features, unless they are named as such."""
    return {settings.target, settings.split.column} - {n for n, kind in settings.columns.items() if kind != "ignore"}


def _check_columns(settings: TableData, table: Table, path: Path) -> None:
    asked = {"target": settings.target, "split.column": settings.split.column}
    for key, name in (*asked.items(), *((f"columns.{name}", name) for name in settings.columns)):
        if name is not None and name not in table.names:
            alone = len(table.names) == 1 and {*";\t|"} & set(table.names[0])
            hint = "; is another data.separator meant?" if alone else ""
            raise DataError(f"data.{key}: {path}: {unknown('column', name, table.names)}{hint}")


def _kinds(settings: TableData, table: Table, task: str) -> dict[str, str]:
    """Column → number or category, of all that are to be read."""
    told = table.kinds()
    kinds: dict[str, str] = {}
    for name in table.names:
        if not name and name not in settings.columns:
            raise DataError("a column has no name (an index?): give it one, or say columns: {'': ignore}")
        kind = settings.columns.get(name, told[name])
        number = told[name] == "number"
        if name == settings.target:
            kind = "number" if number or task == "regression" else "category"
        elif name in _beside(settings):
            kind = "number" if number and settings.split.kind == "chronological" else "category"
        elif kind not in ("number", "category", "ignore"):
            what = f"is of type {kind}: say columns: {{{name}: ignore}}, or store it as numbers or text"
            raise DataError(f"column '{name}' {what}")
        if kind != "ignore":
            kinds[name] = kind
    if not set(kinds) - _beside(settings):
        raise DataError("data.columns: no column is left for the features")
    return kinds


def _check_content(settings: TableData, table: Table, columns: Mapping[str, Array], path: Path) -> None:
    """Numbers must be there at all; texts that nobody called categories must look like some: few, and no numbers among
    which one is mistyped."""
    for name, column in columns.items():
        if column.dtype.kind != "O" and np.isnan(column).all():
            raise DataError(f"{path}: column '{name}' is empty; say columns: {{{name}: ignore}}")
        if name in settings.columns or name in _beside(settings) or column.dtype.kind != "O":
            continue
        cells = [cell.strip().replace(settings.decimal, ".") for cell in column]
        no_number = [row for row, cell in enumerate(cells) if not is_number(cell) and cell not in NOTHING]
        commas = [row for row in no_number if is_number(cells[row].replace(",", ".", 1))]
        if 2 * len(commas) > len(no_number):
            what = f"{column[commas[0]]!r:.60} has a comma; is another data.decimal meant? If not, say columns: "
            raise DataError(f"{path}, {table.row(commas[0])}, column '{name}': {what}{{{name}: category}}")
        if no_number and 2 * len(no_number) < len(column):
            row = no_number[0]
            what = f"{column[row]!r:.60} stands among numbers: mend it, or say columns: {{{name}: category}}"
            raise DataError(f"{path}, {table.row(row)}, column '{name}': {what}")
        words = len(set(column))
        if words > WORDS or words == len(column) or 2 * words > len(column) >= WORDS:
            what = f"{words} different texts in {len(column)} rows: say columns: {{{name}: category}}, or ignore"
            raise DataError(f"{path}: column '{name}' has {what}")


def _without_missing(settings: TableData, table: Table, columns: Mapping[str, Array], path: Path) -> dict[str, Array]:
    """The columns without the rows that lack something, or as they are where the model is to fill them."""
    gaps = {name: column == "" if column.dtype.kind == "O" else np.isnan(column) for name, column in columns.items()}
    lacking = np.logical_or.reduce(list(gaps.values()))
    if settings.missing == "drop":
        if lacking.any():
            log.info("%s: %d of %d rows are left out, for lack of a value", path, lacking.sum(), len(lacking))
        return {name: column[~lacking] for name, column in columns.items()}
    for name, gap in gaps.items():
        if gap.any() and (settings.missing == "error" or name in _beside(settings)):
            first = table.row(int(gap.argmax()))
            what = f"column '{name}' lacks {gap.sum()} values, the first in {first}"
            raise DataError(f"{path}: {what}; fill them in, or say data.missing: drop")
    return dict(columns)


def _times(column: Array) -> Array:
    """Times as numbers that are in the same order."""
    if column.dtype.kind in "fiuM":
        return column
    import pandas

    found = pandas.to_datetime(list(column), format="ISO8601", utc=True, errors="coerce")
    for row in np.flatnonzero(found.isna())[:1]:
        what = f"row {row + 1}: {column[row]!r:.60} is neither a number nor an ISO 8601 time such as 2026-11-24"
        raise DataError(f"data.split.column: {what}")
    return np.asarray(found.asi8)


# --- arrays


def _npz(settings: NpzData) -> _Rows:
    files = settings.path if isinstance(settings.path, dict) else {"": settings.path}
    column = [settings.split.column] if settings.split.column else []
    read = [load_arrays(Path(path), settings.x, settings.y, *column) for path in files.values()]
    pairs = {name: (found[0], found[1]) for name, found in zip(files, read, strict=True)}
    if isinstance(settings.path, dict):
        return _joined(pairs, "data.path")
    x, y, *by = read[0]
    x = _features(x)
    by = [_flat(values, len(x)) for values in by]
    if by and settings.split.kind == "chronological":
        by = [_times(by[0])]
    return _Rows(x, _flat(y, len(x)), by=by[0] if by else None)


def _joined(pairs: Mapping[str, tuple[Any, Any]], where: str) -> _Rows:
    """Parts that were given, one after the other."""
    found = {name: (_features(x), y) for name, (x, y) in pairs.items()}
    shapes = {name: x.shape[1:] for name, (x, _) in found.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"{where}: the parts have rows of different shapes: {shapes}")
    targets = [_flat(y, len(x)) for x, y in found.values()]
    by = np.repeat(np.array(list(found), dtype=object), [len(y) for y in targets])
    return _Rows(np.concatenate([x for x, _ in found.values()]), np.concatenate(targets), by=by, given=True)


# --- the user's function


def _call(settings: FunctionData) -> Any:
    """What the function returns: parts by name, or something else."""
    function = locate(settings.target, "data._target_")
    check_arguments(function, settings.args, "data")
    given = function(**settings.args)
    says = f"data._target_: {settings.target} returned"
    if isinstance(given, Mapping):
        for name in given:
            if name not in PARTS:
                raise DataError(f"{says} what is no part: {unknown('part', str(name), PARTS)}")
        for name in PARTS[:2]:
            if name not in given:
                raise DataError(f"{says} no '{name}' part")
    return given


def _streamed(settings: FunctionData, given: Mapping[str, Any], task: str) -> Dataset:
    parts, classes = streams.read(functools.partial(_call, settings), given, settings.target, task)
    return Dataset(
        parts["train"], parts["validation"], parts.get("test"), classes, plain(settings) | {"split": "given"}
    )


def _function(settings: FunctionData, given: Any) -> _Rows:
    says = f"data._target_: {settings.target} returned"
    if isinstance(given, Mapping):
        for name, pair in given.items():
            if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
                raise DataError(f"{says} a '{name}' part that is no pair (x, y)")
        return _joined(given, f"data._target_: {settings.target}")
    if isinstance(given, tuple) and len(given) == 2:
        x = _features(given[0])
        return _Rows(x, _flat(given[1], len(x)))
    raise DataError(
        f"{says} {type(given).__name__}; "
        "it must return (x, y), or a mapping of train, validation and perhaps test to such pairs or to streams"
    )


def _features(x: Any) -> Array:
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise DataError(f"data: the features are no array of rows of one shape: {error}") from error
    if array.ndim == 0 or len(array) == 0:
        raise DataError("data: there are no rows")
    if array.dtype.kind not in "fiub":
        raise DataError(f"data: the features are of type {array.dtype}; a model takes numbers")
    if array.ndim < 2:
        raise DataError(f"data: the features have the shape {array.shape}; they need rows and at least one column")
    if array.dtype == "uint8" and array.ndim == 4:
        return array  # images: four times the size as float32, which Keras makes of them batch by batch
    array = array.astype("float32", copy=False)
    if not np.isfinite(array).all():
        raise DataError(f"data: {int((~np.isfinite(array)).sum())} feature values are NaN or infinite")
    return array


def _flat(y: Any, rows: int) -> Array:
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) != rows:
        raise DataError(
            f"data: {rows} rows of features, but targets of shape {array.shape}; one target a row is needed"
        )
    return array


def _classes(y: Array, names: tuple[str, ...] | None) -> tuple[Array, tuple[str, ...]]:
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError("data: some targets are NaN or infinite")
    try:
        values, numbers = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise DataError("data: the targets are of several kinds, or some are missing (None)") from error
    if len(values) < 2:
        raise DataError(f"data: classification needs at least two classes; there is only {values.tolist()}")
    if y.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise DataError(f"data: the targets are fractions ({values[:3].tolist()} ...); is this a regression?")
    values = values.astype("int64") if y.dtype.kind == "f" else values
    return numbers.astype("int64"), names or tuple(str(value) for value in values.tolist())


def _numbers(y: Array) -> Array:
    if y.dtype.kind not in "fiu":
        raise DataError(f"data: regression needs numbers as targets, not {y.dtype}; is this a classification?")
    numbers = y.astype("float32")
    if not np.isfinite(numbers).all():
        raise DataError(f"data: {int((~np.isfinite(numbers)).sum())} targets are NaN or infinite")
    return numbers
