"""How two entries differ: in their results, and in what led to them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from foundation import errors, files, trees
from history import Entry, History, config, ranking


def compare(history: History, one: Entry, other: Entry) -> files.JsonObject:
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
    differs = {section: _differences(mine[section], theirs[section]) for section in mine}
    return {
        "a": one.id,
        "b": other.id,
        "metrics": metrics,
        "baselines": _both(one, other, "baselines"),
        "ensemble": _both(one, other, "ensemble"),
        "differs": differs,
        "notes": notes,
    }


def _about(one: Entry, other: Entry, metrics: Mapping[str, files.JsonObject]) -> str:
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


def _config(entry: Entry) -> dict[str, files.Json]:
    root, _, sections = config.stored_config(entry)
    return root | sections


def _both(one: Entry, other: Entry, key: str) -> files.JsonObject:
    return {"a": one.value(key, {}), "b": other.value(key, {})}


def _differences(
    mine: Mapping[str, files.Json], theirs: Mapping[str, files.Json]
) -> files.JsonObject:
    """Return the keys that differ, in order: that of the outermost keys says nothing."""
    return trees.differences(
        dict(sorted(mine.items(), key=str)), dict(sorted(theirs.items(), key=str))
    )


def _metrics(history: History, one: Entry, other: Entry, part: str) -> dict[str, files.JsonObject]:
    """Compare the metrics of either entry or, where their tasks differ, of both."""
    directions: dict[str, ranking.Direction | None] = {}
    for entry in (one, other):
        with suppress(errors.RegistryError):  # not installed here: there is no verdict
            directions |= history.manager_of(entry).directions([entry])
    mine = one.value(f"{part}.metrics", {})
    theirs = other.value(f"{part}.metrics", {})
    wanted = mine.keys() & theirs.keys()
    if one.task == other.task:
        wanted = mine.keys() | theirs.keys()
    names = [name for name in dict.fromkeys([*directions, *mine, *theirs]) if name in wanted]
    return {name: _metric(one, other, part, name, directions.get(name)) for name in names}


def _metric(
    one: Entry, other: Entry, part: str, name: str, direction: ranking.Direction | None
) -> files.JsonObject:
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


def _sections(entry: Entry) -> dict[str, dict[str, files.Json]]:
    environment = dict(entry.value("environment", {}))
    packages = {"python": environment.pop("python", None)}
    packages |= environment.pop("packages", None) or {}
    code = {"git": environment.pop("git", None) or {}}
    with suppress(errors.HistoryError):  # damaged: `doctor` says so
        parts = entry.identity()
        code["sources"] = parts.get("code", parts.get("sources", {}))  # as older entries have it
    return {
        "config": {},
        "search": _values(entry, "search", ("tuner", "objective", "oracle")),
        "values": entry.value("best.values", {}),
        "data": _values(entry, "data", ("source", "fingerprint", "shapes", "split")),
        "packages": packages,
        "code": code,
        "environment": environment,
    }


def _values(entry: Entry, section: str, keys: Sequence[str]) -> dict[str, files.Json]:
    return {key: entry.value(f"{section}.{key}") for key in keys}
