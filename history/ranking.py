"""Which entry is best, and which ones cannot be told apart from it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from history.entry import Entry
from history.records import Direction as Direction
from history.records import Score as Score

PARTS = ("validation", "test")


@dataclass(frozen=True)
class Ranked(Score):
    """An entry's place; `mean` is None for an entry that has no rank.

    `tied` says whether the entry cannot be told apart from the best (for the best itself: from any
    other); None where the noise is unknown.
    """

    entry: Entry
    tied: bool | None = None


def measurement(entry: Entry, part: str, metric: str) -> Score:
    """Return what the entry holds of a metric over its validation or its test rows, which is one of
    PARTS.
    """
    repeats = entry.repeats
    if part == "test" and entry.test.repeats is not None:  # with folds, other models are tested
        repeats = entry.test.repeats
    mean = None if entry.status == "failed" else entry.metric(metric, part)
    return Score(mean, entry.metric(metric, part, of="deviation"), repeats)


def baseline(
    entry: Entry, metric: str, direction: Direction, part: str = "validation"
) -> tuple[str, float] | None:
    """Return the best of an entry's baselines by a metric, and its value; None where it has none
    with that metric.
    """
    values = []
    for name in entry.baselines:
        value = entry.metric(metric, f"baselines.{name}", part)
        if value is not None:
            values.append((name, value))
    return max(values, key=lambda item: merit(item[1], direction), default=None)


def merit(value: float | None, direction: Direction) -> float:
    """Return a number that is the larger the better the value is: NaN, and none, are the worst."""
    if value is None or math.isnan(value):
        return -math.inf
    return value if direction == "max" else -value


def rank(entries: Iterable[Entry], metric: str, direction: Direction) -> list[Ranked]:
    """Return the entries best first; failed ones and those without a finite mean last, in the order
    given.
    """
    ranked = []
    for entry in entries:
        score = measurement(entry, "validation", metric)
        ranked.append(Ranked(score.mean, score.deviation, score.repeats, entry))
    ranked.sort(key=lambda score: merit(score.mean, direction), reverse=True)
    ties = [indistinguishable(ranked[0], score) for score in ranked]
    if ranked and ties[0]:  # with itself, where its noise is known
        ties[0] = any(ties[1:])
    return [replace(score, tied=tie) for score, tie in zip(ranked, ties, strict=True)]


def standard_error(one: Score, other: Score) -> float | None:
    """Return that of the difference of two means, sqrt(s1²/n1 + s2²/n2); None if either has fewer
    than two repeats.
    """
    if one.deviation is None or other.deviation is None or min(one.repeats, other.repeats) < 2:
        return None
    return math.sqrt(one.deviation**2 / one.repeats + other.deviation**2 / other.repeats)


def indistinguishable(one: Score, other: Score) -> bool | None:
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
