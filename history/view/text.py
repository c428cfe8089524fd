"""How values look to a person: readable numbers, times, and nested values on one line."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from foundation.files import Json
from history import Entry, ranking


def number(value: object) -> str:
    """Return a number with four decimals, or in exponent form where these would say little."""
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-4 <= abs(value) < 1e6 else f"{value:.3e}"


def measured(entry: Entry, part: str, metric: str) -> str:
    """Return a metric over the rows of a part, as `shown` has it."""
    return shown(ranking.measurement(entry, part, metric))


def shown(score: ranking.Score) -> str:
    """Return a mean, with its standard deviation where several repeats give one."""
    mean = number(score.mean)
    if score.mean is None or score.deviation is None or score.repeats < 2:
        return mean
    return f"{mean} ± {number(score.deviation)}"


def best_baseline(entry: Entry, metric: str, direction: ranking.Direction) -> str:
    """Return the best of an entry's baselines by a metric, and its name; `-` without one."""
    best = ranking.baseline(entry, metric, direction)
    return f"{number(best[1])} {best[0]}" if best else "-"


def not_better(entry: Entry, metric: str, direction: ranking.Direction) -> str:
    """Say that an entry is not better than the best of its baselines, beyond noise as far as that
    is known; "" where it is better, or has no baselines.
    """
    own = ranking.measurement(entry, "validation", metric)
    best = ranking.baseline(entry, metric, direction)
    if own.mean is None or best is None:
        return ""
    name, value = best
    near = ranking.indistinguishable(own, ranking.Score(value, 0.0, own.repeats))
    if ranking.merit(own.mean, direction) > ranking.merit(value, direction) and not near:
        return ""
    noise = " beyond noise" if near else ""
    return (
        f"{entry.pipeline} does not beat the baseline {name}{noise}: "
        f"{metric} {shown(own)} against {number(value)}"
    )


def duration(seconds: float) -> str:
    """Return a time to be read at a glance: `12.3 s`, `14 min` or `2.5 h`; none as `-`."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds else "-"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def rounded(cell: str) -> str:
    """Return a number of a report rounded to be read; its file has every digit."""
    try:
        return cell if cell.lstrip("-").isdecimal() else number(float(cell))
    except ValueError:
        return cell


def bars(values: Sequence[float], width: int = 40) -> str:
    """Return numbers as bars beside each other. Of more than there is room for, some are shown, the
    last among them.
    """
    step = math.ceil(len(values) / width)
    newest_first = values[::-step]
    low = min(newest_first)
    span = max(newest_first) - low or 1
    heights = [int((value - low) / span * 7.99) for value in reversed(newest_first)]
    return "".join("▁▂▃▄▅▆▇█"[height] for height in heights)


def local_time(created: str) -> str:
    """Return an ISO 8601 time as local time, to the minute."""
    return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")


def brief(value: Json) -> str:
    """Return a value of a hyperparameter, or another fact, as it is read."""
    return f"{value:.5g}" if isinstance(value, float) else pairs(value)


def pairs(values: Json) -> str:
    """Return nested values on one line: `a=1, b=2`."""
    if isinstance(values, Mapping):
        return ", ".join(f"{key}={pairs(value)}" for key, value in values.items()) or "{}"
    if isinstance(values, list):
        return ", ".join(map(pairs, values)) or "[]"
    return "-" if values is None else str(values)
