"""What a search does next, and which checkpoints it keeps: pure functions of how far it is.

Trials are told in the order of their numbers. Where a tuner states how far it may ask ahead, trial
n is asked for when exactly those up to n - ahead have been told. So the order of asks and tells is
a function of the config, whatever the number of workers and the order in which trials end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from history import ranking


class Step(Enum):
    """What a search does next."""

    START = auto()  # the first trial that waits for a worker
    ASK = auto()  # for one more trial
    TELL = auto()  # the oracle how the first of the started trials ended
    WAIT = auto()  # until a trial ends


class End(Enum):
    """Why a search is over."""

    FAILURES = auto()  # too many trials in a row failed
    NO_IMPROVEMENT = auto()
    BUDGET = auto()  # all trials that it may have were told
    TIME = auto()
    EXHAUSTED = auto()  # the oracle has nothing left to try


@dataclass
class Course:
    """How far a search is; first what its config says, in numbers of trials."""

    budget: int | None = None  # in all
    ahead: int | None = None  # asked for and not told, at most; None: the oracle does not mind
    patience: int | None = None  # in a row without an improvement
    most_failures: int = 3  # in a row

    told: int = 0
    failures: int = 0  # the last ones that were told
    in_vain: int = 0  # told since the best
    is_exhausted: bool = False  # the oracle had no other trial, and was told nothing since
    is_late: bool = False  # nothing more may begin

    slots: int = 1  # workers
    waiting: Any = ()  # trials that were asked for and not started
    started: Any = ()  # and not told
    running: Any = ()  # of the started ones
    has_first_ended: bool = False  # of the started ones

    @property
    def is_free(self) -> bool:
        """Whether a trial may start: one more than there are workers follows at once."""
        return len(self.running) <= self.slots

    @property
    def may_ask(self) -> bool:
        """Whether one more trial may be asked for."""
        unfinished = len(self.waiting) + len(self.started)
        if self.is_exhausted or self.is_late or self.told + unfinished == self.budget:
            return False
        if self.ahead is None:
            return self.is_free and not self.has_first_ended
        return unfinished < self.ahead


def decide(course: Course) -> Step | End:
    """Return what a search does next."""
    if course.failures == course.most_failures:
        return End.FAILURES
    if course.in_vain == course.patience:
        return End.NO_IMPROVEMENT
    if course.waiting and course.is_free:
        return Step.START
    if course.may_ask:
        return Step.ASK
    if course.has_first_ended:
        return Step.TELL
    if course.running:
        return Step.WAIT
    if course.told == course.budget:
        return End.BUDGET
    if course.is_late and not course.is_exhausted:
        return End.TIME
    return End.EXHAUSTED


def kept_checkpoints(
    best: tuple[str, float | None],
    ended: Mapping[str, float | None],
    direction: ranking.Direction,
    continued: Iterable[str],
) -> set[str]:
    """Return the trials whose checkpoints stay on disk: of those that have ended and are not told
    yet, only one can become the best.

    Args:
        best: the best trial that was told, and its score.
        ended: the objective of each trial that has ended and is not told yet.
        direction: of the objective.
        continued: trials that others go on from, or may go on from.
    """
    candidates = {best[0]: best[1], **ended}  # the earlier of equals comes first
    next_best = max(candidates, key=lambda name: ranking.merit(candidates[name], direction))
    return {best[0], next_best, *continued}
