"""The story of a run: the plans, the pipelines in order, then the hooks, then the table.

A run goes on until its hooks have ended well; until then a file says that it is open:

    <root>/runs/<run key>.open      the id of the open run of this config

The same config then continues it: its ended pipelines are taken over from the history, and the
interrupted search goes on.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from history import registry
from history.entry import Entry
from history.errors import HistoryError
from history.files import held, make_folder, read_json, to_json, write_atomic
from history.store import Store
from runner.config.schema import Experiment, Run
from runner.config.targets import locate, wanted
from runner.report.terminal import comparison, show
from runner.run.identity import run_key
from runner.run.pipeline import Done, in_history, ranked_by, run_pipeline
from runner.run.plan import Plan, plan_all

log = logging.getLogger("runner")


@dataclass
class RunSummary:
    """What a run came to: all that hooks are given, as their parameter `run`."""

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


def open_run(experiment: Experiment) -> tuple[Path, str | None]:
    """Return the file that says that a run of this config is open, and that run's id; None where
    there is none, or it is not to be continued.
    """
    path = experiment.root / "runs" / f"{run_key(experiment)[:16]}.open"
    if not experiment.run.fresh:
        with suppress(HistoryError, KeyError, TypeError):  # no file, or a damaged one: a new run
            return path, str(read_json(path)["run_id"])
    return path, None


def run(experiment: Experiment, new_id: str) -> RunSummary:
    """Run an experiment, or what is left of it, and print its comparison.

    Args:
        experiment: checked.
        new_id: the run's id, unless an open run is continued.

    Raises:
        InputError: a pipeline cannot work as it is configured; nothing was started.
        HistoryError: the history cannot be read.
    """
    with held(
        experiment.root / ".locks" / f"run-{run_key(experiment)[:16]}.lock",
        f"this run of {experiment.name}",
    ):
        path, continued = open_run(experiment)
        Store(experiment.root).all()  # one that cannot be read is reported before the search
        plans = plan_all(experiment)
        if continued:
            log.info("continuing run %s, which had not ended", continued)
        summary = RunSummary(continued or new_id, experiment.root)
        make_folder(path.parent)
        write_atomic(path, to_json({"run_id": summary.run_id}))
        _run_pipelines(experiment, plans, continued, summary)
        run_hooks(experiment.run, summary)
        if not summary.failures:
            path.unlink(missing_ok=True)
    _print(experiment, summary)
    return summary


def _run_pipelines(
    experiment: Experiment,
    plans: Mapping[str, Plan | Exception],
    continued: str | None,
    summary: RunSummary,
) -> None:
    stage = summary.root / "runs" / summary.run_id / "stage"
    for name, planned in plans.items():
        manager = registry.manager(experiment.pipelines[name].manager_name, summary.root)
        if isinstance(planned, Plan) and (known := in_history(planned, manager, continued)):
            done = Done(name, manager, known, planned if known.run_id == continued else None)
        else:
            done = run_pipeline(experiment, name, planned, summary.run_id, stage / name, manager)
        summary.pipelines.append(done)
        if done.error is None:
            continue
        summary.failures.append(f"{name}: {done.error}")
        if experiment.run.on_failure == "stop":
            left = ", ".join(list(plans)[len(summary.pipelines) :])
            log.error("stopping (on_failure: stop); not run: %s", left or "none")
            break
    for folder in stage.glob("*"):
        with suppress(OSError):  # what was not taken from it stays
            os.removedirs(folder)


def run_hooks(run: Run, summary: RunSummary) -> None:
    """Call the hooks in their order, `purge` last. A hook that fails is reported, and the others
    still run.
    """
    for name, hook in sorted(run.hooks.items(), key=lambda item: item[0] == "purge"):
        if hook is None:
            continue
        try:
            function: Callable[..., object] = locate(hook.target, f"hooks.{name}._target_")
            function(**wanted(function, {"run": summary}), **hook.args)
        except Exception as error:
            log.exception("the hook %s failed", name)
            summary.failures.append(f"hooks.{name}: {error}")


def _print(experiment: Experiment, summary: RunSummary) -> None:
    """Print a table for each task and ranking metric."""
    tables: dict[tuple[str, str], list[Entry]] = {}
    for done in summary.pipelines:
        if done.entry is not None:
            metric = ranked_by(experiment.pipelines[done.name], done.manager).metric
            tables.setdefault((done.manager.name, metric), []).append(done.entry)
    for (name, metric), entries in tables.items():
        show(comparison(registry.manager(name, summary.root), entries, metric, summary.run_id))
