"""Runs a search: asks the oracle, executes the trial, tells the oracle, until the budget is
spent.
"""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner

from history.oracle import SearchRecord, best_trial, read_search
from runner.config.check import plain_config
from runner.config.schema import HyperbandTuner, Pipeline, Run
from runner.config.space import declare
from runner.errors import SearchError
from runner.search.executors import executor
from runner.search.locks import exclusive
from runner.search.oracles import oracle as new_oracle
from runner.search.state import Place, State
from runner.search.trial import Job, run_trial
from runner.training.build import bench, values_of

log = logging.getLogger("runner")

SLOT = "slot0"
Notify = Callable[
    [dict[str, Any], int, int | None], None
]  # (the trial's row, trials ended, budget)


@dataclass(frozen=True)
class Outcome:
    """A finished search, as it stands on disk."""

    record: SearchRecord
    best: dict[str, Any]  # the best trial's row
    hyperparameters: dict[str, Any]  # the best trial's, as Keras Tuner's config


def search(
    run: Run, pipeline: Pipeline, place: Place, marker: dict[str, Any], notify: Notify
) -> Outcome:
    """Runs a pipeline's search, or what is left of it.

    Args:
        run, pipeline: the settings.
        place: of this search alone.
        marker: what else the folder's marker says; the pipeline's name among it.
        notify: called after each trial.

    Raises:
        SearchError: too many trials failed one after the other, or none completed.
        ConfigError: no trial could run with these settings.
    """
    folder = place.folder
    with exclusive(place.lock, f"the search in {folder}"):
        state = State(place)
        state.mark(marker)
        oracle = new_oracle(run, pipeline)
        if not state.restore(oracle):
            oracle = new_oracle(run, pipeline)
            populate(oracle, pipeline, folder)
            state.save_oracle(oracle)
        if isinstance(pipeline.tuner, HyperbandTuner):
            # A budget: it may have been raised. Lowered below what has begun, the oracle would
            # never stop.
            oracle.hyperband_iterations = max(
                pipeline.tuner.hyperband_iterations, oracle._current_iteration + 1
            )
        if oracle.end_order:
            log.info(
                "%s: going on after trial %d, from %s",
                marker["pipeline"],
                len(oracle.end_order),
                folder,
            )
        _run(run, pipeline, oracle, state, notify)
        record = read_search(folder)
    budget = getattr(pipeline.tuner, "max_trials", None)
    record = dataclasses.replace(
        record, trials=record.trials[:budget]
    )  # a larger search may have been here before
    best = best_trial(record.trials, pipeline.objective.sense)
    if best is None:
        raise SearchError(f"no trial completed; the trials and their errors stand in {folder}")
    chosen = oracle.trials[best["trial_id"]].hyperparameters.get_config()
    return Outcome(record, best, chosen)


def _run(run: Run, pipeline: Pipeline, oracle: Any, state: State, notify: Notify) -> None:
    """Runs trials until the budget is spent."""
    budget: int | None = getattr(pipeline.tuner, "max_trials", None)
    with executor(run.executor) as pool:
        while True:
            _stop_after_failures(pipeline, oracle, state)
            if (
                SLOT not in oracle.ongoing_trials
                and budget is not None
                and len(oracle.trials) >= budget
            ):
                return
            trial = oracle.create_trial(SLOT)
            if trial.status != "RUNNING":  # STOPPED; a single slot never waits for another
                if budget is not None and len(oracle.end_order) < budget:
                    log.info("the search space is exhausted after %d trials", len(oracle.end_order))
                return
            result = state.result(trial)
            if result is None:
                state.save(oracle, trial)
                result = pool.submit(run_trial, _job(run, pipeline, trial, state)).result()
            _tell(oracle, trial, result)
            state.save(oracle, trial)
            best = oracle.get_best_trials(1)[0]
            if not isinstance(
                pipeline.tuner, HyperbandTuner
            ):  # Hyperband starts later trials from checkpoints
                state.keep_checkpoints({best.trial_id})
            notify(
                {**result, "score": trial.score, "best": best.score}, len(oracle.end_order), budget
            )


def _job(run: Run, pipeline: Pipeline, trial: Any, state: State) -> Job:
    parent = trial.hyperparameters.values.get("tuner/trial_id")
    checkpoint = state.checkpoint(parent) if parent is not None else None
    config = trial.hyperparameters.get_config()
    return Job(
        run, pipeline, trial.trial_id, config, state.trial_folder(trial.trial_id), checkpoint
    )


def _tell(oracle: Any, trial: Any, result: dict[str, Any]) -> None:
    trial.hyperparameters = values_of(result["hyperparameters"])
    trial.status, trial.message = result["status"], result["message"]
    if trial.status == "COMPLETED":
        objective, known = oracle.objective, oracle.trials[trial.trial_id].metrics
        for name in result["metrics"]:  # Keras Tuner would guess directions, and fails at some
            if not known.exists(name):
                known.register(name, objective.direction if name == objective.name else "min")
        oracle.update_trial(trial.trial_id, result["metrics"], step=result["best_step"])
    oracle.end_trial(trial)


def _stop_after_failures(pipeline: Pipeline, oracle: Any, state: State) -> None:
    """Counted over the trials themselves, so that the count is right after a restart too."""
    limit = pipeline.tuner.max_consecutive_failed_trials
    last = [oracle.trials[trial_id] for trial_id in oracle.end_order[-limit:]]
    if len(last) == limit and all(trial.status == "FAILED" for trial in last):
        cause = str(last[-1].message or "").strip().splitlines() or ["unknown"]
        raise SearchError(
            f"{limit} trials failed one after the other (tuner.max_consecutive_failed_trials), "
            f"the last one, {last[-1].trial_id}, with: {cause[-1]}; every trace stands in {state.folder}. "
            "A changed model or config starts a new search; a higher limit goes on with this one"
        )


def populate(oracle: Any, pipeline: Pipeline, folder: Path) -> None:
    """Registers the space: that of `fit`, and all that building the model brings up, conditions
    included.
    """
    space = oracle.get_space()
    declare({"fit": plain_config(pipeline.fit), "model": pipeline.model.args}, space)
    oracle.update_space(space)
    # Keras Tuner's constructor explores the space; the tuner itself is not used.
    keras_tuner.Tuner(
        oracle=oracle,
        hypermodel=bench(pipeline)[1],
        directory=folder.parent,
        project_name=folder.name,
    )
