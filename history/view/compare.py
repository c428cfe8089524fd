"""How two entries differ: in their results, and in what led to them."""

from contextlib import suppress

from history.catalogue import History
from history.config import stored_config
from history.entry import Entry
from history.errors import ExperimentError, HistoryError, RegistryError
from history.files import Json, JsonObject
from history.ranking import PARTS, Direction, indistinguishable, measurement, standard_error
from history.trees import differences


def compare(history: History, one: Entry, other: Entry) -> JsonObject:
    """Return how two entries, A and B, differ, as plain data.

    {"a", "b": ids, "metrics": {part: {metric: {"a", "b", "difference", "error", "within_noise",
    "better"}}}, "differs": {section: {dotted key: [A's, B's]}}, "notes": {section: text}}; null:
    missing or not known. `difference` is B - A, `error` its standard error, `better` "a" or "b".
    """
    metrics = {part: _metrics(history, one, other, part) for part in PARTS}
    about = {
        "A and B are the same entry": one.id == other.id,
        f"A is of task {one.task}, B of {other.task}: only metrics of both are compared": (
            one.task != other.task
        ),
        "there is no metric to compare": not any(metrics.values()),
    }
    notes = {"metrics": "; ".join(note for note, holds in about.items() if holds)}
    mine, theirs = _sections(one), _sections(other)
    try:
        mine["config"], theirs["config"] = _config(one), _config(other)
    except ExperimentError as error:
        notes["config"] = str(error)
    return {
        "a": one.id,
        "b": other.id,
        "metrics": metrics,
        "differs": {
            section: differences(_sorted(mine[section]), _sorted(theirs[section]))
            for section in mine
        },
        "notes": {section: text for section, text in notes.items() if text},
    }


def _metrics(history: History, one: Entry, other: Entry, part: str) -> dict[str, JsonObject]:
    """Compare the metrics of either entry or, where their tasks differ, of both."""
    directions: dict[str, Direction] = {}
    for entry in (one, other):
        with suppress(RegistryError):  # its manager is not installed here: there is no verdict
            directions |= history.manager_of(entry).metrics
    mine, theirs = (entry.value(f"{part}.metrics", {}) for entry in (one, other))
    wanted = mine.keys() | theirs.keys() if one.task == other.task else mine.keys() & theirs.keys()
    names = [name for name in dict.fromkeys([*directions, *mine, *theirs]) if name in wanted]
    return {name: _metric(one, other, part, name, directions.get(name)) for name in names}


def _metric(
    one: Entry, other: Entry, part: str, name: str, direction: Direction | None
) -> JsonObject:
    a, b = measurement(one, part, name), measurement(other, part, name)
    difference = None if a.mean is None or b.mean is None else b.mean - a.mean
    better = None
    if difference and direction:
        better = "b" if (difference > 0) == (direction == "max") else "a"
    return {
        "a": a.mean,
        "b": b.mean,
        "difference": difference,
        "error": None if difference is None else standard_error(a, b),
        "within_noise": indistinguishable(a, b),
        "better": better,
    }


def _config(entry: Entry) -> JsonObject:
    """Return the settings that decide the result of the entry's one pipeline."""
    root, _, sections = stored_config(entry)
    return root | sections


def _sections(entry: Entry) -> dict[str, dict[str, Json]]:
    environment = entry.value("environment", {})
    packages = {"python": environment.get("python"), **entry.value("environment.packages", {})}
    apart = ("python", "packages", "git")
    code = {"git": entry.value("environment.git", {})}
    with suppress(HistoryError):  # damaged: `doctor` says so
        code["sources"] = entry.identity().get("sources", {})
    data = ("source", "fingerprint", "shapes", "split")
    return {
        "config": {},
        "search": {key: entry.value(f"search.{key}") for key in ("tuner", "objective", "oracle")},
        "values": entry.value("best.values", {}),
        "data": {key: entry.value(f"data.{key}") for key in data},
        "packages": packages,
        "code": code,
        "environment": {key: environment[key] for key in environment if key not in apart},
    }


def _sorted(section: JsonObject) -> JsonObject:
    """Return the section with its outermost keys in one order, since their own says nothing."""
    return dict(sorted(section.items(), key=str))
