"""Holds rows out for validation and test."""

import importlib
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from history.errors import unknown
from runner.config.schema import PARTS, Split
from runner.data.dataset import Array, Part, arrays
from runner.errors import DataError

log = logging.getLogger("runner")


def split(
    y: Array,
    settings: Split,
    task: str,
    column: Array | None = None,
    classes: Sequence[str] | None = None,
) -> dict[str, Array]:
    """The numbers of the rows of each part: train, validation and, if any are asked for, test.

    Args:
        y: targets (rows,).
        settings: the kind, and fractions of all rows (grouped: of all groups).
        task: classification is stratified unless the kind says otherwise.
        column: (rows,): the groups, times or part names of the rows.
        classes: their names, for messages.

    Raises:
        DataError: a part would be empty, a class has too few rows to stand in every part, or the
        column does not
            hold what it must.
    """
    kind = settings.kind or ("stratified" if task == "classification" else "random")
    if kind == "given":
        assert column is not None, "problems() was not heeded"
        found = _given(column)
    elif kind == "chronological":
        found = _by_time(len(y), settings, column)
    else:
        if kind == "stratified" and classes:
            _enough_of_each(y, classes, 3 if settings.test else 2)
        found = _drawn(kind, y, settings, column)
    if empty := [name for name, rows in found.items() if not len(rows)]:
        raise DataError(
            f"data.split: {len(y)} rows leave none for {' and '.join(empty)}; give more rows or other shares"
        )
    return found


def _enough_of_each(y: Array, classes: Sequence[str], parts: int) -> None:
    for name, count in zip(classes, np.bincount(y).tolist(), strict=True):
        if count < parts:
            what = f"the class '{name}' has {count} row{'s'[count == 1 :]}, and there are {parts} parts"
            raise DataError(f"data.split: {what}: give more, leave it out, or say kind: random")


def _drawn(kind: str, y: Array, settings: Split, groups: Array | None) -> dict[str, Array]:
    selection = importlib.import_module("sklearn.model_selection")
    names = {
        "random": "ShuffleSplit",
        "stratified": "StratifiedShuffleSplit",
        "grouped": "GroupShuffleSplit",
    }
    whole = len(y) if groups is None else len(set(groups))

    def hold_out(rows: Array, share: float) -> tuple[Array, Array]:
        splitter = getattr(selection, names[kind])(
            1, test_size=_count(share, whole), random_state=settings.seed
        )
        kept, held = next(splitter.split(rows, y[rows], None if groups is None else groups[rows]))
        return rows[kept], rows[held]

    rows, found = np.arange(len(y)), {}
    try:
        for name, share in (("test", settings.test), ("validation", settings.validation)):
            if share:
                rows, found[name] = hold_out(rows, share)
    except ValueError as error:
        raise DataError(f"data.split: {len(rows)} rows cannot be split so: {error}") from error
    return {name: {"train": rows, **found}[name] for name in PARTS if name in ("train", *found)}


def _count(fraction: float, rows: int) -> int:
    """A fraction of all rows, rounded up, but not for the last digit of a float."""
    return math.ceil(round(fraction * rows, 9))


def _by_time(rows: int, settings: Split, times: Array | None) -> dict[str, Array]:
    """The oldest rows to train on, the newest to test; rows of one time are never parted."""
    order = np.arange(rows) if times is None else np.argsort(times, kind="stable")

    def border(place: int) -> int:
        while (
            times is not None
            and 0 < place < rows
            and times[order[place]] == times[order[place - 1]]
        ):
            place += 1
        return place

    test = border(rows - _count(settings.test, rows))
    validation = border(rows - _count(settings.test, rows) - _count(settings.validation, rows))
    found = {"train": order[:validation], "validation": order[validation:test]}
    return found | ({"test": order[test:]} if settings.test else {})


def _given(column: Array) -> dict[str, Array]:
    for row, name in enumerate(column):
        if name not in PARTS:
            raise DataError(
                f"data.split.column: row {row + 1}: {unknown('part', str(name), PARTS)}"
            )
    found = {name: np.flatnonzero(column == name) for name in PARTS}
    return {name: rows for name, rows in found.items() if name != "test" or len(rows)}


def refuse_leaks(parts: Mapping[str, Part], *, given: bool) -> None:
    """Compares the rows of the parts, features and target: what was held out must not have been
    trained on.

    Raises:
        DataError: at least half of the rows of a part that was given stand in another; a few are
        but said, since
            short rows, of categories say, may be alike by chance.
    """
    seen = {name: _rows(part) for name, part in parts.items()}
    for name, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        if name not in seen:
            continue
        known = set(seen[other])
        doubled = sum(row in known for row in seen[name])
        what = (
            f"{doubled} of the {len(seen[name])} {name} rows are {other} rows too, target included"
        )
        if given and 2 * doubled >= len(seen[name]):
            raise DataError(f"data.split: {what}; give parts that do not overlap")
        if doubled:
            log.warning("%s, which flatters its results", what)


def _rows(part: Part) -> list[int]:
    """A number for each row that is the same for equal rows, and hardly ever for others."""
    return [
        hash(row)
        for row in zip(
            *(_cells(array) for _, array in (*arrays(part.x), ("", part.y))), strict=True
        )
    ]


def _cells(array: Array) -> list[Any]:
    """Numbers by their bytes, as NaN equals nothing."""
    if array.ndim > 1:
        return [row.tobytes() for row in array]
    numbers = array if array.dtype.kind == "O" else array.view(f"i{array.itemsize}")
    return list(numbers.tolist())
