"""The story of a run: plan all pipelines, run them in order, call the hooks, print the table.

A run stays open until its hooks have ended well. Until then the same config continues it: finished
pipelines are taken over from the history, and an interrupted search is resumed.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from foundation import files
from history import Entry, ranking, registry, store
from runner.config import compose, schema
from runner.errors import ExperimentError
from runner.report import progress, terminal
from runner.run import identity, opened, pipeline, plan, starting
from runner.run.plan import Plan
from runner.workers import executors, start, tasks

log = logging.getLogger("runner")


@dataclass
class RunSummary:
    """The outcome of a run, which hooks get as their parameter `run`."""

    run_id: str
    root: Path
    pipelines: list[pipeline.Done] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # of pipelines and hooks
    # by pipeline, in the metric that ranks it
    scores: dict[str, files.JsonObject] = field(default_factory=dict)
    sweep: str | None = None  # the sweep that it is a job of
    taken_over: bool = False  # it had ended, hooks included, before its sweep was interrupted

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0

    @property
    def stored(self) -> list[Entry]:
        """The entries, including failed ones and those taken over from earlier runs."""
        return [done.entry for done in self.pipelines if done.entry is not None]

    @property
    def entries(self) -> dict[str, str]:
        """Entry ids by pipeline."""
        return {done.name: done.entry.id for done in self.pipelines if done.entry is not None}


def open_file(experiment: schema.Experiment) -> Path:
    """Return the file that exists while a run of this config is open."""
    return opened.path_of(experiment.root, identity.run_key(experiment))


def run(
    experiment: schema.Experiment, effective: Path, new_id: str, sweep: str | None = None
) -> RunSummary:
    """Run an experiment, or what is left of it, and print a comparison of its pipelines.

    Args:
        experiment: the checked config.
        effective: the file to which the resolved config is written.
        new_id: the run's id, unless an open run is continued.
        sweep: the sweep that the run is a job of; the run then stays open after it has ended.

    Raises:
        InputError: a pipeline cannot work as configured; nothing was started.
        HistoryError: the history cannot be read.
    """
    store.Store(experiment.root).all()  # an unreadable history is reported before the search
    path = open_file(experiment)
    title = experiment.name
    if sweep:
        title += f", job {new_id.rpartition('-')[2]}"
    with (
        opened.opened(
            path, f"this run of {experiment.name}", new_id, fresh=experiment.run.fresh
        ) as (run_id, continued, ended),
        start.start(experiment.run) as workers,
        progress.shown(experiment.run, workers, title, experiment.pipelines),
    ):
        experiment = starting.resolved(experiment, continued, sweep)
        effective.write_text(compose.effective(experiment), encoding="utf-8")
        plans = plan.plan_all(experiment, workers, continued)
        taken_over = ended and all(
            isinstance(planned, Plan) and planned.entry for planned in plans.values()
        )
        summary = RunSummary(run_id, experiment.root, sweep=sweep, taken_over=taken_over)
        opened.write(path, run_id, taken_over)
        _run_pipelines(experiment, plans, continued, summary, workers)
        if not taken_over:
            run_hooks(experiment.run, summary, workers)
        if not summary.failures:
            if sweep:
                opened.write(path, run_id, ended=True)
            else:
                path.unlink(missing_ok=True)
    _rank(experiment, summary)
    return summary


def _run_pipelines(
    experiment: schema.Experiment,
    plans: Mapping[str, Plan | Exception],
    continued: str | None,
    summary: RunSummary,
    workers: executors.Workers,
) -> None:
    """Run the pipelines that have no usable entry yet, and add all pipelines to the summary."""
    ids = {"run_id": summary.run_id}
    if summary.sweep:
        ids["sweep"] = summary.sweep
    stage = summary.root / "runs" / summary.run_id / "stage"
    for name, earlier in plans.items():
        manager = registry.manager(experiment.pipelines[name].manager_name, summary.root)
        with _alone_in_sweep(earlier, summary) as planned:
            if isinstance(planned, Plan) and planned.entry:
                done = pipeline.Done(name, manager, planned.entry)
                if planned.entry.run_id == continued:
                    done.search = planned.search
            else:
                done = pipeline.run_pipeline(
                    experiment, name, planned, ids, stage / name, manager, workers
                )
        summary.pipelines.append(done)
        if done.error is None:
            continue
        summary.failures.append(f"{name}: {done.error}")
        if experiment.run.on_failure == "stop":
            not_run = list(plans)[len(summary.pipelines) :]
            log.error("stopping (on_failure: stop); not run: %s", ", ".join(not_run) or "none")
            break
    for folder in stage.glob("*"):
        with suppress(OSError):  # artefacts that were not stored stay
            os.removedirs(folder)


@contextmanager
def _alone_in_sweep(planned: Plan | Exception, summary: RunSummary) -> Iterator[Plan | Exception]:
    """Lock a pipeline that other jobs of the sweep may run too, and yield its plan, now with the
    entry that another job may have stored meanwhile.
    """
    if (
        summary.sweep is None
        or isinstance(planned, Exception)
        or planned.entry
        or planned.run.fresh
    ):
        yield planned
        return
    lock = summary.root / f".locks/pipeline-{planned.identity.fingerprint[:16]}.lock"
    with files.held(lock, f"{planned.name} of the sweep"):
        yield replace(planned, entry=plan.in_history(planned, None, summary.sweep))


def run_hooks(run: schema.Run, summary: RunSummary, workers: executors.Workers) -> None:
    """Call the hooks in order, `purge` last, in a worker, because they may be user code and need
    Keras. A failing hook is reported, and the others still run.
    """
    hooks = {name: hook for name, hook in run.hooks.items() if hook is not None}
    for name, hook in sorted(hooks.items(), key=lambda item: item[0] == "purge"):
        try:
            summary.failures = workers.submit(tasks.hook, name, hook, summary).result()
        except Exception as error:
            trace = not isinstance(error, ExperimentError)  # whose message is enough
            log.error("the hook %s failed: %s", name, error, exc_info=trace)
            summary.failures.append(f"hooks.{name}: {error}")


def _rank(experiment: schema.Experiment, summary: RunSummary) -> None:
    """Record the scores, and print a table for each task and ranking metric."""
    tables: dict[tuple[str, str], list[Entry]] = {}
    for done in summary.pipelines:
        if done.entry is None:
            continue
        ranked = plan.ranked_by(experiment.pipelines[done.name])
        tables.setdefault((done.manager.name, ranked.metric), []).append(done.entry)
        score = ranking.measurement(done.entry, "validation", ranked.metric)
        if score.mean is not None:
            summary.scores[done.name] = {
                "metric": ranked.metric,
                "direction": ranked.direction,
                "validation": vars(score),
                "status": done.entry.status,
            }
    for (name, metric), entries in tables.items():
        manager = registry.manager(name, summary.root)
        terminal.show(terminal.comparison(manager, entries, metric, summary.run_id))
