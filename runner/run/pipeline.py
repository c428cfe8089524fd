"""One pipeline: search → validation → entry, after plan.py has prepared its data."""

import dataclasses
import functools
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner

from history.entry import Entry
from history.errors import ExperimentError, HistoryError
from history.files import to_json
from history.manager import HistoryManager
from history.oracle import SearchRecord, read_search
from history.view.text import measured
from runner.config.check import plain_config
from runner.config.compose import effective
from runner.config.schema import Experiment
from runner.config.secrets import redact
from runner.errors import machine_is_at_fault
from runner.run.identity import digest
from runner.run.plan import Plan, say_what_changed, say_why_not
from runner.run.runs import OpenRun
from runner.search.loop import search
from runner.training import environment
from runner.training.build import bench
from runner.training.refit import Ranking, Validated, validate

log = logging.getLogger("runner")


@dataclass
class Done:
    """A pipeline that has ended, well or not. `entry` is None where not even the failure could be
    stored.
    """

    name: str
    manager: HistoryManager
    rank_by: str
    entry: Entry | None = None
    plan: Plan | None = None  # None: it could not even be planned, or was not run
    error: str | None = None
    reused: bool = False  # taken from the history, of an earlier run


def take_over(
    experiment: Experiment, planned: Plan, run: OpenRun, manager: HistoryManager
) -> Done | None:
    """The pipeline as an earlier start of this run ended it; None where it has to run."""
    if not run.continued:
        return None
    config = digest(plain_config(experiment.pipelines[planned.name]))
    for entry in reversed(manager.entries(pipeline=planned.name, status="complete")):
        if entry.run_id != run.id or entry.value("config_hash") != config:
            continue
        if entry.value("fingerprint") != planned.fingerprint:
            log.info(
                "%s: %s is not taken over: data, source files or versions changed",
                planned.name,
                entry.id,
            )
            continue
        log.info(
            "%s: taken over from the history: %s, which this run had finished",
            planned.name,
            entry.id,
        )
        return Done(
            planned.name, manager, _rank_by(experiment, planned.name, manager), entry, planned
        )
    return None


def reuse(experiment: Experiment, planned: Plan, manager: HistoryManager) -> Done | None:
    """The newest complete entry, of any run, with the pipeline's full fingerprint, its artefacts
    verified; None, with the keys that differ said, where there is none.
    """
    name = planned.name
    complete = manager.entries(status="complete")
    for entry in reversed(complete):
        if entry.value("fingerprint") != planned.fingerprint:
            continue
        try:
            manager.verify(entry)
        except HistoryError as error:
            log.warning("%s: %s is not reused: %s", name, entry.id, error)
            continue
        log.info("%s: reused from the history: %s, stored %s", name, entry.id, entry.created)
        return Done(name, manager, _rank_by(experiment, name, manager), entry, reused=True)
    say_why_not(planned, [entry for entry in complete if entry.pipeline == name])
    return None


def run_pipeline(
    experiment: Experiment,
    name: str,
    planned: Plan | Exception,
    run: OpenRun,
    manager: HistoryManager,
) -> Done:
    """Runs one pipeline and stores its entry. A failure is stored and returned, not raised.

    Args:
        experiment: the whole, checked.
        name: of the pipeline.
        planned: its plan, or why there is none, which is then recorded.
        run: that it belongs to.
        manager: that stores the entry.
    """
    done = Done(name, manager, _rank_by(experiment, name, manager))
    document: dict[str, Any] = {
        "run_id": run.id,
        "experiment": experiment.name,
        "pipeline": name,
        "task": experiment.pipelines[name].task.kind,
        "seed": experiment.run.seed,
        "environment": environment.describe(experiment.run),
        "overrides": redact(list(experiment.overrides)),
        "config_hash": digest(plain_config(experiment.pipelines[name])),
    }
    folder = run.stage / name
    stage = ["plan"]  # the last one is where the pipeline is
    files: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files["config"] = _write_config(experiment, name, folder)
        if changes := environment.uncommitted(experiment.root):
            files["changes"] = folder / "changes.diff"
            files["changes"].write_text(redact(changes), encoding="utf-8", errors="surrogateescape")
        if isinstance(planned, Exception):
            raise planned
        done.plan = planned
        files["identity"] = folder / "identity.json"
        files["identity"].write_bytes(to_json(redact(planned.identity)))
        files |= _work(experiment, done, document, stage, folder)
        stage.append("history")
        done.entry = manager.add({**document, "status": "complete"}, files)
    except HistoryError as error:  # the history itself is in trouble: there is nowhere to record it
        done.error = str(error)
        log.error("%s: %s", name, error)
    except Exception as error:
        done.error = str(error) or type(error).__name__
        if isinstance(
            error, (ExperimentError, keras_tuner.errors.FatalError)
        ) or machine_is_at_fault(error):
            log.error("%s failed in %s: %s", name, stage[-1], error)
        else:  # a code error, ours or the user's: its trace is the message
            log.exception("%s failed in %s", name, stage[-1])
        _record_failure(done, document, files, stage[-1], error, folder)
    return done


def _rank_by(experiment: Experiment, name: str, manager: HistoryManager) -> str:
    return experiment.pipelines[name].task.rank_by or manager.ranking


def _work(
    experiment: Experiment, done: Done, document: dict[str, Any], stage: list[str], folder: Path
) -> dict[str, Path]:
    """Search and validation; fills the document as it goes, so that a failure records what was
    reached.
    """
    run, pipeline, planned = experiment.run, experiment.pipelines[done.name], done.plan
    assert planned is not None
    document |= {"data": redact(planned.data), "fingerprint": planned.fingerprint}
    objective = {"name": pipeline.objective.name, "direction": pipeline.objective.sense}
    document["search"] = {
        "tuner": pipeline.tuner.kind,
        "fingerprint": planned.place.fingerprint,
        "objective": objective,
    }
    log.info("%s: %s", done.name, _sizes(planned.data))

    stage.append("search")
    say_what_changed(planned)
    marker = {"experiment": experiment.name, "pipeline": done.name, "parts": redact(planned.parts)}
    notify = functools.partial(say_trial, done.name, pipeline.objective.name, run.progress)
    outcome = search(run, pipeline, planned.place, marker, notify)
    document["search"] |= outcome.record.summary()
    document["best"] = {key: outcome.best[key] for key in ("trial_id", "score", "values")}
    files = _search_files(outcome.record, folder)

    stage.append("validation")
    dataset = bench(pipeline)[0]
    ranking = Ranking(done.rank_by, done.manager.metrics[done.rank_by])
    say = functools.partial(say_refit, done.name, done.rank_by, run.progress)
    validated = validate(run, pipeline, dataset, outcome.hyperparameters, ranking, folder, say)
    document |= _measured(validated, tested=dataset.test is not None)
    seconds = {
        "preparation": planned.preparation,
        "search": document["search"]["seconds"],
        "validation": validated.seconds,
    }
    document["timings"] = seconds
    return files | validated.files


def _search_files(record: SearchRecord, folder: Path) -> dict[str, Path]:
    files = {"trials": folder / "trials.json", "oracle": folder / "oracle.json"}
    files["trials"].write_bytes(to_json(record.trials))
    files["oracle"].write_bytes(to_json(record.oracle))
    return files


def _measured(validated: Validated, *, tested: bool) -> dict[str, Any]:
    count = len(validated.runs)
    validation = {**validated.summary("validation"), "repeats": count, "kept": validated.kept}
    return {"validation": validation} | ({"test": validated.summary("test")} if tested else {})


def _write_config(experiment: Experiment, name: str, folder: Path) -> Path:
    """The pipeline's config as it was understood: an experiment of this pipeline alone."""
    path = folder / "config.yaml"
    alone = dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, only=None))
    path.write_text(effective(alone, only=[name]), encoding="utf-8")
    return path


def _record_failure(
    done: Done,
    document: dict[str, Any],
    files: dict[str, Path],
    stage: str,
    error: Exception,
    folder: Path,
) -> None:
    cause = {"type": type(error).__name__, "message": done.error, "stage": stage}
    try:
        files = {**files, "trace": folder / "trace.txt"}
        files["trace"].write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        if done.plan is not None and (done.plan.place.folder / "oracle.json").is_file():
            record = read_search(done.plan.place.folder)
            files |= _search_files(record, folder)
            document["search"] |= record.summary()
        done.entry = done.manager.add({**document, "status": "failed", "error": cause}, files)
    except (HistoryError, OSError) as unstored:
        log.error("%s: its failure cannot be recorded: %s", done.name, unstored)


def say_trial(
    name: str,
    objective: str,
    shown: bool,
    result: Mapping[str, Any],
    ended: int,
    budget: int | None,
) -> None:
    """Logs a line for a trial of a pipeline; where they are not to be shown, for one that
    failed.
    """
    head = f"{name}: trial {ended}{f'/{budget}' if budget else ''}"
    score = result["score"]
    if score is None or result["status"] != "COMPLETED":
        cause = (str(result["message"] or "").strip().splitlines() or ["no message"])[-1]
        log.warning("%s failed: %s", head, cause)
    elif shown:
        seconds = result["seconds"] or 0.0
        log.info("%s  %s %.5g (best %.5g)  %.1f s", head, objective, score, result["best"], seconds)


def say_refit(name: str, metric: str, shown: bool, repeat: int, row: Mapping[str, Any]) -> None:
    """Logs a line for a refit of a pipeline, where they are to be shown."""
    if shown:
        value = measured(row["validation"][metric], None, 1)
        log.info("%s: refit %d  %s %s  %.1f s", name, repeat + 1, metric, value, row["seconds"])


def _sizes(data: Mapping[str, Any]) -> str:
    shapes = data["shapes"]
    parts = ", ".join(f"{shape[0]} {name}" for name, shape in shapes.items())
    return f"{parts} rows of shape {tuple(shapes['train'][1:])}"
