"""The tables that a run, a sweep or a reproduction ends with, on stdout."""

from collections.abc import Sequence

from foundation import escape
from foundation.files import JsonObject
from history import Entry, manager, ranking
from history.view.page import Page, Part, Section, Table, Text
from history.view.terminal import render
from history.view.text import (
    best_baseline,
    duration,
    measured,
    not_better,
    number,
    shown,
)

# What a table says of its noise, by the number of seeds.
NOISE = {0: "", 1: "one seed each, so the noise is unknown: see validation.repeats"}
OF_SEEDS = "mean ± deviation over seeds; =: tied, within twice the standard error of the difference"


def comparison(
    of: manager.HistoryManager, entries: Sequence[Entry], metric: str, run_id: str
) -> Page:
    """Return the pipelines of one task, best first: metrics as mean ± deviation over the repeats on
    the validation rows, the ranking metric on the test rows, and the best baseline. Below a
    pipeline whose stored model is the mean of its refits are that model's metrics; below the table,
    warnings and pipelines that do not beat a baseline. Empty columns are left out.

    Arguments: `run_id`, of this run; an entry of another one was reused.
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
            best_baseline(entry, metric, direction),
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
    kept = [column for column in zip(columns, *rows, strict=True) if set(column[1:]) != {"-"}]
    names, *cells = zip(*kept, strict=True)
    return Table(names, cells)


def _doubts(entries: Sequence[Entry], metric: str, direction: ranking.Direction) -> list[str]:
    """Return the warnings of entries, then which of them beat no baseline."""
    warned = [entry for entry in entries if entry.validation.warning]
    doubts = [f"{entry.pipeline}: {entry.validation.warning}" for entry in warned]
    beaten = [not_better(entry, metric, direction) for entry in entries]
    return doubts + list(filter(None, beaten))


def sweep(outcome: JsonObject) -> Page:
    """Return a row for each job of a sweep: what it varies, the score of each pipeline, and how it
    ended; then the configurations over their seeds, if they have several; then which is best.
    """
    configurations = outcome["configurations"]
    jobs = _jobs(outcome["jobs"], configurations)
    title = f"jobs of the sweep {outcome['sweep']}"
    verdicts: list[Part] = []
    has_seeds = False
    for configuration in configurations:
        has_seeds = has_seeds or configuration["seeds"] > 1
        if configuration["best"]:
            verdicts.append(Text(escape.printable(_verdict(configuration, configurations))))
    if not has_seeds:
        return Page([Section(title, [jobs, *verdicts])])
    over_seeds = [_configurations(configurations), *verdicts]
    return Page([Section(title, [jobs]), Section("configurations, best first", over_seeds)])


def _jobs(jobs: Sequence[JsonObject], configurations: Sequence[JsonObject]) -> Table:
    pipelines = {
        f"{item['pipeline']} {item['metric']}": item["pipeline"] for item in configurations
    }
    varied = list(jobs[0]["given"]) if jobs else []
    rows = []
    for job in jobs:
        values = [job["given"][key] or "-" for key in varied]
        scores = [_score(job["scores"].get(name)) for name in pipelines.values()]
        rows.append([str(job["job"]), *values, *scores, _ended(job)])
    return Table(["job", *varied, *pipelines, "status"], rows, folds=True)


def _configurations(configurations: Sequence[JsonObject]) -> Table:
    keys = list(dict.fromkeys(key for item in configurations for key in item["given"]))
    rows = []
    for item in configurations:
        values = [item["given"].get(key) or "-" for key in keys]
        tie = " (tied)" if item["tied"] else ""
        score = f"{_score(item)}{tie}"
        rows.append([item["pipeline"], *values, item["metric"], score, str(item["seeds"])])
    columns = ["pipeline", *keys, "metric", "mean ± deviation over seeds", "seeds"]
    return Table(columns, rows, folds=True)


def _score(score: JsonObject | None) -> str:
    return shown(ranking.Score(**score["validation"])) if score else "-"


def _ended(job: JsonObject) -> str:
    if job["status"] == "failed":
        error = job["error"] or f"exit code {job['exit_code']}"
        return f"failed: {error}".splitlines()[0]
    return f"{job['status']} (taken over)" if job.get("taken_over") else str(job["status"])


def _verdict(best: JsonObject, configurations: Sequence[JsonObject]) -> str:
    """Say which configuration is best by a metric, and which cannot be told from it."""
    rivals = [rival for rival in configurations if rival["metric"] == best["metric"]]
    verdict = f"best by {best['metric']}: {_name(best)}, {_score(best)}"
    if best["seeds"] > 1:
        verdict += f" over {best['seeds']} seeds"
    tied = [_name(rival) for rival in rivals if rival["tied"]]
    if tied:
        verdict += f"; within noise of it: {', '.join(tied)}"
    if any(rival["tied"] is None for rival in rivals):
        verdict += "; the noise is unknown (seed=1,2,3 or validation.repeats shows it)"
    return verdict


def _name(configuration: JsonObject) -> str:
    values = [f"{key}={value}" for key, value in configuration["given"].items()]
    return " ".join([configuration["pipeline"], *values])


def show(content: Page) -> None:
    """Print a page on stdout: everything that a run shows goes through here."""
    print(render(content), flush=True)
