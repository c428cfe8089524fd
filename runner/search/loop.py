"""Runs a search: asks the oracle, has the trials executed, and tells the oracle, until the budget
is spent.

The order of asks and tells is a function of the config, so that the number of workers, kills and
chance change no result. Trials are told in the order of their numbers. Trial n is asked for when
exactly those up to n - K have been told, where K is `tuner.parallel`; tuners without it ask for the
same trials whatever they were told. An interrupted search is resumed by the same loop: what has
ended is told as it was recorded.

A clock (`tuner.max_seconds`) ends a search where it happens to be, outside of this law; as many
trials, asked for by their number, are the same again. `tuner.stop_when_no_improvement` looks at
what was told, in that order: what runs beyond it counts for nothing, as how much that is depends on
the workers.
"""

import datetime
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import takewhile

from foundation import files
from history import oracle, ranking
from runner import Interrupted, errors
from runner.config.schema import Pipeline, Run
from runner.data.shared import Loaded
from runner.search import state
from runner.training import regimes
from runner.workers import executors, tasks

log = logging.getLogger("runner")

PATIENCE = 1.0  # seconds, after which the number of slots is looked at again


@dataclass(frozen=True)
class Progress:
    """A trial that has just been told, and how far the search is."""

    result: state.TrialResult
    score: float | None  # None: it failed
    best: float | None  # score so far
    ran: bool  # in this start; False: in an earlier one
    end: float  # when the clock ends the search, as time.monotonic has it


@dataclass(frozen=True)
class Outcome:
    """A finished search, as it stands on disk."""

    record: oracle.SearchRecord
    best: Mapping[str, object]  # the best trial's row
    # what else an entry says of it: `reused`, how many of its trials ran in earlier starts, and how
    # it `ended` before its trials were at an end
    said: Mapping[str, object]

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
        notify: called after each trial that was told.
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
                "%s: resuming after trial %d, from %s",
                marker["pipeline"],
                len(results),
                place.folder,
            )
        failed, said = _run(run, pipeline, place, results, notify, workers, given, space)
        record = oracle.read_search(place.folder)
    if failed is not None:
        raise errors.SearchError(
            f"{pipeline.tuner.max_consecutive_failed_trials} trials in a row failed "
            f"(tuner.max_consecutive_failed_trials), the last one, {failed.trial_id}, with: "
            f"{failed.reason}; all traces are in {place.folder}. Changing the model or config "
            "starts a new search; a higher limit continues this one"
        )
    best = oracle.best_trial(record.trials, pipeline.objective.sense)
    if best is None:
        raise errors.SearchError(f"no trial completed; their errors are in {place.folder}")
    return Outcome(record, best, said)


def _run(
    run: Run,
    pipeline: Pipeline,
    place: state.Place,
    results: Mapping[str, state.TrialResult],
    notify: Callable[[Progress], None],
    workers: executors.Workers,
    given: Loaded,
    space: Mapping[str, object],
) -> tuple[state.TrialResult | None, dict[str, object]]:
    """Run the trials; return the last one if too many failed before it, and what else an entry says
    of the search.
    """
    tuner, sense, sought = pipeline.tuner, pipeline.objective.sense, pipeline.objective.name
    ahead, budget, patience = (
        getattr(tuner, key, None) for key in ("parallel", tuner.limit, "stop_when_no_improvement")
    )
    # what there is counts, whatever the clock says, and so do trials that a kill has cut off in
    # between; without any, there is nothing to refit
    least = 1 + max(map(int, results), default=0)
    end = time.monotonic() + (math.inf if tuner.max_seconds is None else tuner.max_seconds)
    end -= seconds(results.values()) if tuner.max_seconds else 0
    # what follows a trial that runs again with another outcome is drawn anew
    recorded = {r.trial_id: r.asked for r in takewhile(lambda r: not r.again, results.values())}
    asking = workers.oracle(run, pipeline, space, recorded)
    waiting, flying = deque[state.Asked](), deque[tuple[state.Asked, Future[state.TrialResult]]]()
    continues = regimes.of(pipeline).continues
    told, failures, in_vain, idle = list[str](), 0, 0, False
    said, reused = dict[str, object](), 0
    best: tuple[str, float | None] = "", None  # trial and score
    disk, needed = Disk(place), tuple[str, ...]()
    try:
        while failures < tuner.max_consecutive_failed_trials and in_vain != patience:
            late = time.monotonic() >= end and len(told) + len(flying) >= least
            if late:
                waiting.clear()
                # nor does what waits for a worker begin
                while flying and len(told) + len(flying) > least and flying[-1][1].cancel():
                    flying.pop()
            running = [future for _, future in flying if not future.done()]
            is_free = len(running) <= workers.slots  # one more, which then begins at once
            ended = bool(flying) and flying[0][1].done()
            ready = [f.result() for _, f in flying if f.done() and not f.exception()]
            disk.keep(
                ready,
                [
                    *needed,
                    *(asked.parent or "" for asked in (*waiting, *(each for each, _ in flying))),
                    *(each.trial_id for each in ready if continues),
                    # of those that are not told yet, only one can become the best
                    best[0],
                    max(
                        [best, *((each.trial_id, each.metrics.get(sought)) for each in ready)],
                        key=lambda one: ranking.merit(one[1], sense),
                    )[0],
                ],
            )
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
                not (idle or late)
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
                in_vain += 1
                if ranking.merit(answer.score, sense) > ranking.merit(best[1], sense):
                    best, in_vain = (result.trial_id, answer.score), 0
                disk.others += sum(
                    path.stat().st_size
                    for path in place.trial(result.trial_id).rglob("*")
                    if path.name != state.CHECKPOINT and path.is_file()
                )
                needed = answer.needed
                idle = idle and not ahead
                failures = failures + 1 if result.status == "FAILED" else 0
                ran = result is not results.get(result.trial_id)
                reused += not ran
                said |= {"reused": reused} if reused else {}
                notify(Progress(result, answer.score, best[1], ran, end))
            elif running:
                wait(running, PATIENCE, FIRST_COMPLETED)
            else:
                if len(told) == budget:
                    return None, said
                if late and not idle:
                    why = f"tuner.max_seconds={tuner.max_seconds:g} ended it after {len(told)} "
                    why += f"trials; tuner.{tuner.limit}={len(told)} repeats it"
                    return None, {**said, "ended": why, "max_seconds": tuner.max_seconds}
                log.info("nothing is left to try after %d trials", len(told))
                return None, said
        if failures == tuner.max_consecutive_failed_trials:
            return result, said
        why = f"tuner.stop_when_no_improvement={patience} ended it after {len(told)} trials"
        return None, {**said, "ended": why}
    finally:
        running = [future for _, future in flying if not future.cancel()]
        if not Interrupted.by:
            wait(running)  # they write to the folder, which is this search's until its lock is free
            place.write(
                state.ORACLE,
                asking.state() | {"search": place.fingerprint, "peak_bytes": disk.peak},
            )


class Disk:
    """What the trials' files take: of checkpoints, only those stay that may still be needed. These
    count by what results state of them, so that a search that goes on comes to the same.
    """

    def __init__(self, place: state.Place) -> None:
        self.place, self.checkpoints = place, dict[str, int]()  # 0: it is deleted
        self.others, self.peak = 0, 0  # bytes: of all but checkpoints; of all, at most

    def keep(self, ended: Iterable[state.TrialResult], needed: Collection[str]) -> None:
        """Take in the checkpoints of trials, and delete all but those that are needed."""
        for each in ended:
            self.checkpoints.setdefault(
                each.trial_id, int(each.checkpoints.get(each.trial_id, {}).get("bytes", 0))
            )
        self.peak = max(self.peak, self.others + sum(self.checkpoints.values()))
        for name in [n for n, size in self.checkpoints.items() if size and n not in needed]:
            self.place.checkpoint(name).unlink(missing_ok=True)
            self.checkpoints[name] = 0


def seconds(results: Iterable[state.TrialResult]) -> float:
    """Return for how long trials ran, one or several at a time."""
    total, until = 0.0, -math.inf
    for begun, lasted in sorted(
        (datetime.datetime.fromisoformat(each.started).timestamp(), each.seconds)
        for each in results
    ):
        total += max(0.0, begun + lasted - max(begun, until))
        until = max(until, begun + lasted)
    return total


def _outcome(
    asked: state.Asked, future: "Future[state.TrialResult]", place: state.Place
) -> state.TrialResult:
    """Return the result of a trial; one that ended its workers has failed, and says so itself."""
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
