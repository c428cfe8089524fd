"""Which entry is best, and which ones cannot be told apart from it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from history.entry import Entry

Direction = Literal["min", "max"]
PARTS = ("validation", "test")


@dataclass(frozen=True)
class Measured:
    """A metric's mean and deviation over the repeats, in the metric's own unit; None for what is
    not known.
    """

    mean: float | None
    deviation: float | None
    repeats: int


@dataclass(frozen=True)
class Ranked(Measured):
    """An entry's place; `mean` is None for an entry that has no rank.

    `tied` says whether the entry cannot be told apart from the best (for the best itself: from any
    other); None where the noise is unknown.
    """

    entry: Entry
    tied: bool | None


def measurement(entry: Entry, part: str, metric: str) -> Measured:
    """Return what the entry holds of a metric over its validation or its test rows, which is one of
    PARTS.
    """
    return Measured(entry.metric(metric, part), entry.deviation(metric, part), entry.repeats)


def rank(entries: Iterable[Entry], metric: str, direction: Direction) -> list[Ranked]:
    """Return the entries best first; failed ones and those without a finite mean last, in the order
    given.
    """
    places = [_place(entry, metric) for entry in entries]
    sign = -1 if direction == "max" else 1
    ordered = sorted(
        (place for place in places if place.mean is not None),
        key=lambda place: sign * (place.mean or 0.0),
    )
    last = [place for place in places if place.mean is None]
    return _mark_ties(ordered) + last


def standard_error(one: Measured, other: Measured) -> float | None:
    """Return that of the difference of two means, sqrt(s1²/n1 + s2²/n2); None if either has fewer
    than two repeats.
    """
    if one.deviation is None or other.deviation is None or min(one.repeats, other.repeats) < 2:
        return None
    return math.sqrt(one.deviation**2 / one.repeats + other.deviation**2 / other.repeats)


def indistinguishable(one: Measured, other: Measured) -> bool | None:
    """Say whether the difference of two means is within noise; None where the noise or a mean is
    unknown.

    The bound is twice the standard error of the difference, about a 95 % interval (B. L. Welch, The
    generalization of "Student's" problem when several different population variances are involved,
    Biometrika 34, 1947).
    """
    error = standard_error(one, other)
    if one.mean is None or other.mean is None or error is None:
        return None
    return abs(one.mean - other.mean) <= 2 * error


def _place(entry: Entry, metric: str) -> Ranked:
    mean = None if entry.status == "failed" else entry.metric(metric)
    return Ranked(mean, entry.deviation(metric), entry.repeats, entry, tied=None)


def _mark_ties(ordered: list[Ranked]) -> list[Ranked]:
    if not ordered:
        return []
    best, *others = ordered
    marks = [indistinguishable(best, other) for other in others]
    known = indistinguishable(best, best) is not None
    return [
        _marked(best, any(marks) if known else None),
        *(_marked(other, mark) for other, mark in zip(others, marks, strict=True)),
    ]


def _marked(place: Ranked, tied: bool | None) -> Ranked:
    return replace(place, tied=tied)
