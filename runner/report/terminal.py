"""The tables that a run, a sweep or a reproduction ends with, on stdout."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from history import Entry, escape, ranking
from history.manager import HistoryManager
from history.view.text import EntryRows, measured, not_better, number, render, shown, text_table
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
    the validation rows, and the ranking metric on the test rows too; below one whose stored model
    is the mean of its refits, what that comes to; among them the best baseline of each, and below
    them which are doubted, and which do not beat it. An entry of another run than `run_id` was
    reused.
    """
    found = {name for entry in entries for name in entry.value("validation.metrics", {})}
    directions = manager.directions(entries)
    others = [name for name in directions if name != metric and name in found]
    keys = [(metric, part) for part in ranking.PARTS] + [(name, "validation") for name in others]
    direction = directions.get(metric) or "max"  # unknown where all have failed
    simple = dict[tuple[float, tuple[str, ...]], list[str]]()
    rows = [
        (
            ranked.mean,
            (
                f"{place if ranked.mean is not None else '-'} {entry.pipeline}",
                measured(entry, "validation", metric) + " (tied)" * bool(ranked.tied),
                measured(entry, "test", metric),
                *(measured(entry, "validation", name) for name in others),
                "/".join(str(entry.value(f"search.trials.{n}", 0)) for n in ("completed", "total")),
                entry.status if entry.run_id == run_id else "reused",
                entry.id,
            ),
        )
        for place, ranked in enumerate(ranking.rank(entries, metric, direction), start=1)
        for entry in [ranked.entry]
    ]
    for entry in entries:
        if entry.value("ensemble"):
            means = [number(entry.metric(name, "ensemble", part)) for name, part in keys]
            place = next(n for n, (_, cells) in enumerate(rows, 1) if cells[-1] == entry.id)
            told = f"  mean of {entry.repeats} refits", *means, "-", "-", entry.pipeline
            rows.insert(place, (rows[place - 1][0], told))
        if best := ranking.baseline(entry, metric, direction):
            values = (entry.metric(name, f"baselines.{best[0]}", part) for name, part in keys)
            cells = f"  baseline {best[0]}", *map(number, values)
            simple.setdefault((best[1], cells), []).append(entry.pipeline)
    rows += [(value, (*cells, "-", "-", ", ".join(of))) for (value, cells), of in simple.items()]
    rows.sort(key=lambda row: ranking.merit(row[0], direction), reverse=True)
    doubts = [
        f"{each.pipeline}: {d}" for each in entries if (d := each.value("validation.warning"))
    ]
    said = "\n".join(filter(None, doubts + [not_better(e, metric, direction) for e in entries]))
    return Group(
        Text(f"{manager.task}, best first by {metric}", style="bold"),
        EntryRows(
            ("pipeline", metric, f"test {metric}", *others, "trials", "status", "entry"),
            [cells for _, cells in rows],
        ),
        *[Text(escape.printable(said, newlines=True))] * bool(said),
        Text(NOISE.get(max(entry.repeats for entry in entries), OF_SEEDS), style="dim"),
    )


def sweep(came_to: Mapping[str, Any]) -> Group:
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
    parts: list[RenderableType] = [
        Text(f"jobs of the sweep {came_to['sweep']}", style="bold"),
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
            Text("\nconfigurations, best first", style="bold"),
            text_table(["pipeline", *keys, "metric", "mean ± deviation over seeds", "seeds"], rows),
        ]
    parts += [
        Text(escape.printable(_verdict(each, configurations)))
        for each in configurations
        if each["best"]
    ]
    return Group(*parts)


def _score(score: Mapping[str, Any] | None) -> str:
    return shown(ranking.Measured(**score["validation"])) if score else "-"


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
    tied = [name for name, is_tied in named.items() if is_tied]
    noise = f"; within noise of it: {', '.join(tied)}" if tied else ""
    if None in named.values():
        noise += "; how large the noise is, is not known (seed=1,2,3 or validation.repeats tells)"
    over = f" over {best['seeds']} seeds" * (best["seeds"] > 1)
    return f"best by {best['metric']}: {next(iter(named))}, {_score(best)}{over}{noise}"


def reproduction(verdict: "Verdict") -> Group:
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
        "metrics of one side only, which decide nothing: ": ", ".join(verdict.apart) or None,
        "as then: ": ", ".join(verdict.same) or "nothing",
        "what differs from then": "" if verdict.differs else None,
    }
    lines = [
        *(f"{head}{text}" for head, text in said.items() if text is not None),
        *(f"  {key}: {short(then)} → {short(now)}" for key, (then, now) in verdict.differs.items()),
    ]
    return Group(
        text_table(("part", "metric", "stored", "now", "difference"), rows),
        Text(f"{verdict.reproduces}: {verdict.kind}", style="bold"),
        *(Text(escape.printable(line)) for line in lines),
    )


def show(content: Group) -> None:
    """Print a table on stdout: everything that a run shows goes through here."""
    print(render(content), flush=True)
