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
from runner.data import log
from runner.data.arrays import Array, is_text
from runner.data.dataset import Dataset, Part
from runner.errors import DataError

SPLITTERS = {  # of one split, and of folds
    "random": ("ShuffleSplit", "KFold"),
    "stratified": ("StratifiedShuffleSplit", "StratifiedKFold"),
    "grouped": ("GroupShuffleSplit", "GroupKFold"),
}


def split(
    y: Array,
    settings: Split,
    column: Array | None = None,
    classes: Sequence[str] = (),
) -> dict[str, Array]:
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
    if column is None:
        column = np.arange(len(y))  # the order of the rows
    if column.dtype.kind in "fmM":
        gaps = np.flatnonzero(~np.isfinite(column))
        if len(gaps):
            raise DataError(
                f"{len(gaps)} of the {len(y)} values are missing or infinite, the first in row "
                f"{gaps[0] + 1}",
                "data.split.column",
            )
    kind = _kind(settings, classes)
    if kind == "given":
        chosen = _named(column)
    elif kind == "chronological":
        chosen = by_time(column, settings)
    else:
        if kind == "stratified" and classes:
            _check_classes(y, settings, classes)
        chosen = _drawn(kind, y, settings, column)
    empty = [name for name, rows in chosen.items() if not len(rows)]
    if empty:
        raise DataError(
            f"{len(y)} rows leave none for {' and '.join(empty)}; add rows or change the shares",
            "data.split",
        )
    return chosen


def _kind(settings: Split, classes: Sequence[str] | None) -> str:
    return settings.kind or ("stratified" if classes else "random")


def _named(column: Array) -> dict[str, Array]:
    """Return the rows of each part that a column names."""
    odd = np.flatnonzero(~np.isin(column, PARTS))
    if len(odd):
        what = unknown("part", str(column[odd[0]]), PARTS)
        raise DataError(f"row {odd[0] + 1}: {what}", "data.split.column")
    parts = PARTS if "test" in column else PARTS[:2]
    return {name: np.flatnonzero(column == name) for name in parts}


def _check_classes(y: Array, settings: Split, classes: Sequence[str]) -> None:
    parts = 3 if settings.test else 2
    few = np.flatnonzero(np.bincount(y) < parts)
    if len(few):
        raise DataError(
            f"the class '{classes[few[0]]}' has fewer rows than there are parts: add some, "
            "leave it out, or set kind: random",
            "data.split",
        )


def _drawn(kind: str, y: Array, settings: Split, groups: Array) -> dict[str, Array]:
    """Return rows, or whole groups, drawn at random, those to test first."""
    whole = len(set(groups)) if kind == "grouped" else len(y)
    rows = np.arange(len(y))
    held_out = {}
    for name, share in (("test", settings.test), ("validation", settings.validation)):
        if share:
            [(kept, held)] = _draws(
                kind,
                0,
                y[rows],
                groups[rows],
                "data.split",
                n_splits=1,
                test_size=_count(share, whole),
                random_state=settings.seed,
            )
            held_out[name] = rows[held]
            rows = rows[kept]
    return {"train": rows, **dict(reversed(held_out.items()))}


def _draws(
    kind: str, number: int, y: Array, groups: Array, key: str, **settings: object
) -> list[tuple[Array, Array]]:
    """Return what scikit-learn keeps and holds out of rows, once or for each fold.

    Args:
        kind: of the split.
        number: of its class in SPLITTERS.
        y, groups: of the rows.
        key: of the config, for messages.
        settings: of the splitter.
    """
    from sklearn import model_selection

    splitter = getattr(model_selection, SPLITTERS[kind][number])(**settings)
    arguments = (y, y, groups) if kind == "grouped" else (y, y)
    try:
        with warnings.catch_warnings(action="error"):  # of a class with too few rows for the folds
            return list(splitter.split(*arguments))
    except (ValueError, UserWarning) as error:
        raise DataError(f"{len(y)} rows cannot be divided like this: {error}", key) from error


def _count(fraction: float, rows: int) -> int:
    """Return a fraction of all rows, rounded up, but not for the last digit of a float."""
    return math.ceil(round(fraction * rows, 9))


def by_time(times: Array, settings: Split) -> dict[str, Array]:
    """Return the oldest rows to train on, the newest to test; rows of one time are never parted.

    Args:
        times: of the rows: numbers, dates, or ISO 8601 as text.
        settings: fractions of all rows.

    Raises:
        DataError: something else than a time is among them.
    """
    test = len(times) - _count(settings.test, len(times))
    validation = test - _count(settings.validation, len(times))
    blocks = dict(zip(PARTS, _blocks(times, [validation, test]), strict=True))
    if not settings.test:
        del blocks["test"]
    return blocks


def _blocks(times: Array, starts: Sequence[int]) -> list[Array]:
    """Return the numbers of rows in the order of their times, cut at indices; see by_time."""
    if times.dtype.kind not in "fiuM":
        dates = pandas.to_datetime(times, format="ISO8601", utc=True, errors="coerce")
        odd = np.flatnonzero(dates.isna())
        if len(odd):
            row = odd[0]
            raise DataError(
                f"row {row + 1}: {times[row]!r:.60} is neither a number nor an ISO 8601 time such "
                "as 2026-11-24",
                "data.split.column",
            )
        times = dates.asi8
    order = np.argsort(times, kind="stable")
    ends = np.searchsorted(times[order], times[order], side="right")  # of the rows of a time
    return np.split(order, [ends[start - 1] if start > 0 else 0 for start in starts])


def folded(data: Dataset, settings: Data, folds: int, number: int | None) -> Dataset:
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
    reach = settings.reach if isinstance(settings, WindowData) else None
    kind = "chronological" if reach is not None else _kind(settings.split, data.classes)
    if reach is None and data.source.get("split", kind) == "given":
        raise DataError("this data names its own validation rows; remove it", "tuner.folds")
    whole = data.train.joined(data.validation)
    if number is None:
        test = {name: part for name, part in data.parts.items() if name not in PARTS[:2]}
        return replace(data, parts={"train": whole, **test})
    by = _of_both(data.by) if data.by else np.arange(len(whole))
    if kind == "chronological":
        starts = [len(whole) * block // (folds + 1) for block in range(1, folds + 1)]
        blocks = _blocks(by, starts)
        train = np.concatenate(blocks[: number + 1])
        held = blocks[number + 1]
        if reach is not None and len(train):  # no window reaches from one block into another
            rows = _of_both(data.rows)
            held = held[rows[held] - reach > rows[train].max()]
    else:
        seed = settings.split.seed
        draws = _draws(
            kind,
            1,
            whole.y,
            by,
            "tuner.folds",
            n_splits=folds,
            shuffle=True,
            random_state=seed,
        )
        train, held = draws[number]
    if not len(train) or not len(held):
        raise DataError(f"{len(whole)} rows leave none for fold {number + 1}", "tuner.folds")
    return replace(data, parts={"train": whole.take(train), "validation": whole.take(held)})


def _of_both(values: Mapping[str, Array]) -> Array:
    """Return the values of the training rows, then those of the validation rows."""
    return np.concatenate([values["train"], values["validation"]])


def refuse_leaks(parts: Mapping[str, Part], *, given: bool) -> None:
    """Compare the rows of the parts, features and target: what was held out must not have been
    trained on.

    Raises:
        DataError: at least half of the rows of a part that the user made are also in another one,
            and more than chance explains: short rows, of categories say, repeat as often within one
            part. Fewer are only logged.
    """
    hashes = {name: _hashes(part) for name, part in parts.items()}
    for other, name in itertools.combinations(hashes, 2):
        seen = hashes[other]
        held_out = hashes[name]
        rows = len(held_out)
        doubled = np.isin(held_out, seen).sum()
        what = f"{doubled} of the {rows} {name} rows are also {other} rows"
        # of rows of one kind, so many are in a sample as are in the rest of it (Good and Turing)
        chance = 1 - list(Counter(seen).values()).count(1) / len(seen)
        most = chance * rows + 3 * math.sqrt(rows * chance * (1 - chance))
        is_unlikely = doubled > most or held_out == seen
        if given and 2 * doubled >= rows and is_unlikely:
            raise DataError(f"{what}, target included; use parts that do not overlap", "data.split")
        if doubled:
            log.warning("%s, target included, which makes its results look too good", what)


def _hashes(part: Part) -> list[int]:
    """Return a number for each row that is the same for equal rows, and hardly ever for others.
    Numbers are taken by their bytes, as NaN equals nothing.
    """
    columns = [
        array if is_text(array) else [row.tobytes() for row in array] for _, array in part.arrays
    ]
    return [hash(row) for row in zip(*columns, strict=True)]
