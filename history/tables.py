"""What is shown of entries: a list, the best of each task, and the page of one entry."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from history.catalogue import History
from history.entry import Entry
from history.errors import ExperimentError, RegistryError
from history.ranking import Ranked
from history.text import (
    EntryRows,
    duration,
    fact_list,
    indented,
    local_time,
    measured,
    number,
    pairs,
    plain,
    rounded,
    text_table,
)

COLUMNS = ("id", "created", "experiment", "pipeline", "task", "status", "metric", "trials", "search")


def entry_list(history: History, entries: Iterable[Entry]) -> EntryRows:
    """Return a row per entry, each with its task's ranking metric."""
    return EntryRows(COLUMNS, [_row(entry, _ranking(history, entry)) for entry in entries])


def best_list(best: Mapping[str, tuple[str, list[Ranked]]]) -> EntryRows:
    """Return the first of each task's ranked entries; `best` maps task to (metric, ranked)."""
    rows = []
    for metric, (first, *others) in best.values():
        ties = ", ".join(other.entry.id for other in others if other.tied) or "-"
        rows.append((*_row(first.entry, metric), ties, pairs(first.entry.value("best.values", {}))))
    return EntryRows((*COLUMNS, "tied with", "best values"), rows)


def entry_page(history: History, entry: Entry) -> Group:
    """Return all that is known of one entry, in sections; what a failed entry lacks is left out."""
    sections: list[tuple[str, RenderableType | None]] = [
        ("Entry", fact_list(_identity(entry))),
        ("Error", _error(entry)),
        ("Search", fact_list(_search(entry))),
        ("Best values", fact_list(entry.value("best.values", {}))),
        ("Metrics", _metrics(history, entry)),
        _report(history, entry),
        ("Environment", fact_list(entry.value("environment", {}))),
        ("Artefacts", _artefacts(entry)),
    ]
    shown = [(title, body) for title, body in sections if body is not None]
    return Group(*(part for title, body in shown for part in (Text(plain(title), style="bold"), body, Text())))


def _row(entry: Entry, metric: str | None) -> tuple[str, ...]:
    mean = entry.metric(metric) if metric else None
    shown = f"{measured(mean, entry.deviation(metric or ''), entry.repeats)} {metric}"
    trials = f"{entry.value('search.trials.completed', '?')}/{entry.value('search.trials.total', '?')}"
    return (
        entry.id,
        local_time(entry.created),
        entry.experiment,
        entry.pipeline,
        entry.task,
        entry.status,
        "-" if mean is None else shown,
        trials if entry.value("search.trials") else "-",
        duration(entry.value("search.seconds")),
    )


def _ranking(history: History, entry: Entry) -> str | None:
    try:
        return history.manager_of(entry).ranking
    except RegistryError:  # stored by a manager that is not installed here: the rest can still be shown
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
    return {"id": entry.id, "created": local_time(entry.created), **{key: entry.value(key) for key in keys}}


def _search(entry: Entry) -> dict[str, Any]:
    seconds, score = entry.value("search.seconds"), entry.value("best.score")
    return {
        "tuner": entry.value("search.tuner"),
        "objective": " ".join(map(str, entry.value("search.objective", {}).values())),
        "parameters": entry.value("search.oracle"),
        "trials": entry.value("search.trials"),
        "time": None if seconds is None else duration(seconds),
        "best trial": entry.value("best.trial_id"),
        "best score": None if score is None else number(score),
    }


def _metrics(history: History, entry: Entry) -> Table | None:
    validation, test = entry.value("validation.metrics", {}), entry.value("test.metrics", {})
    if not validation and not test:
        return None
    try:
        order = list(history.manager_of(entry).metrics)
    except RegistryError:
        order = []
    names = [name for name in dict.fromkeys([*order, *validation, *test]) if name in validation or name in test]
    deviation = entry.value("test.deviation", {})
    rows = [
        (
            name,
            measured(entry.metric(name), entry.deviation(name), entry.repeats),
            measured(test.get(name), deviation.get(name), entry.repeats),
        )
        for name in names
    ]
    return text_table(("metric", f"validation ({entry.repeats} repeat{'s' * (entry.repeats != 1)})", "test"), rows)


def _report(history: History, entry: Entry) -> tuple[str, RenderableType | None]:
    if entry.status == "failed":
        return "Report", None
    try:
        report = history.manager_of(entry).report(entry)
    except ExperimentError as error:
        return "Report", indented(f"not available: {plain(error)}")
    return report.title.capitalize(), text_table(report.columns, [tuple(map(rounded, row)) for row in report.rows])


def _artefacts(entry: Entry) -> Table | None:
    artefacts = entry.value("artefacts", {})
    rows = [(name, str(facts["path"]), f"{facts['bytes']:,}") for name, facts in artefacts.items()]
    return text_table(("artefact", f"path in {entry.root}", "bytes"), rows) if rows else None


def _error(entry: Entry) -> Padding | None:
    if not entry.value("error"):
        return None
    kind, stage = entry.value("error.type", "error"), entry.value("error.stage", "an unknown stage")
    return indented(plain(f"{kind} in {stage}: {entry.value('error.message', '')}", newlines=True), style="red")
