"""Holds rows out for validation and test."""

import itertools
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas

from foundation.errors import unknown
from runner.config.schema import PARTS, Data, Split, WindowData
from runner.data import dataset, log
from runner.errors import DataError

SPLITTERS = {  # of one split, and of folds
    "random": ("ShuffleSplit", "KFold"),
    "stratified": ("StratifiedShuffleSplit", "StratifiedKFold"),
    "grouped": ("GroupShuffleSplit", "GroupKFold"),
}


def split(
    y: dataset.Array,
    settings: Split,
    column: dataset.Array | None = None,
    classes: Sequence[str] = (),
) -> dict[str, dataset.Array]:
    """Return the numbers of the rows of each part: train, validation and, if any are asked for,
    test.

    Args:
        y: targets (rows,).
        settings: the kind, and fractions of all rows (grouped: of all groups).
        column: (rows,): the groups, times or part names of the rows.
        classes: their names; none for a regression. A classification is stratified unless the kind
            says otherwise.

    Raises:
        DataError: a part would be empty, a class has too few rows to stand in every part, or the
            column does not hold what it must.
    """
    numbers = np.zeros(0) if column is None or column.dtype.kind not in "fmM" else column
    if len(gaps := np.flatnonzero(~np.isfinite(numbers))):
        raise DataError(
            f"{len(gaps)} of the {len(y)} values are missing or infinite, the first in row "
            f"{gaps[0] + 1}",
            "data.split.column",
        )
    kind = settings.kind or ("stratified" if classes else "random")
    if kind == "given" and column is not None:
        for row in np.flatnonzero(~np.isin(column, PARTS))[:1]:
            raise DataError(
                f"row {row + 1}: {unknown('part', str(column[row]), PARTS)}", "data.split.column"
            )
        found = {
            name: np.flatnonzero(column == name)
            for name in (PARTS if "test" in column else PARTS[:2])
        }
    elif kind == "chronological":
        found = by_time(len(y), settings, column)
    else:
        few = np.bincount(y) < 2 + (settings.test > 0) if kind == "stratified" and classes else ()
        for number in np.flatnonzero(few)[:1]:
            raise DataError(
                f"the class '{classes[number]}' has fewer rows than there are parts: add some, "
                "leave it out, or set kind: random",
                "data.split",
            )
        found = _drawn(kind, y, settings, column)
    if empty := [name for name, rows in found.items() if not len(rows)]:
        raise DataError(
            f"{len(y)} rows leave none for {' and '.join(empty)}; add rows or change the shares",
            "data.split",
        )
    return found


def _drawn(
    kind: str, y: dataset.Array, settings: Split, groups: dataset.Array | None
) -> dict[str, dataset.Array]:
    from sklearn import model_selection

    whole = len(y) if groups is None else len(set(groups))
    rows, found = np.arange(len(y)), {}
    shares = {"test": settings.test, "validation": settings.validation}
    for name in filter(shares.get, shares):
        draw = getattr(model_selection, SPLITTERS[kind][0])(
            1, test_size=_count(shares[name], whole), random_state=settings.seed
        )
        try:
            kept, held = next(draw.split(rows, y[rows], None if groups is None else groups[rows]))
        except ValueError as error:
            raise DataError(
                f"{len(rows)} rows cannot be split like this: {error}", "data.split"
            ) from error
        rows, found[name] = rows[kept], rows[held]
    return {"train": rows, **dict(reversed(found.items()))}


def _count(fraction: float, rows: int) -> int:
    """Return a fraction of all rows, rounded up, but not for the last digit of a float."""
    return math.ceil(round(fraction * rows, 9))


def by_time(
    rows: int, settings: Split, column: dataset.Array | None = None
) -> dict[str, dataset.Array]:
    """Return the oldest rows to train on, the newest to test; rows of one time are never parted.

    Args:
        rows: how many there are.
        settings: fractions of all rows.
        column: (rows,): their times; None: they are in order.

    Raises:
        DataError: the column holds something else than times.
    """
    test = rows - _count(settings.test, rows)
    return dict(
        zip(
            PARTS if settings.test else PARTS[:2],
            _blocks(rows, (test - _count(settings.validation, rows), test), column),
            strict=False,  # without a share for test, the last one is empty
        )
    )


def _blocks(rows: int, starts: Sequence[int], column: dataset.Array | None) -> list[dataset.Array]:
    """Return the numbers of rows in the order of their times, cut at places in it; see by_time."""
    times = np.arange(rows) if column is None else column
    if times.dtype.kind not in "fiuM":
        found = pandas.to_datetime(times, format="ISO8601", utc=True, errors="coerce")
        for row in np.flatnonzero(found.isna())[:1]:
            raise DataError(
                f"row {row + 1}: {times[row]!r:.60} is neither a number nor an ISO 8601 time such "
                "as 2026-11-24",
                "data.split.column",
            )
        times = found.asi8
    order = np.argsort(times, kind="stable")
    ends = np.searchsorted(times[order], times[order], side="right")  # of the rows of a time
    return np.split(order, [ends[start - 1] if start > 0 else 0 for start in starts])


def folded(
    data: dataset.Dataset, settings: Data, folds: int, number: int | None
) -> dataset.Dataset:
    """Return the rows that are not test, divided otherwise: those of one fold are to validate, and
    the others, of times those before it, to train on; or all are to train on, beside the test rows.

    Args:
        data: as it is split.
        settings: the section `data`; folds are of the kind of its split.
        folds: how many there are.
        number: of the fold, from 0; None: all rows.

    Raises:
        DataError: the data says itself which rows validate, a class or the groups are too few to
            stand in every fold, or a fold would be empty.
    """
    from sklearn import model_selection

    reach = settings.reach if isinstance(settings, WindowData) else None
    kind = settings.split.kind or ("stratified" if data.classes else "random")
    if data.source.get("split", kind) == "given" and reach is None:
        raise DataError("this data names its own validation rows; remove it", "tuner.folds")
    whole, both = data.train.joined(data.validation), PARTS[:2]
    if number is None:
        return replace(
            data,
            parts={"train": whole}
            | {name: part for name, part in data.parts.items() if name not in both},
        )
    by = np.concatenate([data.by[name] for name in both]) if data.by else None
    if reach is not None or kind == "chronological":
        blocks = _blocks(
            len(whole), [len(whole) * n // (folds + 1) for n in range(1, folds + 1)], by
        )
        train, held = np.concatenate(blocks[: number + 1]), blocks[number + 1]
        if reach is not None and len(train):  # no window reaches from one block into another
            places = np.concatenate([data.rows[name] for name in both])
            held = held[places[held] - reach > places[train].max()]
    else:
        draw = getattr(model_selection, SPLITTERS[kind][1])(
            folds, shuffle=True, random_state=settings.split.seed
        )
        try:
            with warnings.catch_warnings(action="error"):  # of a class with too few rows
                train, held = [*draw.split(whole.y, whole.y, by)][number]
        except (ValueError, UserWarning) as error:
            raise DataError(
                f"{len(whole)} rows cannot be divided like this: {error}", "tuner.folds"
            ) from error
    if not len(train) or not len(held):
        raise DataError(f"{len(whole)} rows leave none for fold {number + 1}", "tuner.folds")
    return replace(data, parts={"train": whole.take(train), "validation": whole.take(held)})


def refuse_leaks(parts: Mapping[str, dataset.Part], *, given: bool) -> None:
    """Compare the rows of the parts, features and target: what was held out must not have been
    trained on.

    Raises:
        DataError: at least half of the rows of a part that was given stand in another, and more
            than chance explains: short rows, of categories say, are alike as often within one part.
            Others are but said.
    """
    seen = {name: _hashes(part) for name, part in parts.items()}
    for other, name in itertools.combinations(seen, 2):
        rows, doubled = len(seen[name]), np.isin(seen[name], seen[other]).sum()
        what = f"{doubled} of the {rows} {name} rows are also {other} rows"
        # of rows of one kind, so many are in a sample as are in the rest of it (Good and Turing)
        chance = 1 - [*Counter(seen[other]).values()].count(1) / len(seen[other])
        most = chance * rows + 3 * math.sqrt(rows * chance * (1 - chance))
        if given and 2 * doubled >= rows and (doubled > most or seen[name] == seen[other]):
            raise DataError(f"{what}, target included; use parts that do not overlap", "data.split")
        if doubled:
            log.warning("%s, target included, which makes its results look too good", what)


def _hashes(part: dataset.Part) -> list[int]:
    """Return a number for each row that is the same for equal rows, and hardly ever for others.
    Numbers are taken by their bytes, as NaN equals nothing.
    """
    columns = [
        array if dataset.is_text(array) else [row.tobytes() for row in array]
        for _, array in part.arrays
    ]
    return [hash(row) for row in zip(*columns, strict=True)]
