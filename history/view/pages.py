"""What is shown of entries: a list, the best of each task, and the page of one entry."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from history.catalogue import History
from history.entry import Entry
from history.errors import ExperimentError, InputError, RegistryError, suggest
from history.ranking import PARTS, Measured, Ranked, measurement
from history.registry import manager_class
from history.view.frame import columns_of, flat
from history.view.text import (
    EntryRows,
    duration,
    fact_list,
    indented,
    local_time,
    measured,
    number,
    pairs,
    printable,
    rounded,
    text_table,
)

COLUMNS = (
    "id",
    "created",
    "experiment",
    "pipeline",
    "task",
    "status",
    "metric",
    "trials",
    "search",
)
SORTED_BY = {"trials": "search.trials.completed", "search": "search.seconds"}


def entry_list(entries: Sequence[Entry], columns: Sequence[str] = COLUMNS) -> EntryRows:
    """Return a row per entry with the columns named: some of COLUMNS, or dotted keys of the
    documents.

    Raises InputError for a key that no entry has.
    """
    _check(columns, entries)
    metric = _metric_names()
    return EntryRows(columns, [_row(entry, columns, metric(entry)) for entry in entries])


def in_order(entries: Sequence[Entry], column: str, reverse: bool = False) -> list[Entry]:
    """Return the entries sorted by a column, named as for `entry_list`; those without a value last,
    either way.
    """
    _check([column], entries)
    metric, key = _metric_names(), SORTED_BY.get(column, column)
    values = [
        entry.metric(metric(entry) or "") if key == "metric" else entry.value(key)
        for entry in entries
    ]
    keyed = [(_sort_key(value), entry) for value, entry in zip(values, entries, strict=True)]
    known = sorted((pair for pair in keyed if pair[0]), key=itemgetter(0), reverse=reverse)
    return [entry for _, entry in known] + [entry for key, entry in keyed if not key]


def best_list(best: Mapping[str, tuple[str, list[Ranked]]]) -> EntryRows:
    """Return the first of each task's ranked entries, its values below; `best` maps task to
    (metric, ranked).
    """
    firsts = [(metric, ranked[0].entry, _ties(ranked)) for metric, ranked in best.values()]
    rows = [(*_row(entry, COLUMNS, metric), ties) for metric, entry, ties in firsts]
    below = [f"best values: {pairs(entry.value('best.values', {}))}" for _, entry, _ in firsts]
    return EntryRows((*COLUMNS, "tied with"), rows, below)


def entry_page(history: History, entry: Entry) -> Group:
    """Return all that is known of one entry, in sections; what a failed entry lacks is left out."""
    sections: list[tuple[str, RenderableType | None]] = [
        ("Entry", fact_list(_identity(entry))),
        ("Error", _error(entry)),
        ("Notes", _notes(entry)),
        ("Search", fact_list(_search(entry))),
        ("Best values", fact_list(entry.value("best.values", {}))),
        ("Metrics", _metrics(history, entry)),
        _report(history, entry),
        ("Environment", fact_list(entry.value("environment", {}))),
        ("Artefacts", _artefacts(entry)),
    ]
    return _page(sections)


def comparison_page(one: Entry, other: Entry, found: Mapping[str, Any]) -> Group:
    """Return what `compare` found of two entries, in sections."""
    sections: list[tuple[str, RenderableType | None]] = [
        ("Entries", fact_list({"A": _heading(one), "B": _heading(other)})),
        (
            "Metrics",
            indented(printable(found["notes"]["metrics"])) if "metrics" in found["notes"] else None,
        ),
    ]
    for part, metrics in found["metrics"].items():
        rows = [
            (name, *_compared(one, other, part, name, facts)) for name, facts in metrics.items()
        ]
        columns = ("metric", "A", "B", "B - A ± error", "verdict")
        sections.append((part.capitalize(), EntryRows(columns, rows) if rows else None))
    for section, keys in found["differs"].items():
        rows = [(key, *map(pairs, values)) for key, values in keys.items()]
        nothing = indented(printable(found["notes"].get(section, "nothing differs")))
        sections.append(
            (section.capitalize(), EntryRows(("key", "A", "B"), rows) if rows else nothing)
        )
    return _page(sections)


def _page(sections: Sequence[tuple[str, RenderableType | None]]) -> Group:
    shown = [(title, body) for title, body in sections if body is not None]
    return Group(
        *(
            part
            for title, body in shown
            for part in (Text(printable(title), style="bold"), body, Text())
        )
    )


def _check(columns: Sequence[str], entries: Sequence[Entry]) -> None:
    for column in columns:
        if column not in COLUMNS and all(entry.value(column) is None for entry in entries):
            keys = columns_of([flat(entry.document) for entry in entries[-100:]])
            raise InputError(
                f"no entry has a column {column!r}{suggest(column, [*COLUMNS, *keys])} "
                f"(known: {', '.join(COLUMNS)}, and the dotted keys of entries, such as search.tuner)"
            )


def _row(entry: Entry, columns: Sequence[str], metric: str | None) -> tuple[str, ...]:
    return tuple(_cell(entry, column, metric) for column in columns)


def _cell(entry: Entry, column: str, metric: str | None) -> str:
    match column:
        case "created":
            return local_time(entry.created)
        case "status":
            return _status(entry)
        case "metric":
            return _metric(entry, metric)
        case "trials":
            trials = entry.value("search.trials")
            return f"{trials.get('completed', '?')}/{trials.get('total', '?')}" if trials else "-"
        case "search":
            return duration(entry.value("search.seconds"))
    value = entry.value(column)
    return number(value) if isinstance(value, float) else pairs(value)


def _sort_key(value: Any) -> tuple[Any, ...]:
    """Return what numbers and then texts sort by; nothing for what is missing or not a number."""
    if value is None or value != value:
        return ()
    return (0, value) if isinstance(value, int | float) else (1, pairs(value))


def _status(entry: Entry) -> str:
    return f"{entry.status} (imported)" if entry.imported else entry.status


def _metric(entry: Entry, name: str | None) -> str:
    mean = entry.metric(name) if name else None
    return (
        "-"
        if mean is None
        else f"{measured(mean, entry.deviation(name or ''), entry.repeats)} {name}"
    )


def _ties(ranked: Sequence[Ranked]) -> str:
    ids = [place.entry.id for place in ranked[1:] if place.tied]
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return ", ".join(ids[:3]) + more or "-"


def _metric_names() -> Callable[[Entry], str | None]:
    """Return what names an entry's metric to show: its task's, or what comes nearest, over
    validation rows if any.
    """
    rankings = cache(_ranking)

    def name(entry: Entry) -> str | None:
        ranking, metrics = (
            rankings(entry.manager or entry.task),
            entry.value("validation.metrics", {}),
        )
        if ranking in metrics:
            return ranking
        return min(
            metrics,
            key=lambda name: (not name.endswith(ranking or ""), "val_" not in name),
            default=None,
        )

    return name


def _ranking(manager: str) -> str | None:
    try:
        return manager_class(manager).ranking
    except (
        RegistryError
    ):  # stored by a manager that is not installed here: the rest can still be shown
        return None


def _identity(entry: Entry) -> dict[str, Any]:
    keys = [
        "experiment",
        "run_id",
        "pipeline",
        "task",
        "manager",
        "status",
        "seed",
        "fingerprint",
        "overrides",
    ]
    origin = entry.value("origin") if entry.imported else None
    facts = {key: entry.value(key) for key in keys}
    return {"id": entry.id, "created": local_time(entry.created), **facts, "origin": origin}


def _search(entry: Entry) -> dict[str, Any]:
    seconds, score = entry.value("search.seconds"), entry.value("best.score")
    return {
        "tuner": entry.value("search.tuner"),
        "objective": " ".join(map(str, entry.value("search.objective", {}).values())),
        "parameters": entry.value("search.oracle"),
        "defaults": entry.value("search.defaults"),
        "trials": entry.value("search.trials"),
        "time": None if seconds is None else duration(seconds),
        "best trial": entry.value("best.trial_id"),
        "best score": None if score is None else number(score),
    }


def _metrics(history: History, entry: Entry) -> Table | None:
    validation, test = entry.value("validation.metrics", {}), entry.value("test.metrics", {})
    try:
        order = list(history.manager_of(entry).metrics)
    except RegistryError:
        order = []
    names = [
        name
        for name in dict.fromkeys([*order, *validation, *test])
        if name in validation or name in test
    ]
    rows = [
        (name, *(_measured(measurement(entry, part, name)) for part in PARTS)) for name in names
    ]
    over, of_test = f" ({entry.repeats} repeat{'s' * (entry.repeats != 1)})", ""
    if entry.value("validation.over") == "epochs":
        over = of_test = " (over epochs)"
    return text_table(("metric", f"validation{over}", f"test{of_test}"), rows) if rows else None


def _measured(found: Measured) -> str:
    return measured(found.mean, found.deviation, found.repeats)


def _report(history: History, entry: Entry) -> tuple[str, RenderableType | None]:
    if entry.status == "failed" or (entry.imported and entry.value("validation.kept") is None):
        return "Report", None
    try:
        report = history.manager_of(entry).report(entry)
    except ExperimentError as error:
        return "Report", indented(f"not available: {printable(error)}")
    return report.title.capitalize(), text_table(
        report.columns, [tuple(map(rounded, row)) for row in report.rows]
    )


def _artefacts(entry: Entry) -> Table | None:
    artefacts = entry.value("artefacts", {})
    rows = [(name, str(facts["path"]), f"{facts['bytes']:,}") for name, facts in artefacts.items()]
    return text_table(("artefact", f"path in {entry.root}", "bytes"), rows) if rows else None


def _error(entry: Entry) -> Padding | None:
    if not entry.value("error"):
        return None
    kind, stage = entry.value("error.type", "error"), entry.value("error.stage", "an unknown stage")
    return indented(
        printable(f"{kind} in {stage}: {entry.value('error.message', '')}", newlines=True),
        style="red",
    )


def _notes(entry: Entry) -> Padding | None:
    notes = entry.value("notes")
    return indented(printable("\n".join(map(str, notes)), newlines=True)) if notes else None


def _heading(entry: Entry) -> str:
    return f"{entry.id}: {entry.experiment}/{entry.pipeline}, {entry.task}, {_status(entry)}, {local_time(entry.created)}"


def _compared(
    one: Entry, other: Entry, part: str, name: str, facts: Mapping[str, Any]
) -> tuple[str, ...]:
    difference, error = facts["difference"], facts["error"]
    sides = (_measured(measurement(entry, part, name)) for entry in (one, other))
    if difference is None:
        return (*sides, "-", "-")
    better = (
        f"{facts['better'].upper()} better, "
        if facts["better"]
        else "equal, "
        if not difference
        else ""
    )
    noise = {True: "within noise", False: "beyond noise", None: "noise unknown"}[
        facts["within_noise"]
    ]
    spread = "" if error is None else f" ± {number(error)}"
    return (*sides, f"{'+' * (difference > 0)}{number(difference)}{spread}", better + noise)
