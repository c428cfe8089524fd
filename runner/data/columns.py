"""A table in a file as rows: which columns are features and of what kind, and what becomes of
missing values.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from history.errors import unknown
from runner.config.schema import PARTS, TableData
from runner.data.dataset import Array, Features
from runner.data.files import Table, is_number, is_unsplit, open_table
from runner.data.rows import Rows
from runner.errors import DataError

log = logging.getLogger("runner")

WORDS = 100  # different texts in a column that are taken for categories without being asked for
PART = "its part"  # the column that says which file a row came from


def read(settings: TableData, task: str) -> Rows:
    """The rows of a table; each part's file is read as the first one's columns are.

    Raises:
        DataError: a file cannot be read, or its columns are not as they must be; the column and the
        row are named.
    """
    given = isinstance(settings.path, dict)
    files = settings.path if isinstance(settings.path, dict) else {"": settings.path}
    kinds: dict[str, str] = {}
    found: list[dict[str, Array]] = []
    for name in sorted(files, key=("", *PARTS).index):
        path = Path(files[name])
        table = open_table(path, settings.separator, settings.decimal)
        refuse_unknown(table, "target", [settings.target])
        refuse_unknown(
            table,
            "split.column",
            [settings.split.column] if settings.split.column is not None else [],
        )
        for column in settings.columns:
            refuse_unknown(table, f"columns.{column}", [column])
        kinds = kinds or _kinds(settings, table, task)
        refuse_unknown(table, "path", kinds)
        columns = table.columns(kinds)
        if not len(columns[settings.target]):
            raise DataError(f"{path} holds no rows")
        if not found:
            _check_content(settings, table, columns)
        columns = _without_missing(settings, table, columns)
        found.append(columns | {PART: np.full(len(columns[settings.target]), name, dtype=object)})
    joined = {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}
    named = {name: kind for name, kind in kinds.items() if name not in _beside(settings)}
    goes_by = PART if given else settings.split.column
    by = None if goes_by is None else joined[goes_by]
    if settings.split.kind == "chronological" and by is not None:
        by = times(by)
    x = features({name: joined[name] for name in named})
    return Rows(x, joined[settings.target], columns=named, by=by, given=given)


def features(columns: Mapping[str, Array]) -> Features:
    """What a model takes of columns: one array of numbers or, where some are categories, each by
    itself.
    """
    x = {
        name: column if is_text(column) else column.astype("float32")
        for name, column in columns.items()
    }
    return x if any(map(is_text, x.values())) else np.stack(list(x.values()), axis=1)


def is_text(column: Array) -> bool:
    """Whether a column is one of words."""
    return column.dtype.kind == "O"


def refuse_unknown(table: Table, key: str, names: Iterable[str]) -> None:
    """Raises DataError where a table lacks a column that a key of the section `data` asks for."""
    for name in names:
        if name not in table.names:
            hint = "; is another data.separator meant?" if is_unsplit(table.names) else ""
            raise DataError(
                f"data.{key}: {table.path}: {unknown('column', name, table.names)}{hint}"
            )


def refuse_missing(table: Table, columns: Mapping[str, Array]) -> None:
    """Raises DataError where a number is missing, naming the first."""
    for name, column in columns.items():
        if not is_text(column) and np.isnan(column).any():
            where = f"{table.path}, {table.row(int(np.isnan(column).argmax()))}, column '{name}'"
            raise DataError(f"{where}: nothing, where a number must be")


def times(column: Array) -> Array:
    """Times as numbers that are in the same order."""
    if column.dtype.kind in "fiuM":
        return column
    import pandas

    found = pandas.to_datetime(list(column), format="ISO8601", utc=True, errors="coerce")
    for row in np.flatnonzero(found.isna())[:1]:
        what = f"row {row + 1}: {column[row]!r:.60} is neither a number nor an ISO 8601 time such as 2026-11-24"
        raise DataError(f"data.split.column: {what}")
    return np.asarray(found.asi8)


def _beside(settings: TableData) -> set[str | None]:
    """Columns that are no features, unless they are named as such."""
    return {settings.target, settings.split.column} - {
        n for n, kind in settings.columns.items() if kind != "ignore"
    }


def _kinds(settings: TableData, table: Table, task: str) -> dict[str, str]:
    """Column → number or category, of all that are to be read."""
    kinds: dict[str, str] = {}
    for name in table.names:
        if not name and name not in settings.columns:
            raise DataError(
                "a column has no name (an index?): give it one, or say columns: {'': ignore}"
            )
        told = table.kind(name)
        kind = settings.columns.get(name, told)
        if name == settings.target:
            kind = "number" if told == "number" or task == "regression" else "category"
        elif name in _beside(settings):
            kind = (
                "number"
                if told == "number" and settings.split.kind == "chronological"
                else "category"
            )
        elif kind == "mixed":
            kind = "category"
        elif kind not in ("number", "category", "ignore"):
            what = f"is of type {kind}: say columns: {{{name}: ignore}}, or store it as numbers or text"
            raise DataError(f"column '{name}' {what}")
        if kind != "ignore":
            kinds[name] = kind
    if not set(kinds) - _beside(settings):
        raise DataError("data.columns: no column is left for the features")
    return kinds


def _check_content(settings: TableData, table: Table, columns: Mapping[str, Array]) -> None:
    """Numbers must be there at all; texts that nobody called categories must look like some: few,
    and no numbers among which one is mistyped.
    """
    for name, column in columns.items():
        if not is_text(column) and np.isnan(column).all():
            raise DataError(
                f"{table.path}: column '{name}' is empty; say columns: {{{name}: ignore}}"
            )
        if name in settings.columns or name in _beside(settings) or not is_text(column):
            continue
        words = np.flatnonzero(table.parsed(name)[1]).tolist()
        commas = [row for row in words if is_number(column[row].replace(",", ".", 1))]
        if 2 * len(commas) > len(words):
            what = f"{column[commas[0]]!r:.60} has a comma; is another data.decimal meant? If not, say columns: "
            raise DataError(
                f"{table.path}, {table.row(commas[0])}, column '{name}': {what}{{{name}: category}}"
            )
        if words and 2 * len(words) < len(column):
            what = f"{column[words[0]]!r:.60} stands among numbers: mend it, or say columns: {{{name}: category}}"
            raise DataError(f"{table.path}, {table.row(words[0])}, column '{name}': {what}")
        different = len(set(column))
        if different > WORDS or different == len(column) or 2 * different > len(column) >= WORDS:
            what = f"{different} different texts in {len(column)} rows: say columns: {{{name}: category}}, or ignore"
            raise DataError(f"{table.path}: column '{name}' has {what}")


def _without_missing(
    settings: TableData, table: Table, columns: Mapping[str, Array]
) -> dict[str, Array]:
    """The columns without the rows that lack something, or as they are where the model is to fill
    them.
    """
    gaps = {
        name: column == "" if is_text(column) else np.isnan(column)
        for name, column in columns.items()
    }
    lacking = np.logical_or.reduce(list(gaps.values()))
    if settings.missing == "drop":
        if lacking.any():
            log.info(
                "%s: %d of %d rows are left out, for lack of a value",
                table.path,
                lacking.sum(),
                len(lacking),
            )
        return {name: column[~lacking] for name, column in columns.items()}
    for name, gap in gaps.items():
        if gap.any() and (settings.missing == "error" or name in _beside(settings)):
            first = table.row(int(gap.argmax()))
            what = f"column '{name}' lacks {gap.sum()} values, the first in {first}"
            raise DataError(f"{table.path}: {what}; fill them in, or say data.missing: drop")
    return dict(columns)
