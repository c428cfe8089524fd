"""The tables that a run, a sweep or a reproduction ends with, on stdout."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from history.entry import Entry
from history.escape import printable
from history.manager import HistoryManager
from history.view.text import EntryRows, measured, number, render, text_table
from runner.errors import short

if TYPE_CHECKING:
    from runner.run.reproduce import Verdict

# What a table says of its noise, by the number of seeds.
NOISE = {0: "", 1: "one seed each: how large the noise is, is not known (validation.repeats)"}
OF_SEEDS = "mean ± deviation over seeds; tied: within twice the standard error of the difference"


def comparison(
    manager: HistoryManager, entries: Sequence[Entry], metric: str, run_id: str
) -> Group:
    """Return the pipelines of one task, best first: metrics as mean ± deviation over the repeats on
    the validation rows, and the ranking metric on the test rows too. An entry of another run than
    `run_id` was reused.
    """
    others = [name for name in manager.metrics if name != metric]
    rows = []
    for place, ranked in enumerate(manager.rank(entries, metric), start=1):
        entry, trials = ranked.entry, ranked.entry.value("search.trials", {})
        value = measured(entry, "validation", metric)
        rows.append(
            (
                f"{place if ranked.mean is not None else '-'} {entry.pipeline}",
                f"{value} (tied)" if ranked.tied else value,
                measured(entry, "test", metric),
                *(measured(entry, "validation", name) for name in others),
                f"{trials.get('completed', 0)}/{trials.get('total', 0)}",
                entry.status if entry.run_id == run_id else "reused",
                entry.id,
            )
        )
    columns = ("pipeline", metric, f"test {metric}", *others, "trials", "status", "entry")
    noise = NOISE.get(max(entry.repeats for entry in entries), OF_SEEDS)
    return Group(
        Text(f"{manager.task}, best first by {metric}", style="bold"),
        EntryRows(columns, rows),
        Text(noise, style="dim"),
    )


def sweep(jobs: Mapping[str, Mapping[str, Any]]) -> Group:
    """Return a row for each job of a sweep: what it was given, how it ended, its entries."""
    rows = [
        (
            name,
            " ".join(result.get("overrides", [])),
            str(result["exit_code"]),
            (", ".join(result.get("entries", {}).values()) or "-")
            + (" (taken over)" if result.get("taken_over") else ""),
            str(result.get("error") or "-").splitlines()[0],
        )
        for name, result in jobs.items()
    ]
    columns = ("job", "overrides", "exit code", "entries", "error")
    return Group(Text("jobs of the sweep", style="bold"), EntryRows(columns, rows))


def reproduction(verdict: "Verdict") -> Group:
    """Return what came of running an entry again: the means then and now, and what differs."""
    rows = []
    for part, name, then, now in verdict.metrics:
        gap = None if then is None or now is None else abs(now - then)
        rows.append((part, name, number(then), number(now), number(gap)))
    said = {
        "compared: ": verdict.compared,
        "first difference: ": verdict.first,
        "metrics of one side only, which decide nothing: ": ", ".join(verdict.apart) or None,
        "as then: ": ", ".join(verdict.same) or "nothing",
        "what differs from then": "" if verdict.differs else None,
    }
    lines = [f"{head}{text}" for head, text in said.items() if text is not None]
    changes = verdict.differs.items()
    lines += [f"  {key}: {short(before)} → {short(after)}" for key, (before, after) in changes]
    return Group(
        text_table(("part", "metric", "stored", "now", "difference"), rows),
        Text(f"{verdict.reproduces}: {verdict.kind}", style="bold"),
        *(Text(printable(line)) for line in lines),
    )


def show(content: Group) -> None:
    """Print a table on stdout: everything that a run shows goes through here."""
    print(render(content), flush=True)
