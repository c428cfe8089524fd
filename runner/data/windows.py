"""Windows over a series: the rows are split by time first, so that no window reaches from one part
into another.
"""

from pathlib import Path

import numpy as np
import pandas

from runner.config import schema
from runner.data import files, limits, log, split
from runner.data.arrays import Array
from runner.data.columns import notes_of
from runner.data.dataset import Part
from runner.data.rows import Rows
from runner.errors import DataError, Faults, Problem, gathered

UNEVEN = 0.25  # of the usual step from row to row: how far one may be from a whole number of them


def read(settings: schema.WindowData, task: str) -> Rows:
    """Return windows of shape (windows, steps, features) with their targets, by part.

    Raises:
        DataError: the file cannot be read, a column is missing or holds what is no number, a part
            has too few rows.
    """
    target = settings.target
    table = files.open_table(Path(settings.path), settings, asked=settings.features or ())
    table.require(
        {
            "data.target": [target],
            "data.features": settings.features or [],
            "data.time": [settings.time] if settings.time else [],
        }
    )
    kinds = dict.fromkeys(settings.features or _features(settings, table), "number")
    is_number = task == "regression" or table.parsed(target).kind == "number"
    faults = Faults()
    with faults:
        columns = table.columns(
            {target: "number" if is_number else "category", **kinds},
            table.names if settings.missing == "error" else (),
        )
    with faults:
        places = _places(settings, table)
    faults.tell()
    size = int(places[-1]) * 8 * len(columns)
    limits.must_fit(size, "the rows, and those that are missing,", "shorter gap")
    series = pandas.DataFrame(columns, index=places).reindex(range(places[-1] + 1))
    rows = _filled(settings, table, series[[*kinds]], places).to_numpy("float32")
    usable = _usable(settings, table, series, list(kinds))
    size = rows.nbytes * settings.sequence_length // settings.sequence_stride
    limits.must_fit(size, "the windows", "larger sequence_stride")
    steps = np.arange(settings.sequence_length) * settings.sampling_rate - settings.reach
    targets = series[target].to_numpy()
    chosen = split.by_time(np.arange(len(rows)), settings.split)
    ends = dict[str, Array]()  # the rows that windows have their targets from

    def windows(part: str) -> Part:
        # as Keras' timeseries_dataset_from_array makes them
        last = chosen[part][settings.reach :: settings.sequence_stride]
        ends[part] = last[usable[last]]
        if not len(ends[part]):
            raise DataError(
                f"the {part} part has {len(chosen[part])} rows; a window and its target need "
                f"{settings.reach + 1}. Give it a larger share in data.split, or shorten "
                "sequence_length"
            )
        return Part(rows[ends[part][:, np.newaxis] + steps], targets[ends[part]])

    return Rows(
        gathered(windows, chosen),
        columns=kinds,
        notes=notes_of(table, kinds, columns, target, settings.time),
        rows={part: np.searchsorted(places, last) for part, last in ends.items()},
        comparable=False,
    )


def _features(settings: schema.WindowData, table: files.Table) -> list[str]:
    """Return the columns of numbers, including texts some of which are numbers: a cell of these is
    mistyped. At horizon 0 the target is left out, as windows would contain it.
    """
    beside = {settings.time}
    if not settings.horizon:
        beside.add(settings.target)
    features = [
        name
        for name in table.names
        if name not in beside and table.parsed(name).kind in ("number", "mixed")
    ]
    if not features:
        raise DataError(
            f"{table.path} has no column of numbers besides the target '{settings.target}'",
            "data.features",
        )
    return features


def _usable(
    settings: schema.WindowData, table: files.Table, series: pandas.DataFrame, features: list[str]
) -> Array:
    """Return which rows of a series without gaps may be those that a window has its target from."""
    lacking = series.isna() | (series == "")
    usable = ~lacking[settings.target].to_numpy()
    if settings.missing == "interpolate":  # the last row of a window must not tell what comes
        filled = lacking[features].any(axis=1).to_numpy()
        usable &= ~np.roll(filled, settings.horizon)
    if not usable.all():
        log.info(
            "%s: left out the windows of %d rows, which have missing values",
            table.path,
            (~usable).sum(),
        )
    return usable


def _filled(
    settings: schema.WindowData, table: files.Table, rows: pandas.DataFrame, places: Array
) -> pandas.DataFrame:
    """Return the rows of a series without gaps, what is missing filled in.

    Raises:
        DataError: some cannot be; the first one of a column is named.
    """
    if settings.missing == "interpolate":
        filled = rows.interpolate(limit=settings.limit, limit_area="inside")
    else:
        filled = rows.ffill(limit=settings.limit)
    for name in map(str, filled):
        gaps = np.flatnonzero(filled[name].isna())
        if len(gaps):
            row = int(np.searchsorted(places, gaps[0]))
            raise DataError(
                f"{table.position(row, name)}: the values missing here or just before cannot be "
                "filled in: they are at the start or end of the series, or more than data.limit "
                f"({settings.limit or 'all'})"
            )
    return filled


def _places(settings: schema.WindowData, table: files.Table) -> Array:
    """Return the number of each row in a series without gaps: how many of its usual steps it is
    from the first one.

    Raises:
        DataError: rows are not in the order of their times, or not evenly far from each other; or
            some are missing, and none are to be filled in.
    """
    name = settings.time
    if name is None:
        return np.arange(len(table.frame))
    kind = "number" if table.parsed(name).kind == "number" else "date"
    when = table.columns({name: kind}, [name])[name]
    steps = np.diff(when if kind == "number" else when.astype("int64"))
    forward = steps[steps > 0]
    usual = np.median(forward) if len(forward) else 1
    counts = np.rint(steps / usual)
    is_uneven = np.abs(steps / usual - counts) > UNEVEN  # months are of 28 to 31 days
    is_gap = (counts > 1) & ~is_uneven
    wrong = {
        "is earlier than in the row above; sort the rows": steps < 0,
        "is the same as in the row above; remove one of them": steps == 0,
        "is not a whole number of the usual steps after the row above": is_uneven & (steps > 0),
        "comes after a gap; fill in the rows, or set data.missing: forward": is_gap
        & (settings.missing == "error"),
    }
    problems = []
    for what, is_wrong in wrong.items():
        for row in (np.flatnonzero(is_wrong) + 1).tolist():
            at = f"{table.position(row, name)}: {table.frame[name].iloc[row]}"
            problems.append(Problem("data.time", f"{at} {what}"))
    if problems:
        raise DataError(problems)
    return np.concatenate([[0], np.cumsum(counts)]).astype(int)
