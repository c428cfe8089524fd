"""What is shown of entries: a list, the best of each task, the page of one, and two compared."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from history.catalogue import History
from history.entry import Entry
from history.errors import ExperimentError, InputError, RegistryError, suggest
from history.escape import printable
from history.files import Json
from history.ranking import Ranked
from history.registry import manager_class
from history.trees import flat
from history.view.frame import columns_of
from history.view.text import (
    EntryRows,
    fact_list,
    indented,
    local_time,
    measured,
    number,
    pairs,
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
IDENTITY = (
    "id",
    "created",
    "experiment",
    "run_id",
    "pipeline",
    "task",
    "manager",
    "status",
    "seed",
    "fingerprint",
    "overrides",
    "origin",
)
SEARCH = (
    "search.tuner",
    "search.objective",
    "search.oracle",
    "search.trials",
    "search.seconds",
    "best.trial_id",
    "best.score",
)
VERDICTS = {True: "within noise", False: "beyond noise", None: "noise unknown"}

Section = tuple[str, RenderableType | None]


def entry_list(entries: Sequence[Entry], columns: Sequence[str]) -> EntryRows:
    """Return a row per entry with the columns named: some of COLUMNS, or dotted keys of the
    documents.

    Raises InputError for a key that no entry has.
    """
    _check(columns, entries)
    return EntryRows(columns, [_row(entry, columns, _shown_metric(entry)) for entry in entries])


def in_order(entries: Sequence[Entry], column: str, reverse: bool) -> list[Entry]:
    """Return the entries sorted by a column, named as for `entry_list`; those without a value last,
    either way.
    """
    _check([column], entries)
    keys = {entry.id: _sort_key(entry, column) for entry in entries}
    ordered = sorted(entries, key=lambda entry: keys[entry.id], reverse=reverse)
    return sorted(ordered, key=lambda entry: not keys[entry.id])


def best_list(best: Mapping[str, tuple[str, list[Ranked]]]) -> Group:
    """Return the first of each task's ranked entries, then their values; `best` maps task to
    (metric, ranked).
    """
    rows, values = [], {}
    for metric, ranked in best.values():
        entry = ranked[0].entry
        tied = [place.entry.id for place in ranked[1:] if place.tied]
        shown = tied if len(tied) < 4 else [*tied[:3], f"{len(tied) - 3} more"]
        rows.append([*_row(entry, COLUMNS, metric), ", ".join(shown) or "-"])
        values[entry.id] = entry.value("best.values")
    table = EntryRows((*COLUMNS, "tied with"), rows)
    return Group(table, Text(), _page([("Best values", fact_list(values))]))


def entry_page(history: History, entry: Entry) -> Group:
    """Return all that is known of one entry, in sections; what a failed entry lacks is left out."""
    facts = {key: entry.value(key) for key in IDENTITY} | {"created": local_time(entry.created)}
    search = {key: entry.value(key) for key in SEARCH}
    metrics = [
        (name, measured(entry, "validation", name), measured(entry, "test", name))
        for name in entry.value("validation.metrics", {}) | entry.value("test.metrics", {})
    ]
    artefacts = {
        name: f"{file['path']}, {file['bytes']:,} bytes"
        for name, file in entry.value("artefacts", {}).items()
    }
    return _page(
        [
            ("Entry", fact_list(facts)),
            ("Error", fact_list(entry.value("error", {}))),
            ("Notes", indented("\n".join(map(str, entry.value("notes", []))))),
            ("Search", fact_list(search)),
            ("Best values", fact_list(entry.value("best.values", {}))),
            (
                "Metrics",
                text_table(("metric", f"validation (repeats: {entry.repeats})", "test"), metrics),
            ),
            _report(history, entry),
            ("Environment", fact_list(entry.value("environment", {}))),
            ("Artefacts", fact_list(artefacts)),
        ]
    )


def comparison_page(one: Entry, other: Entry, found: Mapping[str, Json]) -> Group:
    """Return what `compare` found of two entries, in sections."""
    notes = found["notes"]
    sections: list[Section] = [
        ("Entries", fact_list({"A": _row(one, COLUMNS[:6]), "B": _row(other, COLUMNS[:6])})),
        ("Metrics", indented(notes.get("metrics", ""))),
    ]
    for part, metrics in found["metrics"].items():
        rows = [
            (
                name,
                measured(one, part, name),
                measured(other, part, name),
                *_verdict(facts),
            )
            for name, facts in metrics.items()
        ]
        columns = ("metric", "A", "B", "B - A ± error", "verdict")
        sections.append((part.capitalize(), text_table(columns, rows)))
    for section, keys in found["differs"].items():
        differing = [(key, pairs(a), pairs(b)) for key, (a, b) in keys.items()]
        same = indented(notes.get(section, "nothing differs"))
        body = text_table(("key", "A", "B"), differing) if differing else same
        sections.append((section.capitalize(), body))
    return _page(sections)


def _page(sections: Sequence[Section]) -> Group:
    """Return the sections that have a content, each under its title."""
    parts: list[RenderableType] = []
    for title, body in sections:
        if body is not None and not (isinstance(body, Table) and not body.rows):
            parts += [Text(printable(title), style="bold"), body, Text()]
    return Group(*parts)


def _check(columns: Sequence[str], entries: Sequence[Entry]) -> None:
    for column in columns:
        if column not in COLUMNS and all(entry.value(column) is None for entry in entries):
            keys = columns_of([flat(entry.document) for entry in entries[-100:]])
            raise InputError(
                f"no entry has a column {column!r}{suggest(column, [*COLUMNS, *keys])} (known: "
                f"{', '.join(COLUMNS)}, and the dotted keys of entries, such as search.tuner)"
            )


def _row(entry: Entry, columns: Sequence[str], metric: str | None = None) -> list[str]:
    return [_cell(entry, column, metric) for column in columns]


def _cell(entry: Entry, column: str, metric: str | None) -> str:
    match column:
        case "created":
            return local_time(entry.created)
        case "status":
            return f"{entry.status} (imported)" if entry.imported else entry.status
        case "metric":
            value = measured(entry, "validation", metric or "")
            return value if value == "-" else f"{value} {metric}"
        case "trials":
            trials = entry.value("search.trials")
            return f"{trials.get('completed', '?')}/{trials.get('total', '?')}" if trials else "-"
        case "search":
            seconds = entry.value("search.seconds")
            return f"{seconds:.1f} s" if isinstance(seconds, int | float) else "-"
    value = entry.value(column)
    return number(value) if isinstance(value, float) else pairs(value)


def _sort_key(entry: Entry, column: str) -> tuple[Json, ...]:
    """Return what numbers and then texts sort by; nothing for what is missing."""
    if column == "metric":
        value = entry.metric(_shown_metric(entry) or "")
    else:
        value = entry.value(SORTED_BY.get(column, column))
    if value is None:
        return ()
    return (0, value) if isinstance(value, int | float) else (1, pairs(value))


def _shown_metric(entry: Entry) -> str | None:
    """Return the name of the metric to show of an entry: its manager's or, where it lacks that or
    the manager is not installed, the first it has.
    """
    metrics = entry.value("validation.metrics", {})
    with suppress(RegistryError):
        if (ranking := manager_class(entry.manager or entry.task).ranking) in metrics:
            return ranking
    return next(iter(metrics), None)


def _report(history: History, entry: Entry) -> Section:
    if entry.status == "failed" or not entry.value("validation"):
        return "Report", None
    try:
        report = history.manager_of(entry).report(entry)
    except ExperimentError as error:
        return "Report", indented(f"not available: {error}")
    rows = [[rounded(cell) for cell in row] for row in report.rows]
    return report.title.capitalize(), text_table(report.columns, rows)


def _verdict(facts: Mapping[str, Json]) -> tuple[str, str]:
    """Return what `compare` says of a metric: the difference with its error, and in words."""
    difference = facts["difference"]
    if difference is None:
        return "-", "-"
    error = "" if facts["error"] is None else f" ± {number(facts['error'])}"
    verdict = VERDICTS[facts["within_noise"]]
    if facts["better"]:
        verdict = f"{facts['better'].upper()} better, {verdict}"
    return f"{'+' if difference > 0 else ''}{number(difference)}{error}", verdict
