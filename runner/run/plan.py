"""Plans pipelines: loads their data and finds their identities, search folders and stored entries.
What cannot work fails here, so that a wrong model or objective costs seconds, not trainings.
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
from runner.config import schema
from runner.config.schema import Experiment, Pipeline
from runner.data.shared import Loaded
from runner.errors import ConfigError, DataError, Problem, message_of, short
from runner.run.identity import Identity, identify
from runner.training import ledger, regimes
from runner.training.validated import Ranking
from runner.workers import tasks
from runner.workers.executors import Workers

log = logging.getLogger("runner")

# Keras' callbacks that write files, and the argument that says where.
WRITERS = {
    "BackupAndRestore": "backup_dir",
    "CSVLogger": "filename",
    "ModelCheckpoint": "filepath",
    "TensorBoard": "log_dir",
}
RECORD = 5_000  # bytes of a trial's JSON files, measured with 10 epochs of 4 metrics
RECENT = 100  # entries that are searched for the closest one


@dataclass(frozen=True)
class Plan:
    """A pipeline that can run."""

    name: str
    run: schema.Run
    pipeline: Pipeline
    identity: Identity
    search: ledger.SearchFolder
    loaded: Loaded
    entry: Entry | None = None  # from the history, so that the pipeline need not run
    size: ledger.Size | None = None  # of the default model; None if there is an entry

    @property
    def data(self) -> Mapping[str, Any]:
        """What an entry records of the data."""
        return self.loaded.record | {"split": self.pipeline.data.split.model_dump()}

    @property
    def inputs(self) -> object:
        """The shape of a row, or a description of the model's inputs."""
        return self.data.get("inputs") or tuple(self.data["shapes"]["train"][1:])

    def with_data(self, workers: Workers) -> "Plan":
        """Return the plan with its data, reloaded if it had to make room for other data.

        Raises:
            DataError: the data has changed meanwhile.
        """
        loaded = workers.data(self.pipeline).result()
        if loaded.content != self.loaded.content:
            raise DataError("the data has changed since the run began; re-run the same command")
        return replace(self, loaded=replace(loaded, code=self.loaded.code))


def plan_all(
    experiment: Experiment, workers: Workers, continued: str | None = None
) -> dict[str, Plan | Exception]:
    """Plan every pipeline before the first one starts. All mistakes in the input, including hooks,
    are reported at once. A code error is the failure of its pipeline alone, and is returned.

    Args:
        experiment: the checked config.
        workers: load the data and try the default models.
        continued: the id of the run that is continued, if any.

    Raises:
        ConfigError: a pipeline or a hook cannot work as configured.
    """
    hooks = workers.submit(tasks.check_hooks, experiment.run)
    # All pipelines take a step before any takes the next one, so that workers do them in parallel.
    waiting = {name: _steps(experiment, name, workers, continued) for name in experiment.pipelines}
    plans: dict[str, Any] = dict.fromkeys(waiting)
    problems = list(hooks.result())
    while waiting:
        for name in list(waiting):
            try:
                plans[name] = next(waiting[name])
            except ConfigError as error:
                plans[name] = error
                for problem in error.problems:
                    where = f"pipelines.{name}.{problem.where or 'data'}"
                    problems.append(Problem(where, problem.what))
            except Exception as error:
                log.error("%s cannot run: %s: %s", name, type(error).__name__, message_of(error))
                plans[name] = error
            if plans[name] is not None:
                del waiting[name]
    if problems:
        raise ConfigError(problems)
    return plans


def _steps(
    experiment: Experiment, name: str, workers: Workers, continued: str | None
) -> Iterator[Plan | None]:
    """Load a pipeline's data, try its default model unless the history has a usable entry, and
    yield the plan. Before that, yield None whenever workers have something to do.

    Raises:
        ConfigError: the pipeline cannot work with this config or data.
        Exception: whatever the user's own data and model functions raise.
    """
    run = experiment.run
    pipeline = experiment.pipelines[name]
    loading = workers.data(pipeline)
    yield None
    loaded = loading.result()
    surveyed = workers.submit(tasks.survey, pipeline, loaded)
    yield None
    tuner = pipeline.tuner
    epochs = pipeline.fit.epochs
    if isinstance(tuner, schema.HyperbandTuner) and epochs not in (None, tuner.max_epochs):
        log.info(
            "%s: Hyperband sets the epochs, up to %s; fit.epochs has no effect",
            name,
            tuner.max_epochs,
        )
    for warning in overwritten(pipeline):
        log.warning("%s: %s", name, warning)
    data = {"source": loaded.record["source"], "content": loaded.content}
    if regimes.of(pipeline).folds:
        data["by"] = loaded.by
    identity = identify(run, pipeline, data, surveyed.result())
    loaded = replace(loaded, code=identity.of_search["code"])
    search = _search_folder(experiment, name, identity.search_fingerprint)
    plan = Plan(name, run, pipeline, identity, search, loaded)
    if run.reproduce is None:
        entry = in_history(plan, continued)
        if entry is not None:
            yield replace(plan, entry=entry)
    size = ledger.tried(search.folder, identity.fingerprint)
    if size is None:
        tried = workers.submit(tasks.preflight, pipeline, loaded)
        yield None
        size = tried.result()
    if run.reproduce is None and not search.folder.is_dir():  # it is new
        _check_space(plan, size, workers.slots)
    _warn_of_blind_search(plan, size)
    yield replace(plan, size=size)


def _check_space(plan: Plan, size: ledger.Size, slots: int) -> None:
    """Raise ConfigError if the disk is too full for a search."""
    folder = plan.search.folder
    tuner = plan.pipeline.tuner
    needed = bytes_of(size, getattr(tuner, tuner.limit) or 0, slots)
    existing = next(parent for parent in folder.parents if parent.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise ConfigError(
            f"the search needs {needed / 1e9:.1f} GB of disk, but only {free / 1e9:.1f} GB are "
            f"free for {folder}; free some space, or choose another folder",
            "tuner.directory",
        )


def _warn_of_blind_search(plan: Plan, size: ledger.Size) -> None:
    """Warn if a tuner that learns from scores has no trial left to use them for."""
    tuner = plan.pipeline.tuner
    if not isinstance(tuner, schema.GuidedTuner):
        return
    blind = tuner.unguided(len(size.space["space"]))
    if tuner.max_trials <= blind:
        log.warning(
            "%s: with tuner.max_trials=%d, every trial is drawn at random: the first %d are "
            "(tuner.num_initial_points, and tuner.parallel - 1 that run meanwhile)",
            plan.name,
            tuner.max_trials,
            blind,
        )


def ranked_by(pipeline: Pipeline) -> Ranking:
    """Return the metric that ranks a pipeline's entries and refits."""
    manager = registry.manager_class(pipeline.manager_name)
    metric = pipeline.task.rank_by or manager.ranking
    direction = manager.metrics.get(metric) or pipeline.direction_of(metric)
    assert direction is not None  # the config was checked
    return Ranking(metric, direction)


def bytes_of(size: ledger.Size, trials: int, slots: int) -> int:
    """Return the disk space of a search: its trials' records, the checkpoints that are kept, and
    those of running trials, which may also have the one that they began from.
    """
    return (size.kept + slots * min(size.kept, 2)) * size.bytes + trials * RECORD


def in_history(plan: Plan, run_id: str | None, sweep: str | None = None) -> Entry | None:
    """Return the newest entry that can be used instead of running a pipeline: it has the same
    fingerprint, intact artefacts, and a search that was complete or had at least as much time. With
    `reuse=true` it may be of any run; if there is none, the keys that differ are logged.

    Args:
        plan: the pipeline.
        run_id: the run that is continued, if any; its own entries are taken over.
        sweep: the sweep that the run belongs to; entries of its jobs are taken over too.
    """
    root = Path(plan.run.paths.root).resolve()
    manager = registry.manager(plan.pipeline.manager_name, root)
    limit = plan.pipeline.tuner.max_seconds
    needed_seconds = math.inf if limit is None else limit
    for entry in reversed(manager.entries(fingerprint=plan.identity.fingerprint)):
        stored_limit = entry.search.max_seconds
        is_shorter = stored_limit is not None and stored_limit < needed_seconds
        of_run = entry.run_id == run_id and entry.pipeline == plan.name
        is_own = of_run or entry.sweep == sweep
        if entry.status == "failed" or is_shorter or not (is_own or plan.run.reuse):
            continue
        try:
            manager.verify(entry)
        except errors.HistoryError as error:
            log.warning("%s: %s is not taken from the history: %s", plan.name, entry.id, error)
            continue
        log.info(
            "%s: %s from the history: %s, stored %s",
            plan.name,
            "taken over" if is_own else "reused",
            entry.id,
            entry.created,
        )
        return entry
    if plan.run.reuse and sweep is None:  # once
        _say_why_not(plan, manager.entries(status="complete", pipeline=plan.name))
    return None


def overwritten(pipeline: Pipeline) -> Iterator[str]:
    """Yield a warning for each of Keras' callbacks whose files all trials would share."""
    needed = {"id"}
    if regimes.of(pipeline).executions > 1:
        needed.add("execution")
    for where, section in (
        ("callbacks", pipeline.callbacks),
        ("validation.callbacks", pipeline.validation.callbacks or {}),
    ):
        for name, callback in section.items():
            target = callback.target.removeprefix("keras.callbacks.") if callback else ""
            if callback is None or target not in WRITERS:
                continue
            key = WRITERS[target]
            used = set(schema.SAID.findall(str(callback.args.get(key))))
            if "folder" not in used and not needed <= used:
                yield (
                    f"{where}.{name}.{key} is a single place, where each training overwrites the "
                    f"files of the one before; begin it with ${{trial.folder}}/"
                )


def say_what_changed(plan: Plan) -> None:
    """If a search starts beside older ones of the same pipeline, log the keys that differ from the
    newest of them.
    """
    if (plan.search.folder / ledger.MARKER).exists():
        return
    markers = plan.search.folder.parent.glob(f"*/{ledger.MARKER}")
    newest = max(markers, key=lambda path: path.stat().st_mtime, default=None)
    if newest is not None:
        parts = ledger.read_marker(newest.parent).get("parts")
        changed = trees.differences(parts, secrets.redact(plan.identity.of_search))
        head = (
            f"a new search beside {newest.parent}, whose trials stay there, unused; changed since"
        )
        _say_changes(logging.WARNING, plan.name, head, changed)


def _say_why_not(plan: Plan, entries: Sequence[Entry]) -> None:
    """Log the keys that differ from the closest entry, as none can be reused."""
    now = secrets.redact(plan.identity.of_pipeline)
    candidates = []
    for entry in reversed(entries[-RECENT:]):
        with suppress(errors.HistoryError):  # a damaged entry, which `doctor` reports
            candidates.append((trees.differences(entry.identity(), now), entry.id))
    if not candidates:
        log.info("%s: nothing to reuse: no complete entry has that name", plan.name)
        return
    changed, nearest = min(candidates, key=lambda candidate: len(candidate[0]))
    head = f"not reused; from {nearest}, the closest entry, differs"
    _say_changes(logging.INFO, plan.name, head, changed)


def _say_changes(
    level: int, name: str, head: str, changed: Mapping[str, tuple[object, object]]
) -> None:
    if changed:
        log.log(level, "%s: %s:", name, head)
    for key, (before, now) in changed.items():
        log.log(level, "%s:   %s: %s → %s", name, key, short(before), short(now))


def _search_folder(
    experiment: Experiment, name: str, search_fingerprint: str
) -> ledger.SearchFolder:
    """Return the folder that only this search uses: the newest one or, with `fresh=true`, a new one
    beside it.
    """
    tuner = experiment.pipelines[name].tuner
    directory = Path(tuner.directory or experiment.root / "trials").resolve()
    locks = (directory if tuner.directory else experiment.root) / ".locks"
    project = tuner.project_name or f"{experiment.name}-{name}".replace("/", "-")
    first = directory / project / search_fingerprint[:16]
    folders = [first, *(first.with_name(f"{first.name}-{number}") for number in range(2, 1000))]
    used = [index for index, folder in enumerate(folders) if (folder / ledger.MARKER).exists()]
    index = used[-1] + experiment.run.fresh if used else 0
    return ledger.SearchFolder(folders[index], search_fingerprint, locks)
