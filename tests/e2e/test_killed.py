"""A run that is killed, wherever, and started again, and one of another number of workers, ends as
one in one process that nobody killed.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import killing
import pytest
from e2e_samples import documents, wait_until

import history
from history.doctor import mend

pytestmark = pytest.mark.e2e

# One kill in each phase of a run, and in the search of each tuner, in the order of the work: each
# start of the same command is killed at the next of these changes on disk. The phases are spread
# over the pipelines, as a phase is the same in each. Kills at every trial, without training:
# tests/unit/runner/test_runner_search.py; anywhere: tests/soak.
PHASES = {
    "during a trial": "before:-hyperband/.*trial_0001/result.json",
    "when all is told, before the oracle is written": "before:-hyperband/.*/oracle.json",
    "in the first repeat": "after:hyperband/refit-0/classification_report.csv",
    "while the entry's files are linked": "after:part/model.keras",
    "between two pipelines": "after:killed/history.json$",
    "after a trial returned, before it is told": "after:-random/.*/trial_0001/result.json",
    "after the folder is there, before the document": "before:killed/history.json$",
    "in the search of a grid": "before:-grid/.*/trial_0002/result.json",
    "after the first guess": "after:-bayesian/.*/trial_0003/result.json",
    "before Optuna's second guess": "before:-tpe/.*/trial_0003/result.json",
    "in the middle of the purge": "after:trial_0000$#3",  # two are in vain: it is not empty yet
}
QUICK = (
    "during a trial",
    "in the first repeat",
    "while the entry's files are linked",
    "after a trial returned, before it is told",
    "after the folder is there, before the document",
    "in the middle of the purge",
)
WORKERS = ("during a trial", "after the first guess")  # one dies with the run; else all is inline


ALL = "+experiment=all"
TWO = "only=[hyperband,random]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's, in which each run has a root of its own."""
    return killing.lay_out(tmp_path_factory.mktemp("killed"))


@pytest.mark.nightly
def test_the_number_of_workers_changes_no_result(folder: Path) -> None:
    """Of any tuner: the same trials, and the same weights of the stored model; a search that two
    worked at and that was killed goes on with three. Of one worker, and two, the test below says
    so; of searches without training, tests/unit/runner/test_runner_parallel.py.
    """
    killing.run(folder, "alone", ALL)
    process = killing.start(folder, "more", ALL, "executor.workers=2", inline=False)
    wait_until(lambda: len(killing.ended_trials(folder / "more")) >= 3, process)
    process.kill()
    process.communicate()
    killing.run(folder, "more", ALL, "executor.workers=3", inline=False)
    assert killing.picture(folder, "more") == killing.picture(folder, "alone")


@pytest.mark.parametrize(
    ("command", "phases"),
    [
        pytest.param([ALL, TWO], QUICK, id="two"),
        pytest.param([ALL], PHASES, id="all", marks=pytest.mark.nightly),
    ],
)
def test_a_run_killed_in_every_phase_ends_as_one_that_nobody_killed(
    tmp_path: Path, command: list[str], phases: Iterable[str]
) -> None:
    """With any number of workers, and whatever Keras Tuner's own files hold by then: nothing
    depends on them.
    """
    folder, root = killing.lay_out(tmp_path), tmp_path / "killed"
    killing.run(folder, "alone", *command)
    seen: dict[str, Any] = {}
    for phase in phases:
        inline = phase not in WORKERS
        workers = [] if inline else ["executor.workers=1"]
        place = PHASES[phase]
        killing.run(folder, "killed", *command, *workers, kill_at=place, inline=inline)
        now = killing.ended_trials(root)
        assert all(now[trial] == seen[trial] for trial in seen if trial in now), phase
        seen |= now
        for path in root.glob("trials/*/*/**/[ot]r*.json"):  # oracle, trial
            path.write_bytes(path.read_bytes()[:40])
    done = killing.run(folder, "killed", *command, "executor.workers=2", inline=False)
    assert "taken over from the history" in done.err
    assert killing.picture(folder, "killed") == killing.picture(folder, "alone")
    assert killing.leftovers(root) == []
    assert [*root.glob(".locks/*")] == []
    assert killing.has_ended(root)
    findings = [finding.what for part in mend(history.open(root)) for finding in part]
    # No result is there twice.
    assert [what for what in findings if "left over from an interrupted write" not in what] == []
    rows = 0
    for entry in documents(folder, "killed"):
        for row in entry.trials():
            name = rf"-{entry['pipeline']}/\w+/{row['trial_id']}$"
            starts = [seen[trial] for trial in seen if re.search(name, trial)]
            assert starts in ([], [(row["started"], row["seconds"])])
            rows += len(starts)
    assert rows == len(seen) > 0
