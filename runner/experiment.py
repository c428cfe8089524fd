"""The story of a run: the pipelines in order, then the hooks, then the table."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from history import registry
from history.entry import Entry
from history.store import open_store
from runner.pipeline import Done, run_pipeline
from runner.report.table import comparison, show
from runner.settings import Experiment, Target
from runner.targets import locate, wanted

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
    def entries(self) -> dict[str, str]:
        """Entry ids by pipeline."""
        return {done.name: done.entry.id for done in self.pipelines if done.entry is not None}


def run(experiment: Experiment, folder: Path) -> Report:
    """Runs an experiment and prints its comparison.

    Args:
        experiment: checked.
        folder: the run's own output folder; its name is the run's id.
    """
    if not experiment.run.progress:
        log.setLevel(logging.WARNING)
    report = Report(folder.name, experiment.root)
    store = open_store(experiment.run.history.kind, experiment.root)
    for name, pipeline in experiment.pipelines.items():
        manager = registry.manager(pipeline.manager_name, experiment.root, store)
        done = run_pipeline(experiment, name, report.run_id, manager, folder / "stage" / name)
        report.pipelines.append(done)
        if done.error is not None:
            report.failures.append(f"{name}: {done.error}")
            if experiment.run.on_failure == "stop":
                left = list(experiment.pipelines)[len(report.pipelines) :]
                log.error("stopping (on_failure: stop); not run: %s", ", ".join(left) or "none")
                break
    _run_hooks(experiment, report)
    _clear_stage(folder / "stage")
    _print(report)
    return report


def _run_hooks(experiment: Experiment, report: Report) -> None:
    """Runs the hooks in their order, `purge` last. A hook that fails is reported; the others still run."""
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


def _clear_stage(folder: Path) -> None:
    """Removes the folders that artefacts were staged in; what was not taken from them stays."""
    for path in (*folder.glob("*"), folder):
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
            show(comparison(members[0].manager, entries, metric))
