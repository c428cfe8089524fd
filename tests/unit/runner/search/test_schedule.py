"""What a search does next, as a table and in simulations."""

import random
from collections import deque
from typing import Any

import pytest

from runner.search.schedule import Course, End, Step, decide, kept_checkpoints

WORKERS = {"slots": 2}
FULL = {**WORKERS, "running": "abc", "started": "abc"}

TABLE: list[tuple[str, dict[str, Any], Step | End]] = [
    ("it asks at first", {}, Step.ASK),
    ("what was asked for starts", {"waiting": "a"}, Step.START),
    ("one more starts than there are workers", {**WORKERS, "running": "ab", "waiting": "c"},
     Step.START),
    ("and no further one", {**FULL, "waiting": "d"}, Step.WAIT),
    ("without workers one starts all the same", {"slots": 0, "waiting": "a"}, Step.START),
    ("what has ended is told before more is asked for",
     {**WORKERS, "started": "ab", "running": "b", "has_first_ended": True}, Step.TELL),
    ("unless it is to be asked ahead",
     {"ahead": 3, "started": "ab", "running": "b", "has_first_ended": True}, Step.ASK),
    ("so far, and no further",
     {"ahead": 2, "started": "ab", "running": "b", "has_first_ended": True}, Step.TELL),
    ("those that wait for a worker count", {**FULL, "ahead": 4, "waiting": "d"}, Step.WAIT),
    ("it is asked ahead though no worker is free", {**FULL, "ahead": 5, "waiting": "d"}, Step.ASK),
    ("a later one that has ended is not told", {**WORKERS, "started": "ab", "running": "a",
     "is_exhausted": True}, Step.WAIT),
    ("the budget is not exceeded", {"budget": 3, "told": 2, "started": "a", "running": "a"},
     Step.WAIT),
    ("nor by what waits", {**FULL, "budget": 5, "told": 1, "ahead": 9, "waiting": "d"}, Step.WAIT),
    ("at the budget it ends", {"budget": 3, "told": 3}, End.BUDGET),
    ("also when it is late", {"budget": 3, "told": 3, "is_late": True}, End.BUDGET),
    ("with nothing left, what runs is waited for",
     {"is_exhausted": True, "started": "a", "running": "a"}, Step.WAIT),
    ("then it ends", {"is_exhausted": True}, End.EXHAUSTED),
    ("late, nothing is asked for", {"is_late": True, "started": "a", "running": "a"}, Step.WAIT),
    ("but what has ended is told", {"is_late": True, "started": "a", "has_first_ended": True},
     Step.TELL),
    ("late, it ends", {"is_late": True}, End.TIME),
    ("late with nothing left, it is complete", {"is_late": True, "is_exhausted": True},
     End.EXHAUSTED),
    ("failures end it before all else",
     {"failures": 3, "patience": 3, "in_vain": 3, "waiting": "a"}, End.FAILURES),
    ("fewer do not", {"failures": 2}, Step.ASK),
    ("trials in vain end it", {"patience": 3, "in_vain": 3, "waiting": "a"}, End.NO_IMPROVEMENT),
    ("without patience they do not", {"in_vain": 99}, Step.ASK),
]  # fmt: skip


@pytest.mark.parametrize(
    ("course", "expected"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_what_a_search_does_next(course: dict[str, Any], expected: Step | End) -> None:
    """For each rule a course that it decides."""
    assert decide(Course(**course)) == expected


def simulated(slots: int, seed: int, left: int = 99, **config: Any) -> tuple[list[str], End]:
    """The asks and tells of a search whose trials end in an order of chance, and why it ended.

    Args:
        slots: workers.
        seed: of chance.
        left: trials that the oracle has.
        config: of the course.
    """
    draw, calls = random.Random(seed), list[str]()
    course = Course(slots=slots, waiting=deque(), started=deque(), **config)
    asked, running = 0, set[int]()
    while True:
        if running and draw.random() < 0.5:
            running.remove(draw.choice(sorted(running)))
        course.running = running
        course.has_first_ended = bool(course.started) and course.started[0] not in running
        match decide(course):
            case Step.ASK if asked == left:
                course.is_exhausted = True
            case Step.ASK:
                calls.append(f"ask {asked}")
                course.waiting.append(asked)
                asked += 1
            case Step.START:
                running.add(course.waiting.popleft())
                course.started.append(asked - len(course.waiting) - 1)
                assert len(running) <= slots + 1
            case Step.TELL:
                number = course.started.popleft()
                calls.append(f"tell {number}")
                course.told += 1
                course.in_vain = 0 if number % 5 == 0 else course.in_vain + 1
                course.failures = course.failures + 1 if number in (7, 8, 9) else 0
                if course.ahead is not None:
                    course.is_exhausted = False
            case Step.WAIT:
                running.remove(draw.choice(sorted(running)))
            case end:
                assert isinstance(end, End)
                return calls, end


ENDS: list[tuple[dict[str, Any], End]] = [
    ({"budget": 7}, End.BUDGET),
    ({"left": 7}, End.EXHAUSTED),
    ({"left": 7, "budget": 7}, End.BUDGET),
    ({"most_failures": 2}, End.FAILURES),
    ({"patience": 4}, End.NO_IMPROVEMENT),
]


@pytest.mark.parametrize(("config", "expected"), ENDS)
@pytest.mark.parametrize("ahead", [1, 2, 3, 8, 30])
def test_the_order_of_asks_and_tells_depends_on_the_config_alone(
    ahead: int, config: dict[str, Any], expected: End
) -> None:
    """For any number of workers, and any order in which trials end: trial n is asked for once those
    up to n - ahead have been told, and no later.
    """
    first = simulated(1, 0, ahead=ahead, **config)
    for slots in (1, 2, 5, 40):
        for seed in range(20):
            assert simulated(slots, seed, ahead=ahead, **config) == first
    calls, end = first
    assert end is expected
    for number in range(ahead, len([call for call in calls if call.startswith("ask")])):
        assert calls.index(f"ask {number}") == calls.index(f"tell {number - ahead}") + 1


@pytest.mark.parametrize(("config", "expected"), ENDS)
def test_where_the_oracle_does_not_mind_the_same_is_told(
    config: dict[str, Any], expected: End
) -> None:
    """In the order of the trials; how many are asked for meanwhile is a matter of time."""
    for slots in (1, 2, 5, 40):
        for seed in range(20):
            calls, end = simulated(slots, seed, **config)
            tells = [call for call in calls if call.startswith("tell")]
            assert tells == [f"tell {number}" for number in range(len(tells))]
            assert (end, len(tells)) == (expected, len(simulated(1, 0, **config)[0]) // 2)


def test_the_best_of_what_has_ended_is_kept() -> None:
    """And the best that was told, and what others go on from; of equals the earliest."""
    ended = {"4": 0.5, "5": None, "6": 0.9, "7": 0.9}
    assert kept_checkpoints(("2", 0.7), ended, "max", ["1"]) == {"1", "2", "6"}
    assert kept_checkpoints(("2", 0.7), ended, "min", []) == {"2", "4"}
    assert kept_checkpoints(("2", 0.9), ended, "max", []) == {"2"}
    assert "5" not in kept_checkpoints(("", None), ended, "max", [])
