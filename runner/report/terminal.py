"""The tables that a run ends with, on stdout."""

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from history.entry import Entry
from history.manager import HistoryManager
from history.view.text import EntryRows, measured, printable, render


def comparison(
    manager: HistoryManager, entries: Sequence[Entry], metric: str, reused: Collection[str] = ()
) -> Group:
    """The pipelines of one task, best first: metrics as mean ± deviation over the repeats on the
    validation rows, and the ranking metric on the test rows too. `reused` are the ids of entries
    that earlier runs made.
    """
    others = [name for name in manager.metrics if name != metric]
    rows = []
    for place, ranked in enumerate(manager.rank(entries, metric), start=1):
        entry = ranked.entry
        rows.append(
            (
                f"{place if ranked.mean is not None else '-'} {entry.pipeline}",
                _value(entry, "validation", metric) + (" (tied)" if ranked.tied else ""),
                _value(entry, "test", metric),
                *(_value(entry, "validation", name) for name in others),
                f"{entry.value('search.trials.completed', 0)}/{entry.value('search.trials.total', 0)}",
                "reused" if entry.id in reused else entry.status,
                entry.id,
            )
        )
    columns = ("pipeline", metric, f"test {metric}", *others, "trials", "status", "entry")
    title = Text(f"{manager.task}, best first by {metric}", style="bold")
    return Group(title, EntryRows(columns, rows), Text(_about_noise(entries), style="dim"))


def sweep(jobs: Sequence[tuple[str, Mapping[str, Any]]]) -> Group:
    """A row for each job of a sweep: what it was given, how it ended, its entries."""
    rows = []
    for name, result in jobs:
        error = str(result.get("error") or "").splitlines()
        entries = ", ".join(result.get("entries", {}).values())
        rows.append(
            (
                name,
                " ".join(result.get("overrides", [])),
                str(result["exit_code"]),
                entries or "-",
                error[0] if error else "-",
            )
        )
    columns = ("job", "overrides", "exit code", "entries", "error")
    return Group(Text("jobs of the sweep", style="bold"), EntryRows(columns, rows))


def show(content: Group) -> None:
    """Prints a table on stdout."""
    sys.stdout.write(f"{render(content)}\n")
    sys.stdout.flush()


def _about_noise(entries: Sequence[Entry]) -> str:
    repeats = {entry.repeats for entry in entries if entry.status != "failed"}
    if repeats and max(repeats) == 1:
        return "one seed each: how large the noise is, is not known (validation.repeats)"
    return (
        "mean ± deviation over seeds; tied: within twice the standard error of the difference"
        if repeats
        else ""
    )


def _value(entry: Entry, part: str, metric: str) -> str:
    mean = entry.value(f"{part}.metrics", {}).get(metric)
    return printable(
        measured(mean, entry.value(f"{part}.deviation", {}).get(metric), entry.repeats)
    )
