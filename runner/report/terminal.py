"""The tables that a run, a sweep or a reproduction ends with, on stdout."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import console, text

from foundation import escape
from history import Entry, manager, ranking
from history.view.text import (
    EntryRows,
    duration,
    measured,
    not_better,
    number,
    render,
    shown,
    text_table,
)
from runner.errors import short

if TYPE_CHECKING:
    from runner.run.reproduce import Verdict

# What a table says of its noise, by the number of seeds.
NOISE = {0: "", 1: "one seed each, so the noise is unknown: see validation.repeats"}
OF_SEEDS = "mean ± deviation over seeds; =: tied, within twice the standard error of the difference"


def comparison(
    of: manager.HistoryManager, entries: Sequence[Entry], metric: str, run_id: str
) -> console.Group:
    """Return the pipelines of one task, best first: metrics as mean ± deviation over the repeats on
    the validation rows, and the ranking metric on the test rows too, beside the best baseline;
    below one whose stored model is the mean of its refits, what that comes to; below them which are
    doubted, and which do not beat a baseline. What none has is left out. An entry of another run
    than `run_id` was reused.
    """
    found = {name for entry in entries for name in entry.validation.metrics}
    directions = of.directions(entries)
    others = [name for name in directions if name != metric and name in found]
    direction = directions.get(metric) or "max"  # unknown where all have failed
    rows: list[tuple[str, ...]] = []
    for place, ranked in enumerate(ranking.rank(entries, metric, direction), start=1):
        entry, best = ranked.entry, ranking.baseline(ranked.entry, metric, direction)
        rows.append(
            (
                *(
                    (f"- {entry.pipeline}", entry.status)
                    if ranked.mean is None
                    else (
                        f"{place}{'=' * bool(ranked.tied)} {entry.pipeline}",
                        measured(entry, "validation", metric),
                    )
                ),
                number(entry.metric(metric, "test")),
                f"{number(best[1])} {best[0]}" if best else "-",
                duration(sum(entry.timings.values())) if entry.run_id == run_id else "reused",
                entry.id,
                *(measured(entry, "validation", name) for name in others),
                f"{entry.search.trials.completed}/{entry.search.trials.total or 0}"
                + f" ({entry.status})" * (entry.status != "complete"),
            )
        )
        if entry.ensemble:
            own, test, *means = (
                number(entry.metric(name, "ensemble", part))
                for name, part in [(metric, each) for each in ranking.PARTS]
                + [(name, "validation") for name in others]
            )
            rows.append((f"  mean of {entry.repeats}", own, test, *"---", *means, "-"))
    doubts = [
        f"{each.pipeline}: {each.validation.warning}" for each in entries if each.validation.warning
    ]
    columns = "pipeline", metric, "test", "baseline", "time", "entry", *others, "trials"
    known = [n for n in range(len(columns)) if {*(row[n] for row in rows)} != {"-"}]
    said = "\n".join(filter(None, doubts + [not_better(e, metric, direction) for e in entries]))
    return console.Group(
        text.Text(f"{of.task}, best first by {metric}", style="bold"),
        EntryRows([columns[n] for n in known], [[row[n] for n in known] for row in rows]),
        *[text.Text(escape.printable(said, newlines=True))] * bool(said),
        text.Text(NOISE.get(max(entry.repeats for entry in entries), OF_SEEDS), style="dim"),
    )


def sweep(came_to: Mapping[str, Any]) -> console.Group:
    """Return a row for each job of a sweep: what tells it from the others, the score of each
    pipeline, how it ended; then the configurations over their seeds, if they have several; then
    which is best.
    """
    jobs, configurations = came_to["jobs"], came_to["configurations"]
    pipelines = dict.fromkeys((each["pipeline"], each["metric"]) for each in configurations)
    varied = [*jobs[0]["given"]] if jobs else []
    rows = [
        [str(job["job"]), *(job["given"][key] or "-" for key in varied)]
        + [_score(job["scores"].get(name)) for name, _ in pipelines]
        + [_ended(job)]
        for job in jobs
    ]
    parts: list[console.RenderableType] = [
        text.Text(f"jobs of the sweep {came_to['sweep']}", style="bold"),
        text_table(["job", *varied, *map(" ".join, pipelines), "status"], rows),
    ]
    if any(each["seeds"] > 1 for each in configurations):
        keys = dict.fromkeys(key for each in configurations for key in each["given"])
        rows = [
            [
                *(
                    each["pipeline"],
                    *(each["given"].get(key) or "-" for key in keys),
                    each["metric"],
                ),
                *(_score(each) + " (tied)" * bool(each["tied"]), str(each["seeds"])),
            ]
            for each in configurations
        ]
        parts += [
            text.Text("\nconfigurations, best first", style="bold"),
            text_table(["pipeline", *keys, "metric", "mean ± deviation over seeds", "seeds"], rows),
        ]
    parts += [
        text.Text(escape.printable(_verdict(each, configurations)))
        for each in configurations
        if each["best"]
    ]
    return console.Group(*parts)


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


def reproduction(verdict: "Verdict") -> console.Group:
    """Return what came of running an entry again: the means then and now, and what differs."""
    rows = [
        (
            *(part, name, number(then), number(now)),
            number(None if then is None or now is None else abs(now - then)),
        )
        for part, name, then, now in verdict.metrics
    ]
    said = {
        "compared: ": verdict.compared,
        "first difference: ": verdict.first,
        "metrics that only one side has (ignored): ": ", ".join(verdict.apart) or None,
        "unchanged: ": ", ".join(verdict.same) or "nothing",
        "changed since then": "" if verdict.differs else None,
    }
    lines = [
        *(f"{head}{fact}" for head, fact in said.items() if fact is not None),
        *(f"  {key}: {short(then)} → {short(now)}" for key, (then, now) in verdict.differs.items()),
    ]
    return console.Group(
        text_table(("part", "metric", "stored", "now", "difference"), rows),
        text.Text(f"{verdict.reproduces}: {verdict.kind}", style="bold"),
        *(text.Text(escape.printable(line)) for line in lines),
    )


def show(content: console.Group) -> None:
    """Print a table on stdout: everything that a run shows goes through here."""
    print(render(content), flush=True)
