"""A run that is killed, wherever, and started again ends as one that nobody killed."""

import re
from pathlib import Path
from typing import Any

import killing
import pytest

pytestmark = pytest.mark.e2e

# One kill in each phase, in the order of the work; each start of the same command is killed at the
# next of them. Kills at every trial, without training: tests/unit/runner/test_runner_search.py;
# anywhere: tests/soak.
PHASES = [
    ("during a trial", "before:-hyperband/.*trial_0001/result.json"),
    ("after a trial returned, before it is told", "after:-hyperband/.*trial_0001/result.json"),
    ("between the two writes of a told trial", "before:-hyperband/.*/oracle.json"),
    ("in the first repeat of the validation", "after:hyperband/classification_report.csv"),
    ("while the entry's files are linked", "after:part/model.keras"),
    ("after the folder is there, before the document", "before:killed/history.json$"),
    ("between two pipelines", "after:killed/history.json$"),
    ("in the search at random", "after:-random/.*/trial_0001/result.json"),
    ("in the search of a grid", "before:-grid/.*/trial_0002/result.json"),
    ("after the first guess", "after:-bayesian/.*/trial_0003/result.json"),
    ("when the purge has begun", "after:-hyperband/.*/oracle.json$"),
    ("in the middle of the purge", "after:trial_0000$#3"),  # two are in vain: it is not empty yet
]


def test_a_run_killed_in_every_phase_ends_as_one_that_nobody_killed(tmp_path: Path) -> None:
    """Whatever Keras Tuner's own files hold by then: nothing depends on them."""
    folder, arguments = killing.lay_out(tmp_path / "user"), ["+experiment=all"]
    code, output = killing.finish(folder, "reference", arguments)
    assert code == 0, output
    seen: dict[str, Any] = {}
    for phase, place in PHASES:
        code, output = killing.finish(folder, "killed", arguments, kill_at=place)
        assert code == -9, f"it was to be killed {phase} and ended with {code}: {output}"
        now = killing.ended_trials(folder / "killed")
        assert all(now[trial] == seen[trial] for trial in seen if trial in now), phase
        seen |= now
        for path in (folder / "killed").glob("trials/*/*/**/[ot]r*.json"):  # oracle, trial
            path.write_bytes(path.read_bytes()[:40])
    code, output = killing.finish(folder, "killed", arguments)
    assert code == 0, output
    assert "taken over from the history" in output
    assert killing.picture(folder / "killed") == killing.picture(folder / "reference")
    assert killing.leftovers(folder / "killed") == []
    assert killing.has_ended(folder / "killed")
    rows = 0
    for entry in killing.entries(folder / "killed"):
        for row in killing.trials(folder / "killed", entry):
            name = rf"-{entry['pipeline']}/\w+/{row['trial_id']}$"
            known = [seen[trial] for trial in seen if re.search(name, trial)]
            assert known in ([], [(row["started"], row["seconds"])])
            rows += len(known)
    assert rows == len(seen) > 0
