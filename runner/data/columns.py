"""A table in a file as rows, to train on or to predict: which columns are features and of what
kind, and what becomes of missing values. Or as windows over a series: the rows are split by time
first, so that no window reaches from one part into another.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from pydantic import AliasPath, BaseModel, Field, PositiveInt

from foundation import escape
from runner.config import schema
from runner.data import dataset, files, log, numerals, split
from runner.errors import DataError, Faults, Problem, gathered, short

# different texts in a column that are taken for categories without being asked for, and how many of
# these may occur but once
WORDS, ONCE = 100, 20
UNEVEN = 0.25  # of the usual step from row to row: how far one may be from a whole number of them
SHOWN = 8  # columns of a kind that are named when it is said what was read
PLURALS = {"number": "numbers", "category": "categories", "date": "dates", "text": "texts"}


def read(settings: schema.TableData, task: str) -> dataset.Rows:
    """Return the rows of a table; each part's file is read as the first one's columns are.

    Raises:
        DataError: a file cannot be read, or its columns are not as they must be; the column and the
            row are named.
    """
    by = settings.split.column
    # but those that are named as features
    beside = {settings.target, by} - {n for n, kind in settings.columns.items() if kind != "ignore"}
    faults, kinds, parts = Faults(), dict[str, str](), dict[str, dataset.Part]()
    styles: files.Styles | None = None
    notes, numbers = dict[str, Any](), dict[str, dataset.Array]()
    for part in sorted(settings.paths, key=(dataset.WHOLE, *schema.PARTS).index):
        with faults:
            table = files.open_table(
                Path(settings.paths[part]),
                settings,
                asked=[name for name, kind in settings.columns.items() if kind == "number"],
                styles=styles,
            )
            with faults:
                table.require(
                    {
                        **{f"data.columns.{name}": [name] for name in settings.columns},
                        "data.target": [settings.target],
                        "data.split.column": [by] if by else [],
                    }
                )
            for name in () if kinds else table.names:
                with faults:
                    kinds[name] = _kind(settings, table, name, task)
            taken = {name: kind for name, kind in kinds.items() if kind != "ignore"}
            table.require({"": taken})
            columns = table.columns(
                taken,
                {"error": taken, "fill": beside, "drop": ()}[settings.missing],
                "; fill it in, or set data.missing: drop",
            )
            if faults:
                continue
            lacking = np.logical_or.reduce([*map(files.missing, columns.values())])
            if settings.missing == "drop" and lacking.any():
                if lacking.all():
                    raise DataError(
                        f"all {len(lacking)} {part and f'{part} '}rows of {table.path} have a "
                        "missing value; fill some in, or ignore columns",
                        "data.missing",
                    )
                log.info(
                    "%s: left out %d of %d rows, which have missing values",
                    table.path,
                    lacking.sum(),
                    len(lacking),
                )
                columns = {name: column[~lacking] for name, column in columns.items()}
                numbers = {part: np.flatnonzero(~lacking)}
            used = {name: column for name, column in columns.items() if name not in beside}
            if not used:
                raise DataError("no columns are left as features", "data.columns")
            features = {name: kinds[name] for name in used}
            if twice := [
                name for name, count in Counter(dataset.features_of(features)).items() if count > 1
            ]:
                raise DataError(
                    f"'{twice[0]}' is both a column and a part of a date; rename the column"
                )
            styles = styles or table.styles
            notes = notes or _notes(table, features, columns, settings.target, by)
            parts[part] = dataset.Part(
                as_features(used, notes.get("since", {})), columns[settings.target]
            )
    faults.tell()
    return dataset.Rows(
        parts,
        columns=features,
        notes=notes,
        rows=numbers if dataset.WHOLE in numbers else {},
        by=columns[by] if by else None,
    )


def _notes(
    table: files.Table,
    features: Mapping[str, str],
    columns: Mapping[str, dataset.Array],
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
    told = {
        name: f"{name} {len({*column} - {''}):,} words"
        if dataset.is_text(column) and features.get(name) != "text"
        else f"{name}{table.styles.get(name, '')}"
        for name, column in columns.items()
    }
    said = list[str]()
    for kind, plural in PLURALS.items():
        names = [name for name in features if features[name] == kind]
        notable = [told[name] for name in names if kind != "number" or told[name] != name]
        shown = ", ".join([*notable[:SHOWN], *["..."][: len(notable) > SHOWN]])
        if names:
            count = f"{len(names)} {kind if len(names) == 1 else plural}"
            said.append(f"{count} ({shown})" if shown else count)
    others = {
        "target": told[target],
        "split by": by,
        "ignored": ", ".join(
            short(name) for name in table.names if name not in columns and name != by
        ),
    }
    notes = {
        "read": escape.printable(
            "; ".join(
                [f"read {', '.join(said)}", *(f"{what} {n}" for what, n in others.items() if n)]
            )
        ),
        "styles": {
            name: style.model_dump()
            for name, style in table.styles.items()
            if features.get(name) == "number"
        },
        "since": {
            name: str(first)
            for name, kind in features.items()
            if kind == "date" and not pandas.isna(first := pandas.Series(columns[name]).min())
        },
    }
    return {key: note for key, note in notes.items() if note}


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


def read_new(path: Path, stored: StoredData) -> tuple[dataset.Features, list[str]]:
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
    if stored.inputs:
        if path.suffix.lower() != ".npz":
            raise DataError(
                f"{path}: the model has several inputs; use an .npz file with the arrays "
                f"{', '.join(stored.inputs)}"
            )
        x = dataset.features(files.load_arrays(path, *stored.inputs), str(path))
        if (found := {n: [*each] for n, each in dataset.shapes(x).items()}) != stored.inputs:
            raise DataError(
                f"{path}: its rows have the shapes {found}; the model expects {stored.inputs}"
            )
        return x, []
    if path.suffix.lower() == ".npz":
        arrays = files.load_arrays(path)
        rows = arrays.popitem()[1] if len(arrays) == 1 else files.load_arrays(path, "x")["x"]
        if rows.shape[1:] != shape:
            raise DataError(
                f"{path}: its rows have the shape {rows.shape[1:]}; the model expects {shape}"
            )
        return dataset.features(rows, str(path)), []
    table = files.open_table(path, stored.source, styles=stored.styles)
    kinds = stored.columns if len(shape) == 1 else None
    if kinds is None:
        kinds = dict.fromkeys(table.names, "number")
        if (
            table.lines is not None
            and pandas.to_numeric(pandas.Series(table.names), errors="coerce").notna().any()
        ):
            raise DataError(f"{path}: line 1 contains numbers; it must name the columns")
    table.require({"": kinds})
    if (count := len(dataset.features_of(kinds))) != np.prod(shape):
        raise DataError(f"{path} has {count} columns; the model takes {np.prod(shape)}")
    x = as_features(
        table.columns(
            kinds,
            [n for n, k in kinds.items() if k in ("number", "date") and stored.missing != "fill"],
        ),
        stored.since,
    )
    return (
        x if isinstance(x, dict) else x.reshape(-1, *shape),
        [name for name in table.names if name not in kinds],
    )


def as_features(columns: Mapping[str, dataset.Array], since: Mapping[str, Any]) -> dataset.Features:
    """Return what a model takes of columns: one array of numbers or, where some are words, each by
    itself; a date as numbers, the last of which is the days `since` the first one of its column.
    """
    x = dict[str, dataset.Array]()
    for name, column in columns.items():
        if column.dtype.kind == "M":
            when = pandas.DatetimeIndex(column)
            days = (when - pandas.Timestamp(since.get(name) or "NaT")) / pandas.Timedelta(days=1)
            for part, word in dataset.DATE.items():
                x[f"{name} {part}"] = np.asarray(getattr(when, word, days), "float32")
        else:
            x[name] = column if dataset.is_text(column) else column.astype("float32")
    return x if any(map(dataset.is_text, x.values())) else np.stack(list(x.values()), axis=1)


def _kind(settings: schema.TableData, table: files.Table, name: str, task: str) -> str:
    """Return number, category or ignore: how a column is to be read."""
    told, _, is_word = table.parsed(name)
    if name == settings.target:
        return "number" if told == "number" or task == "regression" else "category"
    asked = settings.columns.get(name)
    if name == settings.split.column and asked in (None, "ignore"):
        return told if (told, settings.split.kind) == ("number", "chronological") else "category"
    if asked or (name and told in ("number", "date")):
        return asked or told
    if not name:
        raise DataError(
            "a column has no name (an index?): give it one, or set columns: {'': ignore}"
        )
    if name in table.doubts:
        raise DataError(
            f"{table.doubts[name]}; if these are not numbers, set columns: {{{name}: category}}"
        )
    if told not in ("category", "mixed"):
        raise DataError(
            f"column '{name}' has type {told}: set columns: {{{name}: ignore}}, or store it as "
            "numbers or text"
        )
    # texts that nobody called categories must look like some: few, and no numbers among which one
    # is mistyped
    column = table.columns({name: "category"})[name]
    words, say = np.flatnonzero(is_word), f"set columns: {{{name}: category}}"
    commas = words[
        pandas.to_numeric(
            pandas.Series(column[words]).astype(str).str.replace(",", "."), errors="coerce"
        ).notna()
    ]
    if 2 * len(commas) > np.count_nonzero(column[words] != ""):
        raise DataError(
            f"{table.place(commas[0], name)}: {column[commas[0]]!r:.60} has a comma; is "
            f"data.decimal right? If so, {say}"
        )
    if 2 * len(words) < len(column):
        raise DataError(
            f"{table.place(words[0], name)}: {column[words[0]]!r:.60} is not a number, unlike the "
            f"other values: fix it, or {say}"
        )
    counts = Counter(filter(None, column))
    once = [*counts.values()].count(1)
    if len(counts) > WORDS or once > ONCE or 2 * once > len(column):
        raise DataError(
            f"{table.path}: column '{name}' has {len(counts)} distinct values in {len(column)} "
            f"rows, {once} of which occur only once: {say}, or text, or ignore"
        )
    return "category"


def read_windows(settings: schema.WindowData, task: str) -> dataset.Rows:
    """Return windows of shape (windows, steps, features) with their targets, by part.

    Raises:
        DataError: the file cannot be read, a column is missing or holds what is no number, a part
            has too few rows.
    """
    table = files.open_table(
        Path(settings.path),
        settings,
        asked=settings.features or (),
    )
    table.require(
        {
            "data.target": [settings.target],
            "data.features": settings.features or [],
            "data.time": [settings.time] if settings.time else [],
        }
    )
    kinds = {name: table.parsed(name)[0] for name in table.names}
    # texts some of which are numbers are a column of numbers, in which a cell is mistyped
    features = settings.features or [
        name
        for name, kind in kinds.items()
        if kind in ("number", "mixed")
        and (name != settings.target or settings.horizon)
        and name != settings.time
    ]
    if not features:
        raise DataError(
            f"{table.path} has no column of numbers besides the target '{settings.target}'",
            "data.features",
        )
    faults, numbers = Faults(), dict.fromkeys(features, "number")
    with faults:
        columns = table.columns(
            {
                settings.target: "number"
                if task == "regression" or kinds[settings.target] == "number"
                else "category",
                **numbers,
            },
            table.names if settings.missing == "error" else (),
        )
    with faults:
        places = _places(settings, table)
    faults.tell()
    dataset.must_fit(
        int(places[-1]) * 8 * len(columns), "the rows, and those that are missing,", "shorter gap"
    )
    frame = pandas.DataFrame(columns, index=places).reindex(range(places[-1] + 1))
    lacking = frame.isna() | (frame == "")
    frame[features] = (
        frame[features].interpolate(limit=settings.limit, limit_area="inside")
        if settings.missing == "interpolate"
        else frame[features].ffill(limit=settings.limit)
    )
    for name in features:
        for gap in np.flatnonzero(frame[name].isna())[:1]:
            raise DataError(
                f"{table.place(int(np.searchsorted(places, gap)), name)}: the values missing here "
                "or just before cannot be filled in: they are at the start or end of the series, "
                f"or more than data.limit ({settings.limit or 'all'})"
            )
    usable = ~lacking[settings.target].to_numpy()
    if settings.missing == "interpolate":  # the last row of a window must not tell what comes
        usable &= ~np.roll(lacking[features].any(axis=1).to_numpy(), settings.horizon)
    if not usable.all():
        log.info(
            "%s: left out the windows of %d rows, which have missing values",
            table.path,
            (~usable).sum(),
        )
    rows = frame[features].to_numpy("float32")
    dataset.must_fit(
        rows.nbytes * settings.sequence_length // settings.sequence_stride,
        "the windows",
        "larger sequence_stride",
    )
    steps = np.arange(settings.sequence_length) * settings.sampling_rate - settings.reach
    targets = frame[settings.target].to_numpy()
    chosen = split.by_time(len(rows), settings.split)
    ends = {
        part: last[usable[last]]
        for part, found in chosen.items()
        # of windows as Keras' timeseries_dataset_from_array makes them
        for last in [found[settings.reach :: settings.sequence_stride]]
    }

    def windows(part: str) -> dataset.Part:
        if not len(ends[part]):
            raise DataError(
                f"the {part} part has {len(chosen[part])} rows; a window and its target need "
                f"{settings.reach + 1}. Give it a larger share in data.split, or shorten "
                "sequence_length"
            )
        return dataset.Part(rows[ends[part][:, np.newaxis] + steps], targets[ends[part]])

    return dataset.Rows(
        gathered(windows, chosen),
        columns=numbers,
        notes=_notes(table, numbers, columns, settings.target, settings.time),
        rows={name: np.searchsorted(places, found) for name, found in ends.items()},
        comparable=False,
    )


def _places(settings: schema.WindowData, table: files.Table) -> dataset.Array:
    """Return the number of each row in a series without gaps: how many of its usual steps it is
    from the first one.

    Raises:
        DataError: rows are not in the order of their times, or not evenly far from each other; or
            some are missing, and none are to be filled in.
    """
    if settings.time is None:
        return np.arange(len(table.frame))
    name = settings.time
    kind = "number" if table.parsed(name)[0] == "number" else "date"
    when = table.columns({name: kind}, [name])[name]
    steps = np.diff(when if kind == "number" else when.astype("int64"))
    usual = np.median(steps[steps > 0]) if (steps > 0).any() else 1
    counts = np.rint(steps / usual)
    uneven = np.abs(steps / usual - counts) > UNEVEN  # months are of 28 to 31 days
    wrong = {
        "is earlier than in the row above; sort the rows": steps < 0,
        "is the same as in the row above; remove one of them": steps == 0,
        "is not a whole number of the usual steps after the row above": uneven & (steps > 0),
        "comes after a gap; fill in the rows, or set data.missing: forward": ~uneven
        & (counts > 1)
        & (settings.missing == "error"),
    }
    if problems := [
        Problem("data.time", f"{table.place(row, name)}: {table.frame[name].iloc[row]} {what}")
        for what, found in wrong.items()
        for row in (np.flatnonzero(found) + 1).tolist()
    ]:
        raise DataError(problems)
    return np.concatenate([[0], np.cumsum(counts)]).astype(int)
