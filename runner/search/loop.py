"""Runs a search: asks the oracle, has the trials executed, and tells the oracle, until the budget
is spent; schedule.py decides in which order.

The number of workers, kills and chance change no result. An interrupted search is resumed by the
same loop: what has ended is told as it was recorded.

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

from foundation import files
from history import oracle, ranking
from history.records import Trial
from runner import Interrupted, errors
from runner.config.schema import Pipeline, Run
from runner.data.shared import Loaded
from runner.search import schedule
from runner.search.schedule import End, Step
from runner.training import ledger, regimes
from runner.training.ledger import Proposal, SearchFolder, TrialResult
from runner.workers import tasks
from runner.workers.executors import Workers

log = logging.getLogger("runner")

PATIENCE = 1.0  # seconds, after which the number of slots is looked at again


@dataclass(frozen=True)
class Progress:
    """A trial that has just been told, and how far the search is."""

    result: TrialResult
    score: float | None  # None: it failed
    best: float | None  # score so far
    ran: bool  # in this start; False: in an earlier one
    end: float  # when the clock ends the search, as time.monotonic has it


@dataclass(frozen=True)
class Outcome:
    """A finished search, as it stands on disk."""

    record: oracle.SearchRecord
    best: Trial
    # what else an entry says of it: `reused`, how many of its trials ran in earlier starts, and how
    # it `ended` before its trials were at an end
    notes: Mapping[str, object]

    @property
    def hyperparameters(self) -> dict[str, object]:
        """The best trial's, as Keras Tuner's config."""
        return {"space": self.record.space, "values": self.best.values}


def search(
    run: Run,
    pipeline: Pipeline,
    folder: SearchFolder,
    marker: Mapping[str, object],
    notify: Callable[[Progress], None],
    workers: Workers,
    data: Loaded,
    space: Mapping[str, object],
) -> Outcome:
    """Run a pipeline's search, or what is left of it.

    Args:
        run, pipeline: the settings.
        folder: of this search alone.
        marker: what else the folder's marker says; the pipeline's name among it.
        notify: called after each trial that was told.
        workers: that run the trials.
        data: the pipeline's.
        space: Keras Tuner's config of the space.

    Raises:
        SearchError: too many trials failed one after the other, or none completed.
        ConfigError: no trial could run with these settings.
    """
    with files.held(folder.lock, f"the search in {folder.folder}"):
        folder.mark(marker)
        started = _Search(run, pipeline, folder, notify, workers, data, space)
        if started.results:
            log.info(
                "%s: resuming after trial %d, from %s",
                marker["pipeline"],
                len(started.results),
                folder.folder,
            )
        end = started.run_trials()
        record = oracle.read_search(folder.folder)
    if end is End.FAILURES:
        last = started.last
        raise errors.SearchError(
            f"{pipeline.tuner.max_consecutive_failed_trials} trials in a row failed "
            f"(tuner.max_consecutive_failed_trials), the last one, {last.trial_id}, with: "
            f"{last.reason}; all traces are in {folder.folder}. Changing the model or config "
            "starts a new search; a higher limit continues this one"
        )
    best = oracle.best_trial(record.trials, pipeline.objective.sense)
    if best is None:
        raise errors.SearchError(f"no trial completed; their errors are in {folder.folder}")
    return Outcome(record, best, started.notes(end))


@dataclass(frozen=True, eq=False)
class _Started:
    """A trial that was given to the workers."""

    proposal: Proposal
    future: "Future[TrialResult]"


@dataclass
class _Search:
    """One start of a search; see `search` for the arguments."""

    run: Run
    pipeline: Pipeline
    folder: SearchFolder
    notify: Callable[[Progress], None]
    workers: Workers
    data: Loaded
    space: Mapping[str, object]

    def __post_init__(self) -> None:
        tuner = self.pipeline.tuner
        self.results = self.folder.results()
        # What was recorded counts, whatever the clock says, and so do trials that a kill has cut
        # off in between; without any, there is nothing to refit.
        self.least = 1 + max(map(int, self.results), default=0)
        self.deadline = math.inf
        if tuner.max_seconds is not None:
            self.deadline = time.monotonic() + tuner.max_seconds - seconds(self.results.values())
        recorded = {}
        for result in self.results.values():
            if result.again:
                break  # what follows it is drawn anew, as it may end differently
            recorded[result.trial_id] = result.asked
        self.oracle = self.workers.oracle(self.run, self.pipeline, self.space, recorded)
        self.course = schedule.Course(
            budget=getattr(tuner, tuner.limit),
            ahead=getattr(tuner, "parallel", None),
            patience=getattr(tuner, "stop_when_no_improvement", None),
            most_failures=tuner.max_consecutive_failed_trials,
            waiting=deque[Proposal](),
            started=deque[_Started](),
        )
        self.best: tuple[str, float | None] = "", None  # trial and score
        self.continuable = tuple[str, ...]()  # trials that later ones may go on from
        self.reused = 0
        self.disk = Disk(self.folder)

    def run_trials(self) -> End:
        """Ask, run and tell until the search is over, and return why it is."""
        course = self.course
        try:
            while True:
                self._observe()
                match schedule.decide(course):
                    case Step.START:
                        self._start(course.waiting.popleft())
                    case Step.ASK:
                        self._ask()
                    case Step.TELL:
                        self._tell(course.started.popleft())
                    case Step.WAIT:
                        wait(course.running, PATIENCE, FIRST_COMPLETED)
                    case end:
                        return end
        finally:
            futures = [trial.future for trial in course.started]
            running = [future for future in futures if not future.cancel()]
            if not Interrupted.by:
                wait(running)  # they write to the folder, which is this search's alone until then
                content = {"search": self.folder.fingerprint, "peak_bytes": self.disk.peak}
                self.folder.write(ledger.ORACLE, self.oracle.state() | content)

    def _observe(self) -> None:
        """Look at the clock and the trials: none may begin once the time is over, and checkpoints
        that no trial needs are deleted.
        """
        course, started = self.course, self.course.started
        is_over = time.monotonic() >= self.deadline
        course.is_late = is_over and course.told + len(started) >= self.least
        if course.is_late:
            course.waiting.clear()
            while started and course.told + len(started) > self.least:
                if not started[-1].future.cancel():
                    break
                started.pop()  # no worker has begun with it
        course.slots = self.workers.slots
        course.running = []
        done = []
        for trial in started:
            if trial.future.done():
                done.append(trial)
            else:
                course.running.append(trial.future)
        course.has_first_ended = bool(done) and done[0] is started[0]
        ended = [trial.future.result() for trial in done if not trial.future.exception()]
        self.disk.keep(ended, self._needed(ended))

    def _needed(self, ended: Collection[TrialResult]) -> set[str]:
        """Return the trials whose checkpoints are needed; `ended` are those that are not told."""
        objective = self.pipeline.objective
        continued = {*self.continuable}
        unfinished = [trial.proposal for trial in self.course.started]
        for proposal in unfinished + list(self.course.waiting):
            continued.add(proposal.parent or "")
        scores = {result.trial_id: result.metrics.get(objective.name) for result in ended}
        if regimes.of(self.pipeline).continues:
            continued.update(scores)
        return schedule.kept_checkpoints(self.best, scores, objective.sense, continued)

    def _ask(self) -> None:
        proposal = self.oracle.ask()
        if proposal is None:
            self.course.is_exhausted = True
        else:
            self.course.waiting.append(proposal)

    def _start(self, proposal: Proposal) -> None:
        recorded = self.results.get(proposal.trial_id)
        if recorded is not None and recorded.answers(proposal, self.folder):
            future = Future[TrialResult]()
            future.set_result(recorded)
        else:
            task = (tasks.trial, self.run, self.pipeline, self.data, self.folder)
            future = self.workers.submit(*task, proposal.trial_id, proposal.hyperparameters)
        self.course.started.append(_Started(proposal, future))

    def _tell(self, ended: _Started) -> None:
        course, sense = self.course, self.pipeline.objective.sense
        self.last = result = _outcome(ended, self.folder)
        scored = self.oracle.tell(result)
        self.folder.write(ledger.TRIAL, scored.trial, result.trial_id)
        self.continuable = scored.needed
        self.disk.count(result.trial_id)
        course.told += 1
        course.in_vain += 1
        if ranking.merit(scored.score, sense) > ranking.merit(self.best[1], sense):
            self.best = (result.trial_id, scored.score)
            course.in_vain = 0
        course.failures = course.failures + 1 if result.status == "FAILED" else 0
        if course.ahead is not None:
            course.is_exhausted = False
        ran = result is not self.results.get(result.trial_id)
        self.reused += not ran
        self.notify(Progress(result, scored.score, self.best[1], ran, self.deadline))

    def notes(self, end: End) -> dict[str, object]:
        """Return what an entry says of the search beside its trials."""
        tuner, told = self.pipeline.tuner, self.course.told
        notes = dict[str, object]()
        if self.reused:
            notes["reused"] = self.reused
        if end is End.NO_IMPROVEMENT:
            key = f"tuner.stop_when_no_improvement={self.course.patience}"
            notes["ended"] = f"{key} ended it after {told} trials"
        elif end is End.TIME:
            key = f"tuner.max_seconds={tuner.max_seconds:g}"
            repeated_by = f"tuner.{tuner.limit}={told}"
            notes["ended"] = f"{key} ended it after {told} trials; {repeated_by} repeats it"
            notes["max_seconds"] = tuner.max_seconds
        elif end is End.EXHAUSTED:
            log.info("nothing is left to try after %d trials", told)
        return notes


class Disk:
    """What the trials' files take. A checkpoint counts by what its result states, so that a search
    that goes on comes to the same.
    """

    def __init__(self, folder: SearchFolder) -> None:
        self.folder = folder
        self.checkpoints = dict[str, int]()  # bytes by trial; 0: it is deleted
        self.others = 0  # bytes of all other files
        self.peak = 0  # bytes of all files, at most

    def keep(self, ended: Iterable[TrialResult], needed: Collection[str]) -> None:
        """Take in the checkpoints of trials, and delete all but those that are needed."""
        for result in ended:
            checkpoint = result.checkpoints.get(result.trial_id, {})
            self.checkpoints.setdefault(result.trial_id, int(checkpoint.get("bytes", 0)))
        self.peak = max(self.peak, self.others + sum(self.checkpoints.values()))
        for trial_id, size in self.checkpoints.items():
            if size and trial_id not in needed:
                self.folder.checkpoint(trial_id).unlink(missing_ok=True)
                self.checkpoints[trial_id] = 0

    def count(self, trial_id: str) -> None:
        """Count the other files of a trial that was told."""
        for path in self.folder.trial(trial_id).rglob("*"):
            if path.name != ledger.CHECKPOINT and path.is_file():
                self.others += path.stat().st_size


def seconds(results: Iterable[TrialResult]) -> float:
    """Return for how long trials ran, one or several at a time."""
    spans = []
    for result in results:
        begin = datetime.datetime.fromisoformat(result.started).timestamp()
        spans.append((begin, begin + result.seconds))
    total, until = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def _outcome(ended: _Started, folder: SearchFolder) -> TrialResult:
    """Return the result of a trial; one that ended its workers has failed, and says so itself."""
    try:
        return ended.future.result()
    except errors.WorkerDied as error:
        result = TrialResult(
            trial_id=ended.proposal.trial_id,
            asked=ended.proposal.hyperparameters["values"],
            hyperparameters=ended.proposal.hyperparameters,
            status="FAILED",
            message=str(error),
            again=True,
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=0.0,
        )
        folder.write(ledger.RESULT, vars(result), result.trial_id)
        return result
