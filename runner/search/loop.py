"""Runs a search: asks the oracle, executes the trial, tells the oracle, until the budget is spent.

An interrupted search is resumed by the same loop: what has ended is told as it was recorded.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from history.files import held
from history.oracle import SearchRecord, best_trial, read_search
from runner.config.schema import HyperbandTuner, Pipeline, Run
from runner.errors import SearchError
from runner.search.oracles import Oracle, new_oracle, populate
from runner.search.state import ORACLE, TRIAL, Place, TrialResult
from runner.search.trial import run_trial
from runner.training.build import bench

log = logging.getLogger("runner")


@dataclass(frozen=True)
class Progress:
    """A trial that has just run, and how far the search is."""

    result: TrialResult
    score: float | None  # None: it failed
    best: float | None  # score so far
    ended: int  # trials
    budget: int | None  # of trials; None: known by the tuner alone


@dataclass(frozen=True)
class Outcome:
    """A finished search, as it stands on disk."""

    record: SearchRecord
    best: Mapping[str, object]  # the best trial's row

    @property
    def hyperparameters(self) -> dict[str, object]:
        """The best trial's, as Keras Tuner's config."""
        return {"space": self.record.space, "values": self.best["values"]}


def search(
    run: Run,
    pipeline: Pipeline,
    place: Place,
    marker: Mapping[str, object],
    notify: Callable[[Progress], None],
) -> Outcome:
    """Run a pipeline's search, or what is left of it.

    Args:
        run, pipeline: the settings.
        place: of this search alone.
        marker: what else the folder's marker says; the pipeline's name among it.
        notify: called after each trial that ran.

    Raises:
        SearchError: too many trials failed one after the other, or none completed.
        ConfigError: no trial could run with these settings.
    """
    budget = getattr(pipeline.tuner, "max_trials", None)
    with held(place.lock, f"the search in {place.folder}"):
        place.mark(marker)
        results = place.results()
        if results:
            log.info(
                "%s: going on after trial %d, from %s",
                marker["pipeline"],
                len(results),
                place.folder,
            )
        # what follows a trial that runs again with another outcome is drawn anew
        recorded = takewhile(lambda result: not result.again, results.values())
        oracle = new_oracle(run, pipeline, {r.trial_id: r.asked for r in recorded})
        populate(oracle, bench(pipeline))
        while len(oracle.end_order) != budget and not _failed_in_a_row(pipeline, oracle):
            trial = oracle.ask()
            if trial is None:
                log.info("nothing is left to try after %d trials", len(oracle.end_order))
                break
            known = results.get(trial.trial_id)
            result = (
                known
                if known is not None and known.answers(trial, place)
                else run_trial(
                    run, pipeline, place, trial.trial_id, trial.hyperparameters.get_config()
                )
            )
            oracle.tell(trial, result)
            place.write(TRIAL, trial.get_state(), trial.trial_id)
            if result is not known:
                _settle(pipeline, oracle, place)
                told = len(oracle.end_order)
                notify(Progress(result, trial.score, oracle.best().score, told, budget))
        _settle(pipeline, oracle, place)
        record = read_search(place.folder)
    if _failed_in_a_row(pipeline, oracle):
        last = oracle.trials[oracle.end_order[-1]]
        raise SearchError(
            f"{pipeline.tuner.max_consecutive_failed_trials} trials failed one after the other "
            f"(tuner.max_consecutive_failed_trials), the last one, {last.trial_id}, with: "
            f"{str(last.message or 'unknown').strip().splitlines()[-1]}; every trace stands in "
            f"{place.folder}. A changed model or config starts a new search; a higher limit goes "
            "on with this one"
        )
    best = best_trial(record.trials, pipeline.objective.sense)
    if best is None:
        raise SearchError(f"no trial completed; their errors stand in {place.folder}")
    return Outcome(record, best)


def _settle(pipeline: Pipeline, oracle: Oracle, place: Place) -> None:
    """Write the oracle, and delete the checkpoints that nobody needs any more."""
    place.write(ORACLE, {"search": place.fingerprint, **oracle.get_state()})
    # Hyperband starts later trials from checkpoints of earlier ones
    if oracle.end_order and not isinstance(pipeline.tuner, HyperbandTuner):
        for trial_id in {*oracle.end_order} - {oracle.best().trial_id}:
            place.checkpoint(trial_id).unlink(missing_ok=True)


def _failed_in_a_row(pipeline: Pipeline, oracle: Oracle) -> bool:
    """Say whether too many trials failed in a row, counted over the trials themselves, so that the
    count is right after a restart too.
    """
    limit = pipeline.tuner.max_consecutive_failed_trials
    last = oracle.end_order[-limit:]
    return [oracle.trials[trial_id].status for trial_id in last] == ["FAILED"] * limit
