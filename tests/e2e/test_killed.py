"""A run that is killed, wherever, and started again, and one of another number of workers, ends as
one in one process that nobody killed.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import killing
import pytest

import history
from history.doctor import mend

pytestmark = pytest.mark.e2e

HYPERBAND = ["0000", "0001", "0002", "0003", "0004"]

# One kill in each phase of a run, and in the search of each tuner, in the order of the work; each
# start of the same command is killed at the next of them, and what is on disk then says that it was
# in that phase. The phases are spread over the pipelines, as a phase is the same in each. Kills at
# every trial, without training: tests/unit/runner/test_runner_search.py; anywhere: tests/soak.
PHASES: list[tuple[str, str, Callable[[dict[str, Any]], bool]]] = [
    (
        "during a trial",
        "before:-hyperband/.*trial_0001/result.json",
        lambda disk: searching(disk, "hyperband", weights=2, returned=1, oracle=0),
    ),
    (
        "when all is told, before the oracle is written",
        "before:-hyperband/.*/oracle.json",
        lambda disk: searching(disk, "hyperband", weights=1, returned=5, told=5, oracle=0),
    ),
    (
        "in the first repeat of the validation",
        "after:hyperband/refit-0/classification_report.csv",
        lambda disk: (
            disk["hyperband"]["oracle"] == HYPERBAND and "history.json" not in disk["staged"]
        ),
    ),
    (
        "while the entry's files are linked",
        "after:part/model.keras",
        lambda disk: "model.keras" in disk["parts"] and disk["folders"] == [],
    ),
    (
        "between two pipelines",
        "after:killed/history.json$",
        lambda disk: disk["stored"] == ["hyperband"] and "random" not in disk,
    ),
    (
        "after a trial returned, before it is told",
        "after:-random/.*/trial_0001/result.json",
        lambda disk: searching(disk, "random", weights=2, returned=2, told=1, oracle=0),
    ),
    (
        "after the folder is there, before the document",
        "before:killed/history.json$",
        lambda disk: (
            (disk["folders"], disk["stored"], disk["parts"])
            == (["hyperband", "random"], ["hyperband"], [])
        ),
    ),
    (
        "in the search of a grid",
        "before:-grid/.*/trial_0002/result.json",
        lambda disk: searching(disk, "grid", weights=2, returned=2, told=2, oracle=0),
    ),
    (
        "after the first guess",
        "after:-bayesian/.*/trial_0003/result.json",
        lambda disk: searching(disk, "bayesian", weights=2, returned=4, told=3, oracle=0),
    ),
    (
        "before Optuna's second guess",
        "before:-tpe/.*/trial_0003/result.json",
        lambda disk: searching(disk, "tpe", weights=2, returned=3, told=2, oracle=0),
    ),
    (
        "in the middle of the purge",
        "after:trial_0000$#3",  # two are in vain: it is not empty yet
        lambda disk: (
            disk["hyperband"]["returned"] == HYPERBAND[1:]
            and "search.json" in disk["hyperband"]["files"]
        ),
    ),
]


# A worker dies with the run in these; in the others all is in one process.
WORKERS = ("during a trial", "in the first repeat of the validation", "after the first guess")


def searching(disk: dict[str, Any], pipeline: str, **counts: int) -> bool:
    """Whether a search has so many of each kind of file; of the oracle, so many trials in it."""
    found = {key: len(disk[pipeline][key]) for key in counts}
    return found == counts and pipeline not in disk["stored"]


ALL = "+experiment=all"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's, in which each run has a root of its own."""
    return killing.lay_out(tmp_path_factory.mktemp("killed") / "user")


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Any]:
    """What a run in one process decides, that nobody kills."""
    code, output = killing.finish(folder, "alone", [ALL], inline=True)
    assert code == 0, output
    picture = killing.picture(folder / "alone")
    assert [each["status"] for each in picture.values()] == ["complete"] * 5
    return picture


@pytest.mark.nightly
def test_the_number_of_workers_changes_no_result(folder: Path, expected: dict[str, Any]) -> None:
    """Of any tuner: the same trials, and the same weights of the stored model; a search that two
    worked at and that was killed goes on with three. Of one worker, the test below says so; of
    searches without training, tests/unit/runner/test_runner_parallel.py.
    """
    process = killing.start(folder, "more", [ALL, "executor.workers=2"])
    while len(killing.ended_trials(folder / "more")) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate()
    code, output = killing.finish(folder, "more", [ALL, "executor.workers=3"])
    assert code == 0, output
    assert killing.picture(folder / "more") == expected


def test_a_run_killed_in_every_phase_ends_as_one_that_nobody_killed(
    folder: Path, expected: dict[str, Any]
) -> None:
    """Whatever Keras Tuner's own files hold by then: nothing depends on them. With one worker, or
    none, it is known what is on disk at each place.
    """
    arguments = [ALL, "executor.workers=1"]
    seen: dict[str, Any] = {}
    for phase, place, is_there in PHASES:
        inline = phase not in WORKERS
        command = [ALL] if inline else arguments
        code, output = killing.finish(folder, "killed", command, place, inline)
        assert code == -9, f"it was to be killed {phase} and ended with {code}: {output}"
        disk = killing.disk(folder / "killed")
        assert is_there(disk), f"it was to be killed {phase}, and on disk is {disk}"
        now = killing.ended_trials(folder / "killed")
        assert all(now[trial] == seen[trial] for trial in seen if trial in now), phase
        seen |= now
        for path in (folder / "killed").glob("trials/*/*/**/[ot]r*.json"):  # oracle, trial
            path.write_bytes(path.read_bytes()[:40])
    code, output = killing.finish(folder, "killed", arguments)
    assert code == 0, output
    assert "taken over from the history" in output
    assert killing.picture(folder / "killed") == expected
    assert killing.leftovers(folder / "killed") == []
    assert [*folder.glob("killed/.locks/*")] == []
    assert killing.has_ended(folder / "killed")
    found = [finding.what for part in mend(history.open(folder / "killed")) for finding in part]
    # No result is there twice.
    assert [what for what in found if "left over from an interrupted write" not in what] == []
    rows = 0
    for entry in killing.entries(folder / "killed"):
        for row in killing.trials(folder / "killed", entry):
            name = rf"-{entry['pipeline']}/\w+/{row['trial_id']}$"
            known = [seen[trial] for trial in seen if re.search(name, trial)]
            assert known in ([], [(row["started"], row["seconds"])])
            rows += len(known)
    assert rows == len(seen) > 0
