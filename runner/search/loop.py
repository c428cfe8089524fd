"""Runs a search: asks the oracle, has the trials executed, and tells the oracle, until the budget
is spent.

The order of asks and tells is a function of the config, so that the number of workers, kills and
chance change no result. Trials are told in the order of their numbers. Trial n is asked for when
exactly those up to n - K have been told, where K is `tuner.parallel`; tuners without it ask for the
same trials whatever they were told. An interrupted search is resumed by the same loop: what has
ended is told as it was recorded.
"""

import datetime
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import takewhile

from history import files, oracle, ranking
from runner import Interrupted, errors
from runner.config.schema import HyperbandTuner, Pipeline, Run
from runner.data.shared import Loaded
from runner.search import executors, state, tasks

log = logging.getLogger("runner")

PATIENCE = 1.0  # seconds, after which the number of slots is looked at again


@dataclass(frozen=True)
class Progress:
    """A trial that has just run, and how far the search is."""

    result: state.TrialResult
    score: float | None  # None: it failed
    best: float | None  # score so far
    ended: int  # trials
    budget: int | None  # of trials; None: known by the tuner alone


@dataclass(frozen=True)
class Outcome:
    """A finished search, as it stands on disk."""

    record: oracle.SearchRecord
    best: Mapping[str, object]  # the best trial's row

    @property
    def hyperparameters(self) -> dict[str, object]:
        """The best trial's, as Keras Tuner's config."""
        return {"space": self.record.space, "values": self.best["values"]}


def search(
    run: Run,
    pipeline: Pipeline,
    place: state.Place,
    marker: Mapping[str, object],
    notify: Callable[[Progress], None],
    workers: executors.Workers,
    given: Loaded,
    space: Mapping[str, object],
) -> Outcome:
    """Run a pipeline's search, or what is left of it.

    Args:
        run, pipeline: the settings.
        place: of this search alone.
        marker: what else the folder's marker says; the pipeline's name among it.
        notify: called after each trial that ran.
        workers: that run the trials.
        given: the data.
        space: Keras Tuner's config of the space.

    Raises:
        SearchError: too many trials failed one after the other, or none completed.
        ConfigError: no trial could run with these settings.
    """
    with files.held(place.lock, f"the search in {place.folder}"):
        place.mark(marker)
        results = place.results()
        if results:
            log.info(
                "%s: going on after trial %d, from %s",
                marker["pipeline"],
                len(results),
                place.folder,
            )
        failed = _run(run, pipeline, place, results, notify, workers, given, space)
        record = oracle.read_search(place.folder)
    if failed is not None:
        raise errors.SearchError(
            f"{pipeline.tuner.max_consecutive_failed_trials} trials failed one after the other "
            f"(tuner.max_consecutive_failed_trials), the last one, {failed.trial_id}, with: "
            f"{failed.reason}; every trace stands in {place.folder}. A changed model or config "
            "starts a new search; a higher limit goes on with this one"
        )
    best = oracle.best_trial(record.trials, pipeline.objective.sense)
    if best is None:
        raise errors.SearchError(f"no trial completed; their errors stand in {place.folder}")
    return Outcome(record, best)


def _run(
    run: Run,
    pipeline: Pipeline,
    place: state.Place,
    results: Mapping[str, state.TrialResult],
    notify: Callable[[Progress], None],
    workers: executors.Workers,
    given: Loaded,
    space: Mapping[str, object],
) -> state.TrialResult | None:
    """Run the trials; return the last one if too many failed before it."""
    tuner, sense = pipeline.tuner, pipeline.objective.sense
    ahead, budget = (getattr(tuner, key, None) for key in ("parallel", "max_trials"))
    # what follows a trial that runs again with another outcome is drawn anew
    recorded = {r.trial_id: r.asked for r in takewhile(lambda r: not r.again, results.values())}
    asking = workers.oracle(run, pipeline, space, recorded)
    waiting, flying = deque[state.Asked](), deque[tuple[state.Asked, Future[state.TrialResult]]]()
    told, failures, idle = list[str](), 0, False
    best: tuple[str, float | None] = "", None  # trial and score
    try:
        while failures < tuner.max_consecutive_failed_trials:
            running = [future for _, future in flying if not future.done()]
            is_free = len(running) <= workers.slots  # one more, which then begins at once
            ended = bool(flying) and flying[0][1].done()
            unfinished = len(flying) + len(waiting)
            if waiting and is_free:
                asked = waiting.popleft()
                known = results.get(asked.trial_id)
                if known is not None and known.answers(asked, place):
                    future = Future[state.TrialResult]()
                    future.set_result(known)
                else:
                    future = workers.submit(
                        tasks.trial,
                        run,
                        pipeline,
                        given,
                        place,
                        asked.trial_id,
                        asked.hyperparameters,
                    )
                flying.append((asked, future))
            elif (
                not idle
                and len(told) + unfinished != budget
                and (unfinished < ahead if ahead else is_free and not ended)
            ):
                if found := asking.ask():
                    waiting.append(found)
                else:
                    idle = True
            elif ended:
                asked, future = flying.popleft()
                result = _outcome(asked, future, place)
                answer = asking.tell(result)
                place.write(state.TRIAL, answer.trial, result.trial_id)
                told.append(result.trial_id)
                worse = result.trial_id, answer.score
                if ranking.merit(worse[1], sense) > ranking.merit(best[1], sense):
                    best, worse = worse, best
                # Hyperband starts later trials from checkpoints of earlier ones
                if not isinstance(tuner, HyperbandTuner):
                    place.checkpoint(worse[0]).unlink(missing_ok=True)
                idle = idle and not ahead
                failures = failures + 1 if result.status == "FAILED" else 0
                if result is not results.get(result.trial_id):
                    notify(Progress(result, answer.score, best[1], len(told), budget))
            elif running:
                wait(running, PATIENCE, FIRST_COMPLETED)
            else:
                if len(told) != budget:
                    log.info("nothing is left to try after %d trials", len(told))
                return None
        return result
    finally:
        running = [future for _, future in flying if not future.cancel()]
        if not Interrupted.by:
            wait(running)  # they write to the folder, which is this search's until its lock is free
            place.write(state.ORACLE, asking.state() | {"search": place.fingerprint})


def _outcome(
    asked: state.Asked, future: "Future[state.TrialResult]", place: state.Place
) -> state.TrialResult:
    """Return what a trial came to; one that ended its workers has failed, and says so itself."""
    try:
        return future.result()
    except errors.WorkerDied as error:
        result = state.TrialResult(
            trial_id=asked.trial_id,
            asked=asked.hyperparameters["values"],
            hyperparameters=asked.hyperparameters,
            status="FAILED",
            message=str(error),
            again=True,
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=0.0,
        )
        place.write(state.RESULT, vars(result), asked.trial_id)
        return result
