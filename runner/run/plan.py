"""Plans pipelines: loads their data, knows their identities and their searches' folders, and fails
early where it must fail: a wrong model or objective costs seconds, not trainings.
"""

import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foundation import errors, secrets, trees
from history import Entry, registry
from history.manager import HistoryManager
from runner.config import code, schema
from runner.data.shared import Loaded
from runner.errors import ConfigError, DataError, Problem, message_of, short
from runner.run.identity import Identity, identify
from runner.search import state
from runner.training import regimes
from runner.workers import executors, tasks

log = logging.getLogger("runner")

# Keras' callbacks that write, and the argument that says where.
WRITERS = {
    "BackupAndRestore": "backup_dir",
    "CSVLogger": "filename",
    "ModelCheckpoint": "filepath",
    "TensorBoard": "log_dir",
}
RECORD = 5_000  # bytes of a trial's JSON files, as measured with 10 epochs of 4 metrics
RECENT = 100  # entries among which the one that is nearest is looked for


@dataclass(frozen=True)
class Plan:
    """A pipeline that can run."""

    name: str
    run: schema.Run
    pipeline: schema.Pipeline
    identity: Identity
    place: state.Place  # of the search
    given: Loaded  # its data
    known: Entry | None = None  # of the history, which makes running it needless
    size: state.Size | None = None  # of the default model, tried unless an entry is known

    def of(self, trials: int) -> "Plan":
        """Return the plan of a search of so many trials, however long they take."""
        tuner = self.pipeline.tuner
        tuner = tuner.model_copy(update={"max_seconds": None, tuner.limit: trials})
        return replace(self, pipeline=self.pipeline.model_copy(update={"tuner": tuner}))

    @property
    def data(self) -> Mapping[str, Any]:
        """The data as an entry records it."""
        return self.given.record | {"split": self.pipeline.data.split.model_dump()}

    def again(self, workers: executors.Workers) -> Loaded:
        """Return the data, which is loaded again where it had to make room for that of others.

        Raises:
            DataError: it is not what it was.
        """
        given = workers.data(self.pipeline).result()
        if given.content != self.given.content:
            raise DataError("the data has changed since the run began; re-run the same command")
        return replace(given, code=self.given.code)


def plan_all(
    experiment: schema.Experiment, workers: executors.Workers, continued: str | None = None
) -> dict[str, Plan | Exception]:
    """Plan every pipeline before the first one starts. All that is wrong with the input, hooks
    included, is reported at once; a code error is that pipeline's failure alone, recorded in its
    turn.

    Args:
        experiment: checked.
        workers: that load the data, and try the default models.
        continued: the id of the run that is continued, if one is.

    Raises:
        ConfigError: a pipeline or a hook cannot work as it is configured.
    """
    hooks = workers.submit(tasks.check_hooks, experiment.run)
    # Each step is taken for all pipelines before the next one, so that workers do them together.
    steps = {name: _steps(experiment, name, workers, continued) for name in experiment.pipelines}
    plans: dict[str, Any] = dict.fromkeys(steps)
    problems = [*hooks.result()]
    while waiting := [name for name in steps if not isinstance(plans[name], Plan | Exception)]:
        for name in waiting:
            try:
                plans[name] = next(steps[name])
            except ConfigError as error:
                plans[name] = error
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


def _steps(
    experiment: schema.Experiment, name: str, workers: executors.Workers, continued: str | None
) -> Iterator[Plan | None]:
    """Load a pipeline's data, try its default model unless the history makes that needless, and
    yield the plan; before that, None whenever workers have something to do.

    Raises:
        ConfigError: the config or the data cannot work.
        Exception: whatever the user's own data and model functions raise.
    """
    run, pipeline = experiment.run, experiment.pipelines[name]
    tuner, loading = pipeline.tuner, workers.data(pipeline)
    yield None
    given = loading.result()
    surveyed = workers.submit(tasks.survey, pipeline, given)
    yield None
    if isinstance(tuner, schema.HyperbandTuner) and pipeline.fit.epochs not in (
        None,
        tuner.max_epochs,
    ):
        log.info(
            "%s: Hyperband sets the epochs, up to %s; fit.epochs has no effect",
            name,
            tuner.max_epochs,
        )
    for said in overwritten(pipeline):
        log.warning("%s: %s", name, said)
    identity = identify(
        run,
        pipeline,
        {
            "source": given.record["source"],
            "content": given.content,
            **({"by": given.by} if regimes.of(pipeline).folds else {}),
        },
        surveyed.result(),
    )
    given = replace(given, code=code.code_of(pipeline))
    place = _place(experiment, name, identity.search_fingerprint)
    planned = Plan(name, run, pipeline, identity, place, given)
    if run.reproduce is None and (
        known := in_history(
            planned, registry.manager(pipeline.manager_name, experiment.root), continued
        )
    ):
        yield replace(planned, known=known)
    size = state.tried(place.folder, identity.fingerprint)
    if size is None:
        sized = workers.submit(tasks.preflight, pipeline, given)
        yield None
        size = sized.result()
    needed = bytes_of(size, getattr(tuner, tuner.limit) or 0, workers.slots)
    free = shutil.disk_usage(next(each for each in place.folder.parents if each.is_dir())).free
    if needed > free and run.reproduce is None and not place.folder.is_dir():  # of another run
        raise ConfigError(
            f"the search needs {needed / 1e9:.1f} GB of disk, but only {free / 1e9:.1f} GB are "
            f"free for {place.folder}; free some space, or choose another folder",
            "tuner.directory",
        )
    if isinstance(tuner, schema.GuidedTuner) and tuner.max_trials <= (
        blind := tuner.unguided(len(size.space["space"]))
    ):
        log.warning(
            "%s: with tuner.max_trials=%d, every trial is drawn at random: the first %d are "
            "(tuner.num_initial_points, and tuner.parallel - 1 that run meanwhile)",
            name,
            tuner.max_trials,
            blind,
        )
    yield replace(planned, size=size)


def bytes_of(size: state.Size, trials: int, slots: int) -> int:
    """Return what a search takes on disk: of its trials, of the checkpoints that are kept, and of
    those that run, in which others begin from one too.
    """
    return (size.kept + slots * min(size.kept, 2)) * size.bytes + trials * RECORD


def in_history(
    plan: Plan, manager: HistoryManager, run_id: str | None, sweep: str | None = None
) -> Entry | None:
    """Return the newest entry that makes running a pipeline needless: with the pipeline's
    fingerprint, its artefacts whole, and its search complete or given no less time. With
    `reuse=true` it may be of any run; where there is none, it is logged which keys differ.

    Args:
        plan: the pipeline.
        manager: of its entries.
        run_id: of the run that is continued, if one is: its own entries are taken over.
        sweep: that the run belongs to: so are those of its other jobs.
    """
    limit = plan.pipeline.tuner.max_seconds
    needed_seconds = math.inf if limit is None else limit
    for entry in reversed(manager.entries(fingerprint=plan.identity.fingerprint)):
        stored_limit = entry.search.max_seconds
        is_shorter = stored_limit is not None and stored_limit < needed_seconds
        if entry.status == "failed" or is_shorter:
            continue
        own = (sweep is not None and entry.sweep == sweep) or (
            entry.run_id == run_id and entry.pipeline == plan.name
        )
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
    if plan.run.reuse and sweep is None:  # once
        say_why_not(plan, manager.entries(status="complete", pipeline=plan.name))
    return None


def overwritten(pipeline: schema.Pipeline) -> Iterator[str]:
    """Say which of Keras' callbacks write to one place whatever trial they are of."""
    several = regimes.of(pipeline).executions > 1
    for where, section in (
        ("callbacks", pipeline.callbacks),
        ("validation.callbacks", pipeline.validation.callbacks or {}),
    ):
        for name, callback in section.items():
            key = callback and WRITERS.get(callback.target.removeprefix("keras.callbacks."))
            if not callback or not key:
                continue
            said = {*schema.SAID.findall(str(callback.args.get(key)))}
            if "folder" not in said and not {"id", *["execution"] * several} <= said:
                yield (
                    f"{where}.{name}.{key} is a single place, where each training overwrites the "
                    f"files of the one before; begin it with ${{trial.folder}}/"
                )


def say_what_changed(plan: Plan) -> None:
    """Log, where a search starts beside older ones of the same pipeline, which keys differ from
    the newest of them.
    """
    folder, now = plan.place.folder, secrets.redact(plan.identity.of_search)
    newest = max(
        folder.parent.glob(f"*/{state.MARKER}"), key=lambda path: path.stat().st_mtime, default=None
    )
    if newest is not None and not (folder / state.MARKER).exists():
        _say_changes(
            logging.WARNING,
            plan.name,
            f"a new search beside {newest.parent}, whose trials stay there, unused; changed since",
            trees.differences(state.read_marker(newest.parent).get("parts"), now),
        )


def say_why_not(plan: Plan, entries: Sequence[Entry]) -> None:
    """Log, where no entry can be reused, which keys differ from the one that is nearest."""
    now, found = secrets.redact(plan.identity.of_pipeline), []
    for entry in reversed(entries[-RECENT:]):
        with suppress(errors.HistoryError):  # damaged: `doctor` says so
            found.append((trees.differences(entry.identity(), now), entry.id))
    if not found:
        log.info("%s: nothing to reuse: no complete entry has that name", plan.name)
        return
    changed, nearest = min(found, key=lambda item: len(item[0]))
    _say_changes(
        logging.INFO, plan.name, f"not reused; from {nearest}, the closest entry, differs", changed
    )


def _say_changes(
    level: int, name: str, head: str, changed: Mapping[str, tuple[object, object]]
) -> None:
    if changed:
        log.log(level, "%s: %s:", name, head)
    for key, (before, now) in changed.items():
        log.log(level, "%s:   %s: %s → %s", name, key, short(before), short(now))


def _place(experiment: schema.Experiment, name: str, search_fingerprint: str) -> state.Place:
    """Return the folder of this search alone: the newest there is or, with `fresh=true`, one more
    beside it.
    """
    tuner = experiment.pipelines[name].tuner
    directory = Path(tuner.directory or experiment.root / "trials").resolve()
    project = tuner.project_name or f"{experiment.name}-{name}".replace("/", "-")
    base = directory / project / search_fingerprint[:16]
    folders = [base, *(base.with_name(f"{base.name}-{count}") for count in range(2, 1000))]
    used = [index for index, folder in enumerate(folders) if (folder / state.MARKER).exists()]
    index = used[-1] + experiment.run.fresh if used else 0
    return state.Place(
        folders[index],
        search_fingerprint,
        locks=(directory if tuner.directory else experiment.root) / ".locks",
    )
