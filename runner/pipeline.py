"""One pipeline: data → search → validation → entry."""

import logging
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from history.entry import Entry
from history.errors import ExperimentError, HistoryError
from history.files import to_json
from history.manager import HistoryManager
from history.oracle import SearchRecord, read_search
from history.text import measured
from runner import environment
from runner.check import plain
from runner.data import Dataset
from runner.data.sources import load
from runner.fingerprint import digest, search_parts, source_hash
from runner.search.loop import Outcome, search
from runner.search.state import MARKER
from runner.settings import Data, Experiment, Model, Pipeline, Target
from runner.targets import locate
from runner.validation import Ranking, Validated, validate

log = logging.getLogger("runner")


@dataclass
class Done:
    """A pipeline that has ended, well or not. `entry` is None where not even the failure could be stored."""

    name: str
    manager: HistoryManager
    rank_by: str
    entry: Entry | None = None
    trials: Path | None = None  # the search's folder, once there is one
    fingerprint: str = ""  # of the search
    error: str | None = None


class _Stage:
    """Where a pipeline is, for the record of a failure."""

    def __init__(self) -> None:
        self.name = "data"


def run_pipeline(experiment: Experiment, name: str, run_id: str, manager: HistoryManager, stage_folder: Path) -> Done:
    """Runs one pipeline and stores its entry. A failure is stored and returned, not raised.

    Args:
        experiment: the whole, checked.
        name: of the pipeline.
        run_id: of the run.
        manager: that stores the entry.
        stage_folder: where artefacts are written before the manager takes them.
    """
    pipeline = experiment.pipelines[name]
    done = Done(name, manager, pipeline.task.rank_by or manager.ranking)
    document: dict[str, Any] = {
        "run_id": run_id,
        "experiment": experiment.name,
        "pipeline": name,
        "task": pipeline.task.kind,
        "seed": experiment.run.seed,
        "environment": environment.describe(experiment.run),
        "overrides": list(experiment.overrides),
    }
    stage_folder.mkdir(parents=True, exist_ok=True)
    files = {"config": _write_config(experiment, name, stage_folder)}
    document["config_hash"] = digest(plain(pipeline))
    stage = _Stage()
    try:
        files |= _work(experiment, name, done, document, stage, stage_folder)
        stage.name = "history"
        done.entry = manager.add({**document, "status": "complete"}, files)
    except HistoryError as error:  # the history itself is in trouble: there is nowhere to record it
        done.error = str(error)
        log.error("%s: %s", name, error)
    except Exception as error:
        done.error = str(error) or type(error).__name__
        if isinstance(error, ExperimentError):
            log.error("%s failed in %s: %s", name, stage.name, error)
        else:  # a code error, ours or the user's: its trace is the message
            log.exception("%s failed in %s", name, stage.name)
        _record_failure(done, document, files, stage, error, stage_folder)
    return done


def _work(
    experiment: Experiment, name: str, done: Done, document: dict[str, Any], stage: _Stage, folder: Path
) -> dict[str, Path]:
    """The pipeline's work; fills the document as it goes, so that a failure records what was reached."""
    run, pipeline = experiment.run, experiment.pipelines[name]
    clock = time.perf_counter()
    dataset = load(pipeline.data, pipeline.task.kind)
    document["data"] = dataset.describe() | {"split": plain(pipeline.data.split)}
    preparation = time.perf_counter() - clock
    log.info("%s: %s", name, _sizes(dataset))

    stage.name = "search"
    parts = search_parts(run, pipeline, dataset.fingerprint, _sources(pipeline), environment.versions(run))
    done.fingerprint = digest(parts)
    document["fingerprint"] = digest({"search": done.fingerprint, "validation": plain(pipeline.validation)})
    done.trials = _search_folder(experiment, name, pipeline, done.fingerprint)
    document["search"] = _asked(pipeline, done.fingerprint)
    marker = {"fingerprint": done.fingerprint, "experiment": experiment.name, "pipeline": name, "parts": parts}
    outcome = search(run, pipeline, dataset, done.trials, marker, _Progress(name, pipeline))
    if outcome.taken_over:
        log.info("%s: took over %d ended trials from %s", name, outcome.taken_over, done.trials)
    document["search"] |= _found(outcome)
    document["best"] = {key: outcome.best[key] for key in ("trial_id", "score", "values")}
    files = _search_files(outcome.record, folder)

    stage.name = "validation"
    ranking = Ranking(done.rank_by, done.manager.metrics[done.rank_by])
    validated = validate(run, pipeline, dataset, outcome.hyperparameters, ranking, folder, _Repeats(name, done.rank_by))
    document |= _measured(validated, dataset)
    document["timings"] = {
        "preparation": preparation,
        "search": outcome.seconds,
        "validation": validated.seconds,
    }
    return files | validated.files


def _search_folder(experiment: Experiment, name: str, pipeline: Pipeline, fingerprint: str) -> Path:
    """The folder of this search alone. With `fresh=true`, a new one beside those that are there."""
    directory = Path(pipeline.tuner.directory or experiment.root / "trials").resolve()
    project = directory / (pipeline.tuner.project_name or f"{experiment.name}-{name}")
    folder = project / fingerprint[:16]
    count = 2
    while experiment.run.fresh and (folder / MARKER).exists():
        folder = project / f"{fingerprint[:16]}-{count}"
        count += 1
    return folder


def _sources(pipeline: Pipeline) -> dict[str, str | None]:
    """Hashes of the user's source files that this pipeline's config names."""
    sections: dict[str, Model | Data | Target | None] = {"model": pipeline.model, "data": pipeline.data}
    sections |= {f"callbacks.{name}": target for name, target in pipeline.callbacks.items()}
    named = {where: s for where, s in sections.items() if isinstance(s, Target)}
    return {where: source_hash(locate(target.target, where)) for where, target in named.items()}


def _asked(pipeline: Pipeline, fingerprint: str) -> dict[str, Any]:
    objective = {"name": pipeline.objective.name, "direction": pipeline.objective.sense}
    return {"tuner": pipeline.tuner.kind, "fingerprint": fingerprint, "objective": objective}


def _found(outcome: Outcome) -> dict[str, Any]:
    trials = outcome.record.trials
    counts = {status: sum(row["status"] == status for row in trials) for status in ("COMPLETED", "FAILED")}
    return {
        "space": outcome.record.space,
        "oracle": outcome.record.parameters,
        "trials": {"total": len(trials), "completed": counts["COMPLETED"], "failed": counts["FAILED"]},
        "seconds": outcome.seconds,
    }


def _search_files(record: SearchRecord, folder: Path) -> dict[str, Path]:
    files = {"trials": folder / "trials.json", "oracle": folder / "oracle.json"}
    files["trials"].write_bytes(to_json(record.trials))
    files["oracle"].write_bytes(to_json(record.oracle))
    return files


def _measured(validated: Validated, dataset: Dataset) -> dict[str, Any]:
    count = len(validated.runs)
    validation = {**validated.summary("validation"), "repeats": count, "runs": validated.runs, "kept": validated.kept}
    return {"validation": validation} | ({"test": validated.summary("test")} if dataset.test is not None else {})


def _write_config(experiment: Experiment, name: str, folder: Path) -> Path:
    """The pipeline's config as it was understood: an experiment of this pipeline alone."""
    run = plain(experiment.run) | {"only": None}
    path = folder / "config.yaml"
    content = {**run, "experiment": experiment.name, "pipelines": {name: plain(experiment.pipelines[name])}}
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(content)), encoding="utf-8")
    return path


def _record_failure(
    done: Done, document: dict[str, Any], files: dict[str, Path], stage: _Stage, error: Exception, folder: Path
) -> None:
    trace = "".join(traceback.format_exception(error))
    (folder / "trace.txt").write_text(trace, encoding="utf-8")
    files = {**files, "trace": folder / "trace.txt"}
    if done.trials is not None and (done.trials / "oracle.json").is_file():
        try:
            record = read_search(done.trials)
            files |= _search_files(record, folder)
            done_trials = [row["status"] for row in record.trials]
            document["search"]["trials"] = {
                "total": len(done_trials),
                "completed": done_trials.count("COMPLETED"),
                "failed": done_trials.count("FAILED"),
            }
        except HistoryError as unreadable:
            log.warning("%s: the failed search cannot be read: %s", done.name, unreadable)
    cause = {"type": type(error).__name__, "message": done.error, "stage": stage.name}
    try:
        done.entry = done.manager.add({**document, "status": "failed", "error": cause}, files)
    except HistoryError as unstored:
        log.error("%s: its failure cannot be recorded: %s", done.name, unstored)


class _Progress:
    """Says a line for each trial."""

    def __init__(self, name: str, pipeline: Pipeline) -> None:
        self.name, self.pipeline = name, pipeline
        self.best: float | None = None

    def __call__(self, result: Mapping[str, Any], ended: int, budget: int | None) -> None:
        objective = self.pipeline.objective
        score = result["score"]
        head = f"{self.name}: trial {ended}{f'/{budget}' if budget else ''}"
        if score is None or result["status"] != "COMPLETED":
            cause = (str(result["message"] or "").strip().splitlines() or ["no message"])[-1]
            log.warning("%s failed: %s", head, cause)
            return
        better = max if objective.sense == "max" else min
        self.best = score if self.best is None else better(self.best, score)
        log.info("%s  %s %.5g (best %.5g)  %.1f s", head, objective.name, score, self.best, result["seconds"])


class _Repeats:
    """Says a line for each refit."""

    def __init__(self, name: str, metric: str) -> None:
        self.name, self.metric = name, metric

    def __call__(self, repeat: int, row: Mapping[str, Any]) -> None:
        value = measured(row["validation"][self.metric], None, 1)
        log.info("%s: refit %d  %s %s  %.1f s", self.name, repeat + 1, self.metric, value, row["seconds"])


def _sizes(dataset: Dataset) -> str:
    parts = ", ".join(f"{len(part)} {name}" for name, part in dataset.parts().items())
    return f"{parts} rows of shape {dataset.facts.input_shape}"
