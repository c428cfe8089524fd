"""The tables that a run, a sweep or a reproduction ends with, on stdout."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from foundation import escape
from history import Entry, manager, ranking
from history.view.page import Page, Part, Section, Table, Text
from history.view.terminal import render
from history.view.text import (
    duration,
    measured,
    not_better,
    number,
    shown,
)
from runner.errors import short

if TYPE_CHECKING:
    from runner.run.reproduce import Verdict

# What a table says of its noise, by the number of seeds.
NOISE = {0: "", 1: "one seed each, so the noise is unknown: see validation.repeats"}
OF_SEEDS = "mean ± deviation over seeds; =: tied, within twice the standard error of the difference"


def comparison(
    of: manager.HistoryManager, entries: Sequence[Entry], metric: str, run_id: str
) -> Page:
    """Return the pipelines of one task, best first: metrics as mean ± deviation over the repeats on
    the validation rows, and the ranking metric on the test rows too, beside the best baseline;
    below one whose stored model is the mean of its refits, what that comes to; below them which are
    doubted, and which do not beat a baseline. What none has is left out. An entry of another run
    than `run_id` was reused.
    """
    directions = of.directions(entries)
    direction = directions.get(metric) or "max"  # unknown where all have failed
    names = {name for entry in entries for name in entry.validation.metrics}
    others = [name for name in directions if name != metric and name in names]
    rows = []
    for position, ranked in enumerate(ranking.rank(entries, metric, direction), start=1):
        entry = ranked.entry
        result = [
            *_headline(position, ranked, metric),
            number(entry.metric(metric, "test")),
            _baseline(entry, metric, direction),
            _time(entry, run_id),
            entry.id,
        ]
        result += [measured(entry, "validation", name) for name in others]
        result.append(_trials(entry))
        rows.append(result)
        if entry.ensemble:
            rows.append(_mean_of_refits(entry, metric, others))
    columns = ["pipeline", metric, "test", "baseline", "time", "entry", *others, "trials"]
    parts: list[Part] = [_without_empty_columns(columns, rows)]
    doubts = _doubts(entries, metric, direction)
    if doubts:
        parts.append(Text("\n".join(doubts)))
    seeds = max(entry.repeats for entry in entries)
    parts.append(Text(NOISE.get(seeds, OF_SEEDS), style="dim"))
    return Page([Section(f"{of.task}, best first by {metric}", parts)])


def _headline(position: int, ranked: ranking.Ranked, metric: str) -> tuple[str, str]:
    """Return the position and name of a pipeline, and its ranking metric or how it ended."""
    entry = ranked.entry
    if ranked.mean is None:
        return f"- {entry.pipeline}", entry.status
    tie = "=" if ranked.tied else ""
    return f"{position}{tie} {entry.pipeline}", measured(entry, "validation", metric)


def _baseline(entry: Entry, metric: str, direction: ranking.Direction) -> str:
    best = ranking.baseline(entry, metric, direction)
    return f"{number(best[1])} {best[0]}" if best else "-"


def _time(entry: Entry, run_id: str) -> str:
    if entry.run_id != run_id:
        return "reused"
    return duration(sum(entry.timings.values()))


def _trials(entry: Entry) -> str:
    counts = entry.search.trials
    trials = f"{counts.completed}/{counts.total or 0}"
    return trials if entry.status == "complete" else f"{trials} ({entry.status})"


def _mean_of_refits(entry: Entry, metric: str, others: Sequence[str]) -> list[str]:
    """Return the row of the mean of an entry's refits, which is below the entry's own."""
    row = [f"  mean of {entry.repeats}"]
    row += [number(entry.metric(metric, "ensemble", part)) for part in ranking.PARTS]
    row += ["-", "-", "-"]
    row += [number(entry.metric(name, "ensemble", "validation")) for name in others]
    row.append("-")
    return row


def _without_empty_columns(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    known = [n for n in range(len(columns)) if {row[n] for row in rows} != {"-"}]
    return Table([columns[n] for n in known], [[row[n] for n in known] for row in rows])


def _doubts(entries: Sequence[Entry], metric: str, direction: ranking.Direction) -> list[str]:
    """Return the warnings of entries, then what is said of those that beat no baseline."""
    doubts = []
    for entry in entries:
        warning = entry.validation.warning
        if warning:
            doubts.append(f"{entry.pipeline}: {warning}")
    for entry in entries:
        beaten = not_better(entry, metric, direction)
        if beaten:
            doubts.append(beaten)
    return doubts


def sweep(came_to: Mapping[str, Any]) -> Page:
    """Return a row for each job of a sweep: what tells it from the others, the score of each
    pipeline, how it ended; then the configurations over their seeds, if they have several; then
    which is best.
    """
    configurations = came_to["configurations"]
    title = f"jobs of the sweep {came_to['sweep']}"
    jobs = _jobs(came_to["jobs"], configurations)
    verdicts: list[Part] = []
    for each in configurations:
        if each["best"]:
            verdicts.append(Text(escape.printable(_verdict(each, configurations))))
    if not any(each["seeds"] > 1 for each in configurations):
        return Page([Section(title, [jobs, *verdicts])])
    over_seeds = [_configurations(configurations), *verdicts]
    return Page([Section(title, [jobs]), Section("configurations, best first", over_seeds)])


def _jobs(jobs: Sequence[Mapping[str, Any]], configurations: Sequence[Mapping[str, Any]]) -> Table:
    pipelines = dict.fromkeys((each["pipeline"], each["metric"]) for each in configurations)
    varied = list(jobs[0]["given"]) if jobs else []
    rows = []
    for job in jobs:
        row = [str(job["job"])]
        row += [job["given"][key] or "-" for key in varied]
        row += [_score(job["scores"].get(name)) for name, _ in pipelines]
        row.append(_ended(job))
        rows.append(row)
    columns = ["job", *varied, *map(" ".join, pipelines), "status"]
    return Table(columns, rows, folds=True)


def _configurations(configurations: Sequence[Mapping[str, Any]]) -> Table:
    keys = list(dict.fromkeys(key for each in configurations for key in each["given"]))
    rows = []
    for each in configurations:
        tie = " (tied)" if each["tied"] else ""
        row = [each["pipeline"]]
        row += [each["given"].get(key) or "-" for key in keys]
        row += [each["metric"], f"{_score(each)}{tie}", str(each["seeds"])]
        rows.append(row)
    columns = ["pipeline", *keys, "metric", "mean ± deviation over seeds", "seeds"]
    return Table(columns, rows, folds=True)


def _score(score: Mapping[str, Any] | None) -> str:
    return shown(ranking.Score(**score["validation"])) if score else "-"


def _ended(job: Mapping[str, Any]) -> str:
    if job["status"] == "failed":
        return f"failed: {job['error'] or 'exit code {exit_code}'.format(**job)}".splitlines()[0]
    return f"{job['status']}{' (taken over)' if job.get('taken_over') else ''}"


def _verdict(best: Mapping[str, Any], configurations: Sequence[Mapping[str, Any]]) -> str:
    """Say which configuration is best by a metric, and which cannot be told from it."""
    named = {
        " ".join([each["pipeline"], *(f"{key}={value}" for key, value in each["given"].items())]): (
            each["tied"]
        )
        for each in configurations
        if each["metric"] == best["metric"]
    }
    said = f"best by {best['metric']}: {next(iter(named))}, {_score(best)}"
    if best["seeds"] > 1:
        said += f" over {best['seeds']} seeds"
    if tied := [name for name, is_tied in named.items() if is_tied]:
        said += f"; within noise of it: {', '.join(tied)}"
    if None in named.values():
        said += "; the noise is unknown (seed=1,2,3 or validation.repeats shows it)"
    return said


def reproduction(verdict: "Verdict") -> Page:
    """Return what came of running an entry again: the means then and now, and what differs."""
    rows = []
    for part, name, then, now in verdict.metrics:
        difference = None if then is None or now is None else abs(now - then)
        rows.append([part, name, number(then), number(now), number(difference)])
    columns = ("part", "metric", "stored", "now", "difference")
    lines = [escape.printable(line) for line in _differences(verdict)]
    parts: list[Part] = [
        Table(columns, rows, folds=True),
        Text(f"{verdict.reproduces}: {verdict.kind}", style="bold"),
        Text("\n".join(lines)),
    ]
    return Page([Section("", parts)])


def _differences(verdict: "Verdict") -> list[str]:
    """Return what was compared, and what is the same and another since then, line by line."""
    lines = [f"compared: {verdict.compared}"]
    if verdict.first is not None:
        lines.append(f"first difference: {verdict.first}")
    if verdict.apart:
        lines.append(f"metrics that only one side has (ignored): {', '.join(verdict.apart)}")
    lines.append(f"unchanged: {', '.join(verdict.same) or 'nothing'}")
    if verdict.differs:
        lines.append("changed since then")
    for key, (then, now) in verdict.differs.items():
        lines.append(f"  {key}: {short(then)} → {short(now)}")
    return lines


def show(content: Page) -> None:
    """Print a page on stdout: everything that a run shows goes through here."""
    print(render(content), flush=True)
