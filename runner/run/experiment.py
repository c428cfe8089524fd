"""The story of a run: the plans, the pipelines in order, then the hooks, then the table."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from history import registry
from history.entry import Entry
from history.manager import HistoryManager
from history.store import open_store
from runner.config.schema import Experiment, Target
from runner.config.targets import check_arguments, locate, wanted
from runner.errors import ConfigError, DataError, InputError, Problem
from runner.report.terminal import comparison, show
from runner.run.pipeline import Done, reuse, run_pipeline, take_over
from runner.run.plan import Plan, plan
from runner.run.runs import OpenRun, identity
from runner.search.locks import exclusive

log = logging.getLogger("runner")


@dataclass
class Report:
    """A run that has ended; what hooks are given."""

    run_id: str
    root: Path
    pipelines: list[Done] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # of pipelines and hooks

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0

    @property
    def reused(self) -> list[str]:
        """The pipelines that were taken from the history."""
        return [done.name for done in self.pipelines if done.reused]

    @property
    def entries(self) -> dict[str, str]:
        """Entry ids by pipeline."""
        return {done.name: done.entry.id for done in self.pipelines if done.entry is not None}


def run(experiment: Experiment, new_id: str) -> Report:
    """Runs an experiment, or what is left of it, and prints its comparison.

    Args:
        experiment: checked.
        new_id: the run's id, unless an open run is continued.

    Raises:
        InputError: a pipeline cannot work as it is configured; nothing was started.
        HistoryError: the history cannot be read.
    """
    lock = experiment.root / ".locks" / f"run-{identity(experiment)[:16]}.lock"
    with exclusive(lock, f"this run of {experiment.name}"):
        started = OpenRun(experiment, new_id)
        store = open_store(experiment.run.history.kind, experiment.root)
        store.all()  # a history that cannot be read is said now, not after the search
        managers = {
            name: registry.manager(pipeline.manager_name, experiment.root, store)
            for name, pipeline in experiment.pipelines.items()
        }
        plans = plan_all(experiment)
        if started.continued:
            log.info("going on with run %s, which had not ended", started.id)
        started.begin()
        report = Report(started.id, experiment.root)
        _run_pipelines(experiment, plans, started, managers, report)
        _run_hooks(experiment, report)
        _clear(started)
        if not report.failures:
            started.end()
    _print(report)
    return report


def plan_all(experiment: Experiment) -> dict[str, Plan | Exception]:
    """Plans every pipeline before the first one starts. What is wrong with the input, hooks
    included, is told at once; a code error is that pipeline's failure alone, recorded in its turn.

    Raises:
        ConfigError: a pipeline or a hook cannot work as it is configured.
    """
    plans: dict[str, Plan | Exception] = {}
    problems: list[Problem] = []
    for name, hook in experiment.run.hooks.items():
        if hook is not None:
            try:
                check_arguments(
                    locate(hook.target, f"hooks.{name}._target_"),
                    hook.args,
                    f"hooks.{name}",
                    filled=["run"],
                )
            except ConfigError as error:
                problems += error.problems
    for name in experiment.pipelines:
        try:
            plans[name] = plan(experiment, name)
        except ConfigError as error:
            problems += [Problem(f"pipelines.{name}.{p.where}", p.what) for p in error.problems]
        except DataError as error:
            problem = error.problem
            problems.append(Problem(f"pipelines.{name}.{problem.where or 'data'}", problem.what))
        except InputError as error:
            problems.append(Problem(f"pipelines.{name}", str(error)))
        except Exception as error:
            log.error("%s cannot run: %s: %s", name, type(error).__name__, error)
            plans[name] = error
    if problems:
        raise ConfigError(problems)
    return plans


def _run_pipelines(
    experiment: Experiment,
    plans: dict[str, Plan | Exception],
    started: OpenRun,
    managers: dict[str, HistoryManager],
    report: Report,
) -> None:
    for name, planned in plans.items():
        done = None
        if isinstance(planned, Plan):
            done = take_over(experiment, planned, started, managers[name])
            if done is None and experiment.run.reuse:
                done = reuse(experiment, planned, managers[name])
        done = done or run_pipeline(experiment, name, planned, started, managers[name])
        report.pipelines.append(done)
        if done.error is None:
            continue
        report.failures.append(f"{name}: {done.error}")
        if experiment.run.on_failure == "stop":
            left = list(plans)[len(report.pipelines) :]
            log.error("stopping (on_failure: stop); not run: %s", ", ".join(left) or "none")
            break


def _run_hooks(experiment: Experiment, report: Report) -> None:
    """Runs the hooks in their order, `purge` last. A hook that fails is reported; the others still
    run.
    """
    named = [(name, hook) for name, hook in experiment.run.hooks.items() if hook is not None]
    for name, hook in sorted(named, key=lambda item: item[0] == "purge"):
        try:
            _call(hook, f"hooks.{name}._target_", report)
        except Exception as error:
            log.exception("the hook %s failed", name)
            report.failures.append(f"hooks.{name}: {error}")


def _call(hook: Target, where: str, report: Report) -> None:
    function: Callable[..., object] = locate(hook.target, where)
    function(**wanted(function, {"run": report}), **hook.args)


def _clear(run: OpenRun) -> None:
    """Removes the folders that artefacts were staged in; what was not taken from them stays."""
    for path in (*run.stage.glob("*"), run.stage, run.folder):
        try:
            path.rmdir()
        except OSError:
            continue


def _print(report: Report) -> None:
    groups: dict[tuple[str, str], list[Done]] = {}
    for done in report.pipelines:
        groups.setdefault((done.manager.name, done.rank_by), []).append(done)
    for (_, metric), members in groups.items():
        entries: list[Entry] = [done.entry for done in members if done.entry is not None]
        if entries:
            reused = {done.entry.id for done in members if done.entry is not None and done.reused}
            show(comparison(members[0].manager, entries, metric, reused))
