"""Which entry is best, and which ones cannot be told apart from it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from history.entry import Entry

Direction = Literal["min", "max"]


@dataclass(frozen=True)
class Ranked:
    """An entry's place: the metric's mean and deviation over the repeats, in the metric's own unit.

    `mean` is None for an entry that has no rank. `tied` says whether the entry cannot be told apart from
    the best (for the best itself: from any other); None where the noise is unknown.
    """

    entry: Entry
    mean: float | None
    deviation: float | None
    repeats: int
    tied: bool | None


def rank(entries: Iterable[Entry], metric: str, direction: Direction) -> list[Ranked]:
    """Return the entries best first; failed ones and those without a finite mean last, in the order given."""
    places = [_place(entry, metric) for entry in entries]
    sign = -1 if direction == "max" else 1
    ordered = sorted(
        (place for place in places if place.mean is not None), key=lambda place: sign * (place.mean or 0.0)
    )
    last = [place for place in places if place.mean is None]
    return _mark_ties(ordered) + last


def indistinguishable(one: Ranked, other: Ranked) -> bool | None:
    """Say whether the difference of two means is within noise; None if either has fewer than two repeats.

    The bound is twice the standard error of the difference, sqrt(s1²/n1 + s2²/n2), about a 95 % interval
    (B. L. Welch, The generalization of "Student's" problem when several different population variances
    are involved, Biometrika 34, 1947).
    """
    if one.mean is None or other.mean is None or one.deviation is None or other.deviation is None:
        return None
    if min(one.repeats, other.repeats) < 2:
        return None
    error = math.sqrt(one.deviation**2 / one.repeats + other.deviation**2 / other.repeats)
    return abs(one.mean - other.mean) <= 2 * error


def _place(entry: Entry, metric: str) -> Ranked:
    mean = None if entry.status == "failed" else entry.metric(metric)
    return Ranked(entry, mean, entry.deviation(metric), entry.repeats, tied=None)


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
    return Ranked(place.entry, place.mean, place.deviation, place.repeats, tied)
