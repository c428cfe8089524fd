"""The story of a run: the plans, the pipelines in order, then the hooks, then the table.

A run goes on until its hooks have ended well; until then a file says that it is open:

    <root>/runs/<run key>.open      the id of the open run of this config

The same config then continues it: its ended pipelines are taken over from the history, and the
interrupted search goes on. The jobs of a sweep stay open until all of them have ended well: the
file of one that has says so, and whoever runs the sweep deletes it.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from history import errors, files, registry, store
from history.entry import Entry
from runner.config import schema, targets
from runner.report.terminal import comparison, show
from runner.run import identity, pipeline, plan

log = logging.getLogger("runner")


@dataclass
class RunSummary:
    """What a run came to: all that hooks are given, as their parameter `run`."""

    run_id: str
    root: Path
    pipelines: list[pipeline.Done] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # of pipelines and hooks
    taken_over: bool = False  # all was done, the hooks too, when its sweep was interrupted

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0

    @property
    def entries(self) -> dict[str, str]:
        """Entry ids by pipeline."""
        return {done.name: done.entry.id for done in self.pipelines if done.entry is not None}


def open_file(experiment: schema.Experiment) -> Path:
    """Return the file that says that a run of this config is open."""
    return experiment.root / "runs" / f"{identity.run_key(experiment)[:16]}.open"


def open_run(experiment: schema.Experiment) -> files.JsonObject:
    """Return the `run_id` of the open run of this config, and whether it has `ended`; None where
    there is none, or it is not to be continued.
    """
    found = {"run_id": None, "ended": False}
    if not experiment.run.fresh:
        with suppress(errors.HistoryError, TypeError, ValueError):  # no file, or a damaged one
            found |= files.read_json(open_file(experiment))
    return found


def run(experiment: schema.Experiment, new_id: str, *, in_sweep: bool = False) -> RunSummary:
    """Run an experiment, or what is left of it, and print its comparison.

    Args:
        experiment: checked.
        new_id: the run's id, unless an open run is continued.
        in_sweep: it stays open when it has ended.

    Raises:
        InputError: a pipeline cannot work as it is configured; nothing was started.
        HistoryError: the history cannot be read.
    """
    with files.held(
        experiment.root / ".locks" / f"run-{identity.run_key(experiment)[:16]}.lock",
        f"this run of {experiment.name}",
    ):
        path, found = open_file(experiment), open_run(experiment)
        continued = found["run_id"]
        store.Store(experiment.root).all()  # one that cannot be read is reported before the search
        plans = plan.plan_all(experiment, continued)
        if continued:
            log.info("continuing run %s, which had not ended", continued)
        summary = RunSummary(
            continued or new_id,
            experiment.root,
            taken_over=found["ended"]
            and all(isinstance(each, plan.Plan) and each.known for each in plans.values()),
        )
        files.make_folder(path.parent)
        state = {"run_id": summary.run_id, "ended": summary.taken_over}
        files.write_atomic(path, files.to_json(state))
        _run_pipelines(experiment, plans, continued, summary)
        if not summary.taken_over:
            run_hooks(experiment.run, summary)
        if in_sweep and not summary.failures:
            files.write_atomic(path, files.to_json({**state, "ended": True}))
        elif not summary.failures:
            path.unlink(missing_ok=True)
    _print(experiment, summary)
    return summary


def _run_pipelines(
    experiment: schema.Experiment,
    plans: Mapping[str, plan.Plan | Exception],
    continued: str | None,
    summary: RunSummary,
) -> None:
    stage = summary.root / "runs" / summary.run_id / "stage"
    for name, planned in plans.items():
        manager = registry.manager(experiment.pipelines[name].manager_name, summary.root)
        if isinstance(planned, plan.Plan) and (known := planned.known):
            done = pipeline.Done(
                name, manager, known, planned if known.run_id == continued else None
            )
        else:
            done = pipeline.run_pipeline(
                experiment, name, planned, summary.run_id, stage / name, manager
            )
        summary.pipelines.append(done)
        if done.error is None:
            continue
        summary.failures.append(f"{name}: {done.error}")
        if experiment.run.on_failure == "stop":
            log.error(
                "stopping (on_failure: stop); not run: %s",
                ", ".join([*plans][len(summary.pipelines) :]) or "none",
            )
            break
    for folder in stage.glob("*"):
        with suppress(OSError):  # what was not taken from it stays
            os.removedirs(folder)


def run_hooks(run: schema.Run, summary: RunSummary) -> None:
    """Call the hooks in their order, `purge` last. A hook that fails is reported, and the others
    still run.
    """
    hooks = {name: hook for name, hook in run.hooks.items() if hook is not None}
    for name, hook in sorted(hooks.items(), key=lambda item: item[0] == "purge"):
        try:
            function: Callable[..., object] = targets.locate(hook.target, f"hooks.{name}._target_")
            function(**targets.wanted(function, {"run": summary}), **hook.args)
        except Exception as error:
            log.exception("the hook %s failed", name)
            summary.failures.append(f"hooks.{name}: {error}")


def _print(experiment: schema.Experiment, summary: RunSummary) -> None:
    """Print a table for each task and ranking metric."""
    tables: dict[tuple[str, str], list[Entry]] = {}
    for done in summary.pipelines:
        if done.entry is not None:
            metric = pipeline.ranked_by(experiment.pipelines[done.name], done.manager).metric
            tables.setdefault((done.manager.name, metric), []).append(done.entry)
    for (name, metric), entries in tables.items():
        show(comparison(registry.manager(name, summary.root), entries, metric, summary.run_id))
