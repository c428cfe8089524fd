"""Plans pipelines: loads their data, knows their identities and their searches' folders, and fails
early where it must fail: a wrong model or objective costs seconds, not trainings.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from history import Entry, errors, registry, trees
from history.manager import HistoryManager
from runner.config import secrets, targets
from runner.config.schema import Experiment, HyperbandTuner, Pipeline, Run
from runner.errors import ConfigError, Problem, message_of, short
from runner.run.identity import Identity, identify
from runner.search.state import MARKER, Place, read_marker
from runner.training import build, preflight

log = logging.getLogger("runner")

RECENT = 100  # entries among which the one that is nearest is looked for


@dataclass(frozen=True)
class Plan:
    """A pipeline that can run."""

    name: str
    run: Run
    pipeline: Pipeline
    identity: Identity
    place: Place  # of the search
    data: Mapping[str, Any]  # as an entry records it
    preparation: float  # seconds
    known: Entry | None = None  # of the history, which makes running it needless
    size: tuple[int, int] | None = None  # of the default model, tried unless an entry is known


def plan_all(experiment: Experiment, continued: str | None) -> dict[str, Plan | Exception]:
    """Plan every pipeline before the first one starts. All that is wrong with the input, hooks
    included, is reported at once; a code error is that pipeline's failure alone, recorded in its
    turn.

    Args:
        experiment: checked.
        continued: the id of the run that is continued, if one is.

    Raises:
        ConfigError: a pipeline or a hook cannot work as it is configured.
    """
    plans: dict[str, Plan | Exception] = {}
    problems: list[Problem] = []
    for name, hook in experiment.run.hooks.items():
        try:
            if hook is not None:
                function = targets.locate(hook.target, f"hooks.{name}._target_")
                targets.check_arguments(function, hook.args, f"hooks.{name}", filled=["run"])
        except ConfigError as error:
            problems += error.problems
    for name in experiment.pipelines:
        try:
            plans[name] = plan(experiment, name, continued)
        except ConfigError as error:
            problems += [
                Problem(f"pipelines.{name}.{each.where or 'data'}", each.what)
                for each in error.problems
            ]
        except Exception as error:
            log.error("%s cannot run: %s: %s", name, type(error).__name__, message_of(error))
            plans[name] = error
    if problems:
        raise ConfigError(problems)
    return plans


def plan(experiment: Experiment, name: str, continued: str | None = None) -> Plan:
    """Load a pipeline's data, and try its default model unless the history makes that needless.

    Raises:
        ConfigError: the config or the data cannot work.
        Exception: whatever the user's own data and model functions raise.
    """
    run, pipeline = experiment.run, experiment.pipelines[name]
    ready = build.bench(pipeline)
    dataset, tuner = ready.dataset, pipeline.tuner
    if isinstance(tuner, HyperbandTuner) and pipeline.fit.epochs not in (None, tuner.max_epochs):
        log.info(
            "%s: Hyperband sets the epochs, up to %s; fit.epochs has no effect",
            name,
            tuner.max_epochs,
        )
    content = dataset.fingerprint
    identity = identify(run, pipeline, {"source": dataset.source, "content": content}, ready.dtype)
    planned = Plan(
        name,
        run,
        pipeline,
        identity,
        place=_place(experiment, name, identity.search_fingerprint),
        data=dataset.describe(content) | {"split": pipeline.data.split.model_dump()},
        preparation=dataset.seconds,
    )
    manager = registry.manager(pipeline.manager_name, experiment.root)
    if known := in_history(planned, manager, continued):
        return replace(planned, known=known)
    return replace(planned, size=preflight.preflight(ready))


def in_history(plan: Plan, manager: HistoryManager, run_id: str | None) -> Entry | None:
    """Return the newest entry that makes running a pipeline needless: complete, with the pipeline's
    fingerprint, and its artefacts whole. With `reuse=true` it may be of any run; where there is
    none, it is logged which keys differ.

    Args:
        plan: the pipeline.
        manager: of its entries.
        run_id: of the run that is continued, if one is: its own entries are taken over.
    """
    same = manager.entries(status="complete", fingerprint=plan.identity.fingerprint)
    for entry in reversed(same):
        own = entry.run_id == run_id and entry.pipeline == plan.name
        try:
            if own or plan.run.reuse:
                manager.verify(entry)
                log.info(
                    "%s: %s from the history: %s, stored %s",
                    plan.name,
                    "taken over" if own else "reused",
                    entry.id,
                    entry.created,
                )
                return entry
        except errors.HistoryError as error:
            log.warning("%s: %s is not taken from the history: %s", plan.name, entry.id, error)
    if plan.run.reuse:
        say_why_not(plan, manager.entries(status="complete", pipeline=plan.name))
    return None


def say_what_changed(plan: Plan) -> None:
    """Log, where a search starts beside older ones of the same pipeline, which keys differ from
    the newest of them.
    """
    folder, now = plan.place.folder, secrets.redact(plan.identity.of_search)
    newest = max(
        folder.parent.glob(f"*/{MARKER}"), key=lambda path: path.stat().st_mtime, default=None
    )
    if newest is not None and not (folder / MARKER).exists():
        _say_changes(
            logging.WARNING,
            plan.name,
            f"a new search beside {newest.parent}, whose trials stay there, unused; what differs",
            trees.differences(read_marker(newest.parent).get("parts"), now),
        )


def say_why_not(plan: Plan, entries: Sequence[Entry]) -> None:
    """Log, where no entry can be reused, which keys differ from the one that is nearest."""
    now, found = secrets.redact(plan.identity.of_pipeline), []
    for entry in reversed(entries[-RECENT:]):
        with suppress(errors.HistoryError):  # damaged: `doctor` says so
            found.append((trees.differences(entry.identity(), now), entry.id))
    if not found:
        log.info("%s: nothing to reuse: no complete entry of that name is there", plan.name)
        return
    changed, nearest = min(found, key=lambda item: len(item[0]))
    _say_changes(
        logging.INFO, plan.name, f"not reused; from {nearest}, the nearest, differs", changed
    )


def _say_changes(
    level: int, name: str, head: str, changed: Mapping[str, tuple[object, object]]
) -> None:
    if changed:
        log.log(level, "%s: %s:", name, head)
    for key, (before, now) in changed.items():
        log.log(level, "%s:   %s: %s → %s", name, key, short(before), short(now))


def _place(experiment: Experiment, name: str, search_fingerprint: str) -> Place:
    """Return the folder of this search alone: the newest there is or, with `fresh=true`, one more
    beside it.
    """
    tuner = experiment.pipelines[name].tuner
    directory = Path(tuner.directory or experiment.root / "trials").resolve()
    project = tuner.project_name or f"{experiment.name}-{name}".replace("/", "-")
    base = directory / project / search_fingerprint[:16]
    folders = [base, *(base.with_name(f"{base.name}-{count}") for count in range(2, 1000))]
    used = [index for index, folder in enumerate(folders) if (folder / MARKER).exists()]
    index = used[-1] + experiment.run.fresh if used else 0
    return Place(
        folders[index],
        search_fingerprint,
        locks=(directory if tuner.directory else experiment.root) / ".locks",
    )
