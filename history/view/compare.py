"""How two entries differ: in their results, and in what led to them."""

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
    about = {
        "A and B are the same entry": one.id == other.id,
        f"A is of task {one.task}, B of {other.task}: only metrics that both have are compared": (
            one.task != other.task
        ),
        "there are no metrics to compare": not any(metrics.values()),
    }
    notes = {"metrics": "; ".join(note for note, holds in about.items() if holds)}
    mine, theirs = _sections(one), _sections(other)
    try:
        mine["config"], theirs["config"] = (
            root | sections for root, _, sections in map(config.stored_config, (one, other))
        )
    except errors.ExperimentError as error:
        notes["config"] = str(error)
    return {
        "a": one.id,
        "b": other.id,
        "metrics": metrics,
        **{
            key: {"a": one.value(key, {}), "b": other.value(key, {})}
            for key in ("baselines", "ensemble")
        },
        "differs": {  # the order of the outermost keys says nothing
            section: trees.differences(
                dict(sorted(mine[section].items(), key=str)),
                dict(sorted(theirs[section].items(), key=str)),
            )
            for section in mine
        },
        "notes": {section: text for section, text in notes.items() if text},
    }


def _metrics(history: History, one: Entry, other: Entry, part: str) -> dict[str, files.JsonObject]:
    """Compare the metrics of either entry or, where their tasks differ, of both."""
    directions: dict[str, ranking.Direction | None] = {}
    for entry in (one, other):
        with suppress(errors.RegistryError):  # not installed here: there is no verdict
            directions |= history.manager_of(entry).directions([entry])
    mine, theirs = (entry.value(f"{part}.metrics", {}) for entry in (one, other))
    wanted = mine.keys() | theirs.keys() if one.task == other.task else mine.keys() & theirs.keys()
    return {
        name: _metric(one, other, part, name, directions.get(name))
        for name in dict.fromkeys([*directions, *mine, *theirs])
        if name in wanted
    }


def _metric(
    one: Entry, other: Entry, part: str, name: str, direction: ranking.Direction | None
) -> files.JsonObject:
    a, b = ranking.measurement(one, part, name), ranking.measurement(other, part, name)
    difference = None if a.mean is None or b.mean is None else b.mean - a.mean
    return {
        "a": a.mean,
        "b": b.mean,
        "difference": difference,
        "error": None if difference is None else ranking.standard_error(a, b),
        "within_noise": ranking.indistinguishable(a, b),
        "better": (
            ("b" if (difference > 0) == (direction == "max") else "a")
            if difference and direction
            else None
        ),
    }


def _sections(entry: Entry) -> dict[str, dict[str, files.Json]]:
    environment = dict(entry.value("environment", {}))
    python, packages, git = (environment.pop(key, None) for key in ("python", "packages", "git"))
    code = {"git": git or {}}
    with suppress(errors.HistoryError):  # damaged: `doctor` says so
        parts = entry.identity()
        code["sources"] = parts.get("code", parts.get("sources", {}))  # as older entries have it
    return {
        "config": {},
        "search": {key: entry.value(f"search.{key}") for key in ("tuner", "objective", "oracle")},
        "values": entry.value("best.values", {}),
        "data": {
            key: entry.value(f"data.{key}") for key in ("source", "fingerprint", "shapes", "split")
        },
        "packages": {"python": python, **(packages or {})},
        "code": code,
        "environment": environment,
    }
