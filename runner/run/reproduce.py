"""Runs an entry again and compares: the result is identical, within tolerance, or diverged."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from foundation import errors, escape, files
from foundation.secrets import redact
from history import oracle, ranking
from history.records import Trial
from history.view.page import Page, Part, Section, Table, Text
from history.view.text import number
from runner.errors import short
from runner.report import progress
from runner.run import comparison, pipeline, plan, stored
from runner.search import loop
from runner.training import environment, ledger
from runner.workers import executors, start, tasks


@dataclass(frozen=True)
class Verdict:
    """The result of a reproduction."""

    reproduces: str  # the entry's id
    compared: str  # what was compared, in words
    kind: str  # identical, within tolerance or diverged
    first: str | None  # the first difference
    apart: list[str]  # metrics that only one of the two has, which are ignored
    metrics: list[tuple[str, str, float | None, float | None]]  # part, name, mean stored and now
    same: list[str]  # settings, data, code and environment that have not changed
    differs: dict[str, tuple[object, object]]  # those that have: dotted key → (then, now)

    @property
    def exit_code(self) -> int:
        return 3 if self.kind == "diverged" else 0


def page(verdict: Verdict) -> Page:
    """Return what came of running an entry again: the means then and now, and what differs."""
    rows = []
    for part, name, then, now in verdict.metrics:
        difference = None if then is None or now is None else abs(now - then)
        rows.append([part, name, number(then), number(now), number(difference)])
    columns = ("part", "metric", "stored", "now", "difference")
    lines = [escape.printable(line) for line in _differences(verdict)]
    parts: list[Part] = [
        Table(columns, rows, folds=True),
        Text(f"{verdict.reproduces}: {verdict.kind}", style="bold"),
        Text("\n".join(lines)),
    ]
    return Page([Section("", parts)])


def _differences(verdict: Verdict) -> list[str]:
    """Return what was compared, and what is the same and another since then, line by line."""
    lines = [f"compared: {verdict.compared}"]
    if verdict.first is not None:
        lines.append(f"first difference: {verdict.first}")
    if verdict.apart:
        lines.append(f"metrics that only one side has (ignored): {', '.join(verdict.apart)}")
    lines.append(f"unchanged: {', '.join(verdict.same) or 'nothing'}")
    if verdict.differs:
        lines.append("changed since then")
    for key, (then, now) in verdict.differs.items():
        lines.append(f"  {key}: {short(then)} → {short(now)}")
    return lines


def reproduce(task: stored.Reproduction, folder: Path) -> Verdict:
    """Rebuild data and model, refit with the stored hyperparameters and seeds, evaluate, compare.

    Args:
        task: the entry and its experiment, whose code may be imported.
        folder: for temporary files.

    Raises:
        InputError: the data is missing, or the config no longer works.
        IntegrityError: the entry is damaged.
        ExperimentError: a training fails.
    """
    entry = task.entry
    experiment = task.experiment
    now: files.JsonObject = {}
    with (
        tempfile.TemporaryDirectory(prefix="stage-", dir=folder) as stage,
        start.start(experiment.run) as workers,
        progress.shown(experiment.run, workers, entry.id, experiment.pipelines),
    ):
        recorded = ledger.SearchFolder(Path(stage, "search"), "", Path(stage))
        then, outcome = _stored(task, workers, recorded)
        (planned,) = plan.plan_all(experiment, workers).values()
        if isinstance(planned, Exception):
            raise planned
        planned = replace(planned, search=recorded)
        if experiment.run.reproduce_search:
            planned = _apart(planned, task, len(outcome.record.trials))
            outcome = pipeline.search_step(planned, {"reproduces": entry.id}, workers)
            now |= orjson.loads(files.to_json(comparison.of_trials(outcome.record.trials)))
        ranked = plan.ranked_by(planned.pipeline)
        again = pipeline.refit_step(planned, outcome, ranked, Path(stage), workers)
        refits = files.read_json(again.files["history"])
        now |= comparison.of_refits(refits, again.ensemble, again.files["model"])
        if experiment.run.reproduce_search:
            ledger.delete_search(planned.search)
        devices = workers.submit(environment.devices, experiment.run).result()
    metrics = []
    for part in ranking.PARTS:
        means = again.summary(part)["metrics"] if part in again.parts else {}
        for name in getattr(entry, part).metrics | means:
            metrics.append((part, name, entry.metric(name, part), means.get(name)))
    kind, first, apart = comparison.compare(then, now)
    same, differs = comparison.compare_causes(
        {**entry.identity(), "environment": entry.environment},
        {
            **redact(planned.identity.of_pipeline),
            "environment": environment.describe(planned.run, devices),
        },
    )
    compared = _compared(task, has_mean=bool(again.ensemble))
    return Verdict(entry.id, compared, kind, first, apart, metrics, same, differs)


def _apart(planned: plan.Plan, task: stored.Reproduction, trials: int) -> plan.Plan:
    """Return the plan of the whole search in a folder of its own, which is deleted at the end; an
    interrupted one is resumed.
    """
    root = task.experiment.root
    fingerprint = planned.identity.search_fingerprint
    folder = root / "trials" / f"reproduce-{task.entry.id}" / fingerprint[:16]
    search = ledger.SearchFolder(folder, fingerprint, root / ".locks")
    settings = planned.pipeline
    if task.entry.status == "budget":  # as many trials, however long they take
        limits = {"max_seconds": None, settings.tuner.limit: trials}
        tuner = settings.tuner.model_copy(update=limits)
        settings = settings.model_copy(update={"tuner": tuner})
    return replace(planned, search=search, pipeline=settings)


def _compared(task: stored.Reproduction, *, has_mean: bool) -> str:
    """Describe what is compared."""
    number = task.entry.repeats
    refits = "1 refit" if number == 1 else f"{number} refits"
    if task.keeps_trial:
        refits = "the best trial, which was kept"
    if has_mean:
        refits += " and of their mean"
    search = "; reproduce_search=true repeats the search too"
    if task.experiment.run.reproduce_search:
        search = f", and every epoch of {task.entry.search.trials.total} trials"
    return f"every epoch and metric of {refits}, the stored model's weights{search}"


def _stored(
    task: stored.Reproduction, workers: executors.Workers, search: ledger.SearchFolder
) -> tuple[files.JsonObject, loop.Outcome]:
    """Return the numbers of an entry, and the result of its search. The entry may be imported.

    Args:
        task: the entry and its experiment.
        workers: read the hyperparameters.
        search: for trials that are trained again.

    Raises:
        IntegrityError: the entry is not as a run stores it.
    """
    entry = task.entry
    with_search = task.experiment.run.reproduce_search
    try:
        trials = entry.trial_records() if with_search or task.keeps_trial else []
        record = oracle.SearchRecord({}, entry.search.space, trials)
        best = {"trial_id": "", "status": "COMPLETED", "values": {}}
        best |= entry.document.get("best") or {}
        outcome = loop.Outcome(record, Trial.read(best), {})
        workers.submit(tasks.readable, outcome.hyperparameters).result()
        if task.keeps_trial:  # it is then trained again
            _write_results(record, search)
        numbers = comparison.of_trials(trials) if with_search else {}
        refits = entry.refits()
        model = entry.verified("model")
        numbers |= comparison.of_refits(refits, entry.document.get("ensemble"), model)
        return numbers, outcome
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise errors.IntegrityError(
            f"entry {entry.id} does not contain what a run stores: {type(error).__name__}: {error}"
        ) from error


def _write_results(record: oracle.SearchRecord, search: ledger.SearchFolder) -> None:
    """Write trials as they were, without their checkpoints."""
    for trial in record.trials:
        if oracle.TRIAL_ID.fullmatch(trial.trial_id):
            result = ledger.TrialResult(
                trial_id=trial.trial_id,
                asked=trial.values,
                hyperparameters={"space": record.space, "values": trial.values},
                status="COMPLETED" if trial.status == "COMPLETED" else "FAILED",
                started="",
                seconds=0.0,
            )
            search.write(ledger.RESULT, vars(result), trial.trial_id)
