"""How two entries differ: in their results, and in what led to them."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from history.catalogue import History
from history.entry import Entry
from history.errors import ExperimentError, HistoryError, RegistryError
from history.exchange.config import SURROUNDINGS, stored_config
from history.ranking import (
    PARTS,
    Direction,
    Measured,
    indistinguishable,
    measurement,
    standard_error,
)

SIDES = ("A", "B")


def compare(history: History, one: Entry, other: Entry) -> dict[str, Any]:
    """Return how two entries, A and B, differ, as plain data.

    {"a", "b": ids, "metrics": {part: {metric: {"a", "b", "difference", "error", "within_noise",
    "better"}}}, "differs": {section: {dotted key: [A's, B's]}}, "notes": {section: text}}; null:
    missing or not known. `difference` is B - A, `error` its standard error, `better` "a" or "b".
    """
    configs: list[Any] = [_config(entry) for entry in (one, other)]
    unread = [
        f"{side} {config}"
        for side, config in zip(SIDES, configs, strict=True)
        if isinstance(config, str)
    ]
    mine, theirs = _sections(one), _sections(other)
    differs = {section: differences(mine[section], theirs[section]) for section in mine}
    directions = _directions(history, (one, other))
    metrics = {part: _metrics(one, other, part, directions) for part in PARTS}
    nothing = [] if any(metrics.values()) else ["there is no metric to compare"]
    notes = {"metrics": _about_metrics(one, other) + nothing, "config": unread}
    return {
        "a": one.id,
        "b": other.id,
        "metrics": metrics,
        "differs": {"config": {} if unread else differences(*configs)} | differs,
        "notes": {section: "; ".join(found) for section, found in notes.items() if found},
    }


def differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted key → (old, new) of every leaf in which two trees of plain data differ; a missing leaf
    is None. Where only the order of keys differs, that is the difference.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: dict[str, tuple[Any, Any]] = {}
        if list(old) != list(new) and set(old) == set(new):
            found[path] = (list(old), list(new))
        for key in dict.fromkeys([*old, *new]):
            found |= differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return found
    return {} if old == new else {path: (old, new)}


def _directions(history: History, entries: Iterable[Entry]) -> dict[str, Direction]:
    found: dict[str, Direction] = {}
    for entry in entries:
        with suppress(
            RegistryError
        ):  # stored by a manager that is not installed here: its metrics get no verdict
            found |= history.manager_of(entry).metrics
    return found


def _metrics(
    one: Entry, other: Entry, part: str, directions: Mapping[str, Direction]
) -> dict[str, dict[str, Any]]:
    """Compare the metrics of either entry or, where their tasks differ, of both."""
    mine, theirs = (entry.value(f"{part}.metrics", {}) for entry in (one, other))
    wanted = mine.keys() | theirs.keys() if one.task == other.task else mine.keys() & theirs.keys()
    names = [name for name in dict.fromkeys([*directions, *mine, *theirs]) if name in wanted]
    return {
        name: _metric(
            measurement(one, part, name), measurement(other, part, name), directions.get(name)
        )
        for name in names
    }


def _metric(a: Measured, b: Measured, direction: Direction | None) -> dict[str, Any]:
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


def _about_metrics(one: Entry, other: Entry) -> list[str]:
    notes = []
    if one.id == other.id:
        notes.append("A and B are the same entry")
    if one.task != other.task:
        notes.append(
            f"A is of task {one.task}, B of {other.task}: only metrics of both are compared"
        )
    for side, entry in zip(SIDES, (one, other), strict=True):
        if not any(entry.value(f"{part}.metrics") for part in PARTS):
            notes.append(f"{side} ({entry.status}) holds no metrics")
        if entry.value("validation.over") == "epochs":
            notes.append(
                f"the metrics of {side} are over the epochs of one training, not over refits"
            )
    return notes


def _config(entry: Entry) -> dict[str, Any] | str:
    """Return the settings that decide the result, of the entry's one pipeline; or, as text, why
    there are none.
    """
    if "config" not in entry.value("artefacts", {}):
        return "holds no config"
    try:
        root, _, sections = stored_config(entry)
    except ExperimentError as error:
        return f"holds no config that can be read: {error}"
    return _sorted(
        {key: value for key, value in root.items() if key not in SURROUNDINGS} | sections
    )


def _sections(entry: Entry) -> dict[str, dict[str, Any]]:
    environment = dict(entry.value("environment", {}))
    packages = {
        "python": environment.pop("python", None),
        **(environment.pop("packages", None) or {}),
    }
    code: dict[str, Any] = {"git": environment.pop("git", None) or {}}
    with suppress(HistoryError):  # damaged: `doctor` says so
        code["sources"] = entry.identity().get("sources", {})
    data = {key: entry.value(f"data.{key}") for key in ("source", "fingerprint", "shapes", "split")}
    search = {
        key: entry.value(f"search.{key}") for key in ("tuner", "objective", "oracle", "defaults")
    }
    parts = {
        "search": search,
        "values": entry.value("best.values", {}),
        "data": data,
        "packages": packages,
        "code": code,
    }
    return {
        section: _sorted(part) for section, part in (parts | {"environment": environment}).items()
    }


def _sorted(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section with its outermost keys in one order, since their own says nothing."""
    return dict(sorted(section.items(), key=lambda item: str(item[0])))
