"""Runs one pipeline that plan.py has prepared: search, refits, entry."""

import functools
import logging
import math
import shutil
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from foundation import errors, files, secrets
from history import Entry, oracle, registry
from history.manager import HistoryManager
from history.schema import LABELS
from history.view.text import not_better
from runner import Interrupted
from runner.config import compose, schema
from runner.errors import machine_is_at_fault, message_of
from runner.report.progress import Display
from runner.run.identity import config_hash
from runner.run.plan import Plan, ranked_by, say_what_changed
from runner.search import loop
from runner.search.loop import Outcome
from runner.training import environment, ledger, regimes
from runner.training.validated import BestTrial, Ranking, Refit, Validated
from runner.workers import tasks
from runner.workers.executors import Workers

log = logging.getLogger("runner")


@dataclass
class Done:
    """A pipeline that has ended, well or not. `entry` is None if not even the failure could be
    stored; `search` if it could not be planned, or was part of an earlier run.
    """

    name: str
    manager: HistoryManager
    entry: Entry | None = None
    search: ledger.SearchFolder | None = None
    error: str | None = None


@dataclass
class Draft:
    """An entry in the making: the stage that its pipeline has reached, the document so far, and
    the artefacts that are to be moved to the history. A failure keeps all of it.
    """

    folder: Path  # for the artefacts
    document: files.JsonObject
    stage: str = "plan"  # then search, validation, history
    files: dict[str, Path] = field(default_factory=dict)

    def keep(self, file: str, content: bytes | str) -> None:
        """Write an artefact, which has the name of its file without the suffix."""
        if isinstance(content, str):
            content = str(files.clean(content)).encode("utf-8", "surrogateescape")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / file
        path.write_bytes(content)
        self.files[path.stem] = path

    def keep_search(self, record: oracle.SearchRecord) -> None:
        """Keep the result of a search, or what there is of it."""
        self.document["search"] |= record.summary()
        self.keep("trials.json", files.to_json([trial.row() for trial in record.trials]))
        self.keep("oracle.json", files.to_json(record.oracle))


def run_pipeline(
    experiment: schema.Experiment,
    name: str,
    planned: Plan | Exception,
    ids: Mapping[str, str],
    folder: Path,
    manager: HistoryManager,
    workers: Workers,
) -> Done:
    """Run one pipeline and store its entry. A failure is stored and returned, not raised.

    Args:
        experiment: the checked config.
        name: of the pipeline.
        planned: its plan, or the error that prevented one, which is then recorded.
        ids: `run_id` of the run and, if it belongs to one, its `sweep`.
        folder: for artefacts until the history has them.
        manager: stores the entry.
        workers: train the models.
    """
    done = Done(name, manager)
    devices = workers.submit(environment.devices, experiment.run).result()
    draft = Draft(folder, {**ids, **_origin(experiment, name, devices)})
    try:
        draft.keep("config.yaml", compose.effective(experiment, only=[name]))
        changes = environment.uncommitted(experiment.root)
        if changes:
            draft.keep("changes.diff", changes)
        if isinstance(planned, Exception):
            raise planned
        done.search = planned.search
        _work(planned, workers, draft)
        draft.stage = "history"
        done.entry = manager.add({"status": "complete", **draft.document}, draft.files)
    except Exception as error:
        done.error = message_of(error)
        if isinstance(error, errors.ExperimentError) or machine_is_at_fault(error):
            log.error("%s failed in %s: %s", name, draft.stage, done.error)
        else:  # a code error, in the runner or in user code: the trace is the message
            log.exception("%s failed in %s", name, draft.stage)
        _record_failure(done, draft, error)
    return done


def _origin(experiment: schema.Experiment, name: str, devices: str) -> files.JsonObject:
    """Return the part of an entry that does not depend on how its pipeline ends."""
    run = experiment.run
    pipeline = experiment.pipelines[name]
    return {
        "experiment": experiment.name,
        "pipeline": name,
        "task": pipeline.task.kind,
        "seed": run.seed,
        "environment": environment.describe(run, devices),
        "overrides": list(experiment.overrides),
        "config_hash": config_hash(pipeline),
        **run.model_dump(include=set(LABELS), exclude_defaults=True),
    }


def search_step(plan: Plan, marker: Mapping[str, object], workers: Workers) -> Outcome:
    """Run a pipeline's search, or what is left of it, and show its trials.

    Args:
        plan: the pipeline.
        marker: what else the marker of the search folder is to say.
        workers: run the trials.
    """
    tuner = plan.pipeline.tuner
    size = plan.size
    assert size is not None  # planning tried the default model
    workers.tell_idle(getattr(tuner, "parallel", None), "tuner.parallel")
    limits = (getattr(tuner, tuner.limit), size.trials)
    total = min(filter(None, limits), default=None)
    Display.now.at(plan.name, "trial", total, size.epochs if total == size.trials else None)
    tried = {"fingerprint": plan.identity.fingerprint, "size": vars(size)}
    return loop.search(
        plan.run,
        plan.pipeline,
        plan.search,
        {"pipeline": plan.name, "tried": tried, **marker},
        functools.partial(Display.now.trial, plan.pipeline.objective.name),
        workers,
        plan.loaded,
        size.space,
    )


def refit_step(
    plan: Plan,
    outcome: Outcome,
    ranked: Ranking,
    folder: Path,
    workers: Workers,
) -> Validated:
    """Refit and evaluate a pipeline's model, and show each refit.

    Args:
        plan: the pipeline.
        outcome: of the search.
        ranked: which refit's model is kept.
        folder: of the artefacts.
        workers: that refit.
    """
    clock = time.perf_counter()
    regime = regimes.of(plan.pipeline)
    folders = [folder / f"refit-{number}" for number in range(regime.refits)]
    together = folder / "refit-mean"
    workers.tell_idle(len(folders), "validation.repeats")
    Display.now.at(plan.name, "refit", len(folders))
    trial_id = outcome.best.trial_id
    Display.now.say("%s: refits of trial %s, the best, follow", plan.name, trial_id)
    epochs = (outcome.best.best_epoch or 0) + 1
    best = BestTrial(plan.search, trial_id, outcome.hyperparameters, epochs)
    started = [
        workers.submit(tasks.refit, plan.run, plan.pipeline, plan.loaded, best, number, own_folder)
        for number, own_folder in enumerate(folders)
    ]
    try:
        refits = _refits(plan, regime, started, ranked)
        pooled: dict[str, Path] = {}
        mean = None
        if regime.folds or plan.pipeline.is_ensemble:
            combined = workers.submit(tasks.combine, plan.pipeline, plan.loaded, refits, together)
            started.append(combined)
            pooled, mean = combined.result()
        if mean is not None:
            shown = _shown(mean.row, ranked.metric)
            Display.now.say("%s: their mean  %s", plan.name, shown)
        validated = Validated.of(refits, ranked, folder, time.perf_counter() - clock, mean, pooled)
        for own_folder in folders:
            source = own_folder / schema.CALLBACKS
            copies = copy_left(plan.pipeline.artefacts, own_folder.name, source, folder)
            validated.files.update(copies)
        return validated
    finally:
        wait([future for future in started if not future.cancel() and not Interrupted.by])
        for temporary in (*folders, together):
            shutil.rmtree(temporary, ignore_errors=True)


def _refits(
    plan: Plan, regime: regimes.Regime, started: Sequence[Future[Refit]], ranked: Ranking
) -> list[Refit]:
    """Return all refits once they have ended, and show each."""
    refits = []
    for number, future in enumerate(started):
        refit = future.result()
        refits.append(refit)
        Display.now.tick()
        Display.now.say(
            "%s: %s  %s  %.1f s",
            plan.name,
            regime.label(number),
            _shown(refit.row, ranked.metric),
            refit.row["seconds"],
        )
    return refits


def _shown(row: files.JsonObject, metric: str) -> str:
    """Return a refit's result in the ranking metric."""
    part = "validation" if "validation" in row else "test"
    if part not in row:
        return ""
    label = f"test {metric}" if part == "test" else metric
    return f"{label} {row[part].get(metric, math.nan):.5g}"


def copy_left(
    patterns: Sequence[str], training: str, source: Path, folder: Path
) -> dict[str, Path]:
    """Copy the files of a training that callbacks have left and that match the patterns, and return
    the copies by name: the training and the file's path.
    """
    copies = {}
    for pattern in patterns:
        for path in source.glob(pattern):
            if path.is_file() and not path.is_symlink():
                name = "-".join([training, *path.relative_to(source).parts])
                copies[name] = Path(shutil.copyfile(path, folder / name))
    return dict(sorted(copies.items()))


def _work(plan: Plan, workers: Workers, draft: Draft) -> None:
    """Search and refit, filling the draft on the way, so that a failure records what there is by
    then.
    """
    plan = plan.with_data(workers)
    _describe(plan, workers, draft)
    draft.stage = "search"
    outcome = _search(plan, workers, draft)
    draft.stage = "validation"
    ranked = ranked_by(plan.pipeline)
    validated = refit_step(plan, outcome, ranked, draft.folder, workers)
    _keep_left(plan, outcome.best.trial_id, validated, draft)
    _record_validated(plan, outcome, validated, ranked, draft)


def _describe(plan: Plan, workers: Workers, draft: Draft) -> None:
    """Record and log what is known before the search: the data, the identity and the split."""
    objective = plan.pipeline.objective
    draft.document["data"] = plan.data
    draft.document["fingerprint"] = plan.identity.fingerprint
    draft.document["search"] = {
        "tuner": plan.pipeline.tuner.kind,
        "fingerprint": plan.identity.search_fingerprint,
        "objective": {"name": objective.name, "direction": objective.sense},
    }
    identity = secrets.redact(plan.identity.of_pipeline)
    draft.keep("identity.json", files.to_json(identity))
    split = workers.submit(tasks.split, plan.pipeline, plan.loaded).result()
    if split:
        draft.keep("split.npz", split)
    rows = ", ".join(f"{shape[0]} {part}" for part, shape in plan.data["shapes"].items())
    log.info("%s: %s rows of shape %s", plan.name, rows, plan.inputs)
    reading = plan.data.get("read")
    if reading:
        log.info("%s: %s", plan.name, reading)


def _search(plan: Plan, workers: Workers, draft: Draft) -> Outcome:
    """Search, with the baselines measured meanwhile, and record both."""
    document = draft.document
    say_what_changed(plan)
    baselines = None
    if plan.pipeline.baselines == "auto":
        baselines = workers.submit(tasks.baselines, plan.name, plan.pipeline, plan.loaded)
    parts = secrets.redact(plan.identity.of_search)
    marker = {"experiment": document["experiment"], "parts": parts}
    outcome = search_step(plan, marker, workers)
    draft.keep_search(outcome.record)
    document["search"] |= outcome.notes
    if "ended" in outcome.notes:
        log.info("%s: %s", plan.name, outcome.notes["ended"])
    if "max_seconds" in outcome.notes:
        document["status"] = "budget"
    if baselines is not None:
        try:
            document["baselines"] = baselines.result()
        except Exception as error:  # which is no reason to lose the search
            log.warning("%s: no baselines: %s", plan.name, message_of(error))
    best = outcome.best
    document["best"] = {
        "trial_id": best.trial_id,
        "score": best.score,
        "values": best.values,
        "best_epoch": best.best_epoch,
    }
    return outcome


def _keep_left(plan: Plan, best: str, validated: Validated, draft: Draft) -> None:
    """Keep the files that callbacks have left in the best trial and in the refits."""
    patterns = [f"*/{pattern}" for pattern in plan.pipeline.artefacts]  # in any of its trainings
    source = plan.search.trial(best) / schema.CALLBACKS
    draft.files |= copy_left(patterns, f"trial-{best}", source, draft.folder)
    draft.files |= validated.files
    if patterns and not any(name.startswith(("trial-", "refit-")) for name in draft.files):
        log.warning("%s: callbacks left no files that match %s", plan.name, plan.pipeline.artefacts)


def _record_validated(
    plan: Plan, outcome: Outcome, validated: Validated, ranked: Ranking, draft: Draft
) -> None:
    """Record the results of the refits, and warn if they are worse than those of the search."""
    pipeline = plan.pipeline
    document = draft.document
    for part in validated.parts:
        document[part] = validated.summary(part)
    section = document["validation"]
    section["kept"] = validated.kept
    folds = regimes.of(pipeline).folds
    if folds:
        section["folds"] = folds
    shipped = registry.manager_class(pipeline.task.kind).metrics
    own = [name for name in section["metrics"] if name not in shipped]
    if own:
        section["own_metrics"] = {name: pipeline.direction_of(name) for name in own}
    if validated.ensemble:
        document["ensemble"] = validated.ensemble
    doubt = validated.doubt(pipeline.objective, outcome.best)
    if doubt:
        section["warning"] = doubt
        log.warning("%s: %s", plan.name, doubt)
    warning = not_better(Entry(document, draft.folder), ranked.metric, ranked.direction)
    if warning:
        log.warning(warning)
    document["timings"] = {
        "preparation": plan.loaded.seconds,
        "search": document["search"]["seconds"],
        "validation": validated.seconds,
    }


def _record_failure(done: Done, draft: Draft, error: Exception) -> None:
    draft.document["status"] = "failed"
    draft.document["error"] = {
        "type": type(error).__name__,
        "message": done.error,
        "stage": draft.stage,
    }
    try:
        trace = "".join(traceback.format_exception(error))  # which may hold any text
        draft.keep("trace.txt", trace.encode(errors="backslashreplace").decode())
        if done.search is not None and (done.search.folder / ledger.ORACLE).is_file():
            draft.keep_search(oracle.read_search(done.search.folder))
        done.entry = done.manager.add(draft.document, draft.files)
    except (errors.HistoryError, OSError) as unstored:
        log.error("%s: the failure cannot be recorded: %s", done.name, unstored)
