"""A run that is killed, wherever, and started again ends as one that nobody killed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import killing
import pytest

pytestmark = pytest.mark.e2e
Damage = Callable[[Path], object]

# One kill in each phase, in the order of the work; each start of the same command is killed at the
# next of them.
PHASES = [
    ("during the first trial", "before:trial_0000/result.json"),
    ("after a trial returned, before it is told", "after:trial_0001/result.json"),
    ("between the two writes of a told trial", "before:oracle.json#4"),
    ("in the middle of a later trial", "before:trial_0004/result.json"),
    ("in the first repeat of the validation", "after:first/classification_report.csv"),
    ("while the entry's files are moved", "after:stage/first/model.keras"),
    ("after the folder is there, before the document", "before:/history.json$"),
    ("between two pipelines", "after:/history.json$"),
    ("in the search of the second pipeline", "after:trial_0000/trial.json"),
    ("in the validation of the second pipeline", "after:second/confusion_matrix.svg"),
    ("when the purge has begun", "after:[.]purge$"),
    ("in the middle of the purge", "after:trial_0000$"),
]
OF_A_SEARCH = [
    *PHASES[:4],
    PHASES[8],
]  # what depends on the tuner; tests/soak kills each of them anywhere
KILLED = {tuner: PHASES if tuner == "hyperband" else OF_A_SEARCH for tuner in killing.TUNERS}


@pytest.mark.parametrize("tuner", KILLED)
def test_a_run_killed_in_every_phase_ends_as_one_that_nobody_killed(
    tuner: str, tmp_path: Path
) -> None:
    folder = killing.lay_out(tmp_path / "user")
    arguments = ["+experiment=two", *killing.TUNERS[tuner]]
    code, output = killing.finish(folder, "reference", arguments)
    assert code == 0, output
    seen: dict[str, Any] = {}
    for phase, place in KILLED[tuner]:
        code, output = killing.finish(folder, "killed", arguments, kill_at=place)
        assert code == -9, f"it was to be killed {phase} and ended with {code}: {output}"
        now = killing.ended_trials(folder / "killed")
        assert {trial: now[trial] for trial in seen if trial in now} == {
            t: seen[t] for t in seen if t in now
        }, phase
        seen |= now
    code, output = killing.finish(folder, "killed", arguments)
    assert code == 0, output
    assert "taken over from the history" in output
    assert killing.picture(folder / "killed") == killing.picture(folder / "reference")
    assert killing.leftovers(folder / "killed") == []
    assert killing.has_ended(folder / "killed")
    for entry in killing.entries(folder / "killed"):
        for row in killing.trials(folder / "killed", entry):
            known = [
                v
                for k, v in seen.items()
                if re.search(rf"-{entry['pipeline']}/\w+/{row['trial_id']}$", k)
            ]
            assert known in ([], [(row["started"], row["seconds"])])


def test_damaged_state_files_are_rebuilt_and_no_ended_trial_runs_again(tmp_path: Path) -> None:
    folder = killing.lay_out(tmp_path / "user")
    arguments = ["+experiment=mlp", "tuner.max_trials=10", "fit.epochs=1", "validation.repeats=1"]
    code, output = killing.finish(folder, "reference", arguments)
    assert code == 0, output
    code, output = killing.finish(
        folder, "damaged", arguments, kill_at="before:trial_0003/result.json"
    )
    assert code == -9, output
    (search,) = (folder / "damaged").glob("trials/*/[0-9a-f]*")
    seen = killing.ended_trials(folder / "damaged")
    for trial, (fault, (damage, rebuilt)) in enumerate(FAULTS.items(), start=4):
        damage(search)
        code, output = killing.finish(
            folder, "damaged", arguments, kill_at=f"before:trial_{trial:04}/result.json"
        )
        assert code == -9, f"{fault}: ended with {code}: {output}"
        assert rebuilt in output, f"{fault}: {output}"
        now = killing.ended_trials(folder / "damaged")
        assert {key: now[key] for key in seen} == seen, fault
        seen = now
    code, output = killing.finish(folder, "damaged", arguments)
    assert code == 0, output
    assert killing.picture(folder / "damaged") == killing.picture(folder / "reference")


def test_a_trial_whose_result_is_lost_runs_again_to_the_same_result(tmp_path: Path) -> None:
    folder = killing.lay_out(tmp_path / "user")
    arguments = ["+experiment=mlp", "tuner.max_trials=3", "validation.repeats=1"]
    code, output = killing.finish(folder, "reference", arguments)
    assert code == 0, output
    code, output = killing.finish(
        folder, "damaged", arguments, kill_at="before:trial_0002/result.json"
    )
    assert code == -9, output
    (search,) = (folder / "damaged").glob("trials/*/[0-9a-f]*")
    (search / "trial_0000/result.json").write_text("{")
    (search / "trial_0001/result.json").unlink()
    code, output = killing.finish(folder, "damaged", arguments)
    assert code == 0, output
    assert "rebuilt from the trials' results" in output
    assert killing.picture(folder / "damaged") == killing.picture(folder / "reference")


def _cut(name: str) -> Damage:
    return lambda search: (search / name).write_bytes((search / name).read_bytes()[:40])


def _empty(name: str) -> Damage:
    return lambda search: (search / name).write_bytes(b"")


def _remove(name: str) -> Damage:
    return lambda search: (search / name).unlink()


def _swap(name: str, other: str) -> Damage:
    return lambda search: (search / name).write_bytes((search / other).read_bytes())


def _foreign(search: Path) -> None:
    state = json.loads((search / "oracle.json").read_text())
    (search / "oracle.json").write_text(json.dumps({**state, "search": "0" * 64}))


REBUILT = "rebuilt from the trials' results"
FAULTS: dict[str, tuple[Damage, str]] = {
    "a cut oracle.json": (_cut("oracle.json"), REBUILT),
    "a missing oracle.json": (_remove("oracle.json"), REBUILT),
    "an oracle.json of another search": (_foreign, REBUILT),
    "a cut trial.json": (_cut("trial_0001/trial.json"), REBUILT),
    "another trial's trial.json": (
        _swap("trial_0001/trial.json", "trial_0002/trial.json"),
        REBUILT,
    ),
    "an empty marker": (_empty("search.json"), "written anew"),
}
