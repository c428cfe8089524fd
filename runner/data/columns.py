"""A table in a file as rows: which columns are features and of what kind, and what becomes of
missing values.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from foundation import escape
from runner.config import schema
from runner.data import files, log
from runner.data.arrays import Array, Features, is_text
from runner.data.dataset import DATE, Part, features_of
from runner.data.rows import WHOLE, Rows
from runner.errors import DataError, Faults, short

# different texts in a column that are taken for categories without being asked for, and how many of
# these may occur but once
WORDS = 100
ONCE = 20
SHOWN = 8  # columns of a kind that are named in the summary of what was read
PLURALS = {"number": "numbers", "category": "categories", "date": "dates", "text": "texts"}


def read(settings: schema.TableData, task: str) -> Rows:
    """Return the rows of a table; each part's file is read as the first one's columns are.

    Raises:
        DataError: a file cannot be read, or its columns are not as they must be; the column and the
            row are named.
    """
    by = settings.split.column
    target = settings.target
    # neither is a feature, unless it is named as one
    beside = {target, by} - {name for name, kind in settings.columns.items() if kind != "ignore"}
    faults = Faults()
    first: files.Table | None = None
    kinds: dict[str, str] = {}
    parts = {}
    rows = {}
    for part in sorted(settings.paths, key=(WHOLE, *schema.PARTS).index):
        with faults:
            table = files.open_table(
                Path(settings.paths[part]),
                settings,
                asked=[name for name, kind in settings.columns.items() if kind == "number"],
                styles=first.styles if first else None,
            )
            with faults:
                table.require(
                    {f"data.columns.{name}": [name] for name in settings.columns}
                    | {"data.target": [target], "data.split.column": [by] if by else []}
                )
            if not kinds:
                kinds = _kinds(settings, table, task, faults)
            table.require({"": kinds})
            columns = table.columns(
                kinds,
                {"error": kinds, "fill": beside, "drop": ()}[settings.missing],
                "; fill it in, or set data.missing: drop",
            )
            if faults:
                continue
            if settings.missing == "drop":
                rows[part] = _whole_rows(table, columns, part)
                columns = {name: column[rows[part]] for name, column in columns.items()}
            used = {name: column for name, column in columns.items() if name not in beside}
            if not first:
                first = table
                features = {name: kinds[name] for name in used}
                _check_names(features)
                notes = notes_of(table, features, columns, target, by)
            x = as_features(used, notes.get("since", {}))
            parts[part] = Part(x, columns[target])
    faults.tell()
    return Rows(
        parts,
        columns=features,
        notes=notes,
        rows=rows if WHOLE in rows else {},
        by=columns[by] if by else None,
    )


def _whole_rows(table: files.Table, columns: Mapping[str, Array], part: str) -> Array:
    """Return the numbers of the rows that lack nothing."""
    lacking = np.logical_or.reduce([files.missing(column) for column in columns.values()])
    if lacking.all():
        raise DataError(
            f"all {len(lacking)} {part and f'{part} '}rows of {table.path} have a missing value; "
            "fill some in, or ignore columns",
            "data.missing",
        )
    if lacking.any():
        log.info(
            "%s: left out %d of %d rows, which have missing values",
            table.path,
            lacking.sum(),
            len(lacking),
        )
    return np.flatnonzero(~lacking)


def _check_names(features: Mapping[str, str]) -> None:
    if not features:
        raise DataError("no columns are left as features", "data.columns")
    name, count = Counter(features_of(features)).most_common(1)[0]
    if count > 1:
        raise DataError(f"'{name}' is both a column and a part of a date; rename the column")


def notes_of(
    table: files.Table,
    features: Mapping[str, str],
    columns: Mapping[str, Array],
    target: str,
    by: str | None = None,
) -> dict[str, Any]:
    """Return what an entry keeps of how a table was read: `read` in words, the styles of numbers
    that are not plain, and the first date of each column of dates.

    Args:
        table: that was read.
        features: their kinds.
        columns: these, as they were read, and the target, and the one that the split goes by.
        target, by: the names of these two.
    """
    described = {}
    for name, column in columns.items():
        described[name] = f"{name}{table.styles.get(name, '')}"
        if is_text(column) and features.get(name) != "text":
            described[name] = f"{name} {len(set(column) - {''}):,} words"
    phrases = [_features_in_words(features, described), f"target {described[target]}"]
    if by:
        phrases.append(f"split by {by}")
    ignored = [short(name) for name in table.names if name not in columns and name != by]
    if ignored:
        phrases.append(f"ignored {', '.join(ignored)}")
    styles = {}
    since = {}
    for name, kind in features.items():
        if kind == "number" and name in table.styles:
            styles[name] = table.styles[name].model_dump()
        if kind == "date":
            first = pandas.Series(columns[name]).min()
            if not pandas.isna(first):
                since[name] = str(first)
    notes = {"read": escape.printable("; ".join(phrases)), "styles": styles, "since": since}
    return {key: note for key, note in notes.items() if note}


def _features_in_words(features: Mapping[str, str], described: Mapping[str, str]) -> str:
    """Return how many features there are of each kind, with what is notable of them."""
    phrases = []
    for kind, plural in PLURALS.items():
        names = [name for name in features if features[name] == kind]
        if not names:
            continue
        notable = [described[name] for name in names if kind != "number" or described[name] != name]
        if len(notable) > SHOWN:
            notable[SHOWN:] = ["..."]
        count = f"{len(names)} {kind if len(names) == 1 else plural}"
        phrases.append(f"{count} ({', '.join(notable)})" if notable else count)
    return f"read {', '.join(phrases)}"


def as_features(columns: Mapping[str, Array], since: Mapping[str, Any]) -> Features:
    """Return what a model takes of columns: one array of numbers or, where some are words, each by
    itself; a date as numbers, the last of which is the days `since` the first one of its column.
    """
    x = {}
    for name, column in columns.items():
        if column.dtype.kind != "M":
            x[name] = column if is_text(column) else column.astype("float32")
            continue
        when = pandas.DatetimeIndex(column)
        first = pandas.Timestamp(since.get(name) or "NaT")
        days = (when - first) / pandas.Timedelta(days=1)
        for part, word in DATE.items():
            x[f"{name} {part}"] = np.asarray(getattr(when, word, days), "float32")
    if any(is_text(column) for column in x.values()):
        return x
    return np.stack(list(x.values()), axis=1)


def _kinds(
    settings: schema.TableData, table: files.Table, task: str, faults: Faults
) -> dict[str, str]:
    """Return how the columns are to be read, those that are ignored left out."""
    kinds = {}
    for name in table.names:
        with faults:
            kinds[name] = _kind(settings, table, name, task)
    return {name: kind for name, kind in kinds.items() if kind != "ignore"}


def _kind(settings: schema.TableData, table: files.Table, name: str, task: str) -> str:
    """Return number, category, date, text or ignore: how a column is to be read."""
    cells = table.parsed(name)
    content = cells.kind
    if name == settings.target:
        return "number" if content == "number" or task == "regression" else "category"
    asked = settings.columns.get(name)
    if name == settings.split.column and asked in (None, "ignore"):
        is_time = content == "number" and settings.split.kind == "chronological"
        return "number" if is_time else "category"
    if asked:
        return asked
    if not name:
        raise DataError(
            "a column has no name (an index?): give it one, or set columns: {'': ignore}"
        )
    if content in ("number", "date"):
        return content
    if cells.doubt:
        raise DataError(
            f"{cells.doubt}; if these are not numbers, set columns: {{{name}: category}}"
        )
    if content not in ("category", "mixed"):
        raise DataError(
            f"column '{name}' has type {content}: set columns: {{{name}: ignore}}, or store it as "
            "numbers or text"
        )
    _check_words(table, name, np.flatnonzero(cells.others))
    return "category"


def _check_words(table: files.Table, name: str, words: Array) -> None:
    """Raise DataError unless texts that nobody called categories look like some: few, and no
    numbers among which one is mistyped. `words` are the rows of those that are no numbers.
    """
    column = table.columns({name: "category"})[name]
    say = f"set columns: {{{name}: category}}"
    texts = pandas.Series(column[words]).astype(str)
    is_number = pandas.to_numeric(texts.str.replace(",", "."), errors="coerce").notna()
    commas = words[is_number]
    if 2 * len(commas) > np.count_nonzero(texts != ""):
        raise DataError(
            f"{table.position(commas[0], name)}: {column[commas[0]]!r:.60} has a comma; is "
            f"data.decimal right? If so, {say}"
        )
    if 2 * len(words) < len(column):
        raise DataError(
            f"{table.position(words[0], name)}: {column[words[0]]!r:.60} is not a number, unlike "
            f"the other values: fix it, or {say}"
        )
    counts = Counter(column)
    counts.pop("", None)
    once = list(counts.values()).count(1)
    if len(counts) > WORDS or once > ONCE or 2 * once > len(column):
        raise DataError(
            f"{table.path}: column '{name}' has {len(counts)} distinct values in {len(column)} "
            f"rows, {once} of which occur only once: {say}, or text, or ignore"
        )
