"""How two entries differ: in their results, and in what led to them."""

from collections.abc import Mapping
from contextlib import suppress

from foundation import errors, trees
from foundation.files import JsonObject
from history import Entry, History, config, ranking


def compare(history: History, one: Entry, other: Entry) -> JsonObject:
    """Return how two entries, A and B, differ, as plain data.

    {"a", "b": ids, "metrics": {part: {metric: {"a", "b", "difference", "error", "within_noise",
    "better"}}}, "baselines" and "ensemble": {"a", "b": as the entry has them}, "differs": {section:
    {dotted key: [A's, B's]}}, "notes": {section: text}}; null: missing or not known. `difference`
    is B - A, `error` its standard error, `better` "a" or "b".
    """
    metrics = {part: _metrics(history, one, other, part) for part in ranking.PARTS}
    notes = {}
    about_metrics = _about(one, other, metrics)
    if about_metrics:
        notes["metrics"] = about_metrics
    mine = _sections(one)
    theirs = _sections(other)
    try:
        mine["config"] = _config(one)
        theirs["config"] = _config(other)
    except errors.ExperimentError as error:
        mine["config"] = {}
        notes["config"] = str(error)
    # in order: that of the outermost keys says nothing
    differs = {
        section: trees.differences(_in_order(mine[section]), _in_order(theirs[section]))
        for section in mine
    }
    return {
        "a": one.id,
        "b": other.id,
        "metrics": metrics,
        "baselines": {"a": one.baselines, "b": other.baselines},
        "ensemble": {"a": one.ensemble, "b": other.ensemble},
        "differs": differs,
        "notes": notes,
    }


def _in_order(section: JsonObject) -> JsonObject:
    return dict(sorted(section.items(), key=str))


def _about(one: Entry, other: Entry, metrics: Mapping[str, JsonObject]) -> str:
    """Return what a reader should know of the metrics that are compared; "" for nothing."""
    notes = []
    if one.id == other.id:
        notes.append("A and B are the same entry")
    if one.task != other.task:
        tasks = f"A is of task {one.task}, B of {other.task}"
        notes.append(f"{tasks}: only metrics that both have are compared")
    if not any(metrics.values()):
        notes.append("there are no metrics to compare")
    return "; ".join(notes)


def _config(entry: Entry) -> JsonObject:
    root, _, sections = config.stored_config(entry)
    return root | sections


def _metrics(history: History, one: Entry, other: Entry, part: str) -> dict[str, JsonObject]:
    """Compare the metrics of either entry or, where their tasks differ, of both."""
    directions: dict[str, ranking.Direction | None] = {}
    for entry in (one, other):
        with suppress(errors.RegistryError):  # not installed here: there is no verdict
            directions |= history.manager_of(entry).directions([entry])
    mine = one.part(part).metrics
    theirs = other.part(part).metrics
    wanted = any if one.task == other.task else all
    return {
        name: _metric(one, other, part, name, directions.get(name))
        for name in dict.fromkeys([*directions, *mine, *theirs])
        if wanted([name in mine, name in theirs])
    }


def _metric(
    one: Entry, other: Entry, part: str, name: str, direction: ranking.Direction | None
) -> JsonObject:
    a = ranking.measurement(one, part, name)
    b = ranking.measurement(other, part, name)
    difference = None
    error = None
    if a.mean is not None and b.mean is not None:
        difference = b.mean - a.mean
        error = ranking.standard_error(a, b)
    better = None
    if difference and direction:
        better = "b" if (difference > 0) == (direction == "max") else "a"
    return {
        "a": a.mean,
        "b": b.mean,
        "difference": difference,
        "error": error,
        "within_noise": ranking.indistinguishable(a, b),
        "better": better,
    }


def _sections(entry: Entry) -> dict[str, JsonObject]:
    environment = dict(entry.environment)
    packages = {"python": environment.pop("python", None)}
    packages |= environment.pop("packages", None) or {}
    code = {"git": environment.pop("git", None) or {}}
    with suppress(errors.HistoryError):  # damaged: `doctor` says so
        parts = entry.identity()
        code["sources"] = parts.get("code", parts.get("sources", {}))  # as older entries have it
    search = entry.document.get("search") or {}
    data = entry.document.get("data") or {}
    return {
        "config": {},
        "search": {key: search.get(key) for key in ("tuner", "objective", "oracle")},
        "values": entry.best.values,
        "data": {key: data.get(key) for key in ("source", "fingerprint", "shapes", "split")},
        "packages": packages,
        "code": code,
        "environment": environment,
    }
