"""What continues a search, what starts one beside it, and what is said of it."""

import re
import time
from pathlib import Path

import killing
import pytest

pytestmark = pytest.mark.e2e

SMALL = ["+experiment=mlp", "validation.repeats=1", "hooks.purge=null"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return killing.lay_out(tmp_path / "user")


def test_a_raised_budget_continues_a_search_and_other_settings_start_one_beside_it(
    folder: Path,
) -> None:
    """What has ended never runs again, and nothing is destroyed; the log says which it is."""
    root = folder / "r"

    def killed(trial: int, *arguments: str) -> str:
        place = f"before:trial_{trial:04}/result.json"
        code, output = killing.finish(folder, "r", [*SMALL, *arguments], kill_at=place)
        assert code == -9, output
        return output

    killed(3, "tuner.max_trials=5")
    seen = killing.ended_trials(root)
    assert len(seen) == 3
    assert "fit.epochs: 2 → 1" in killed(0, "fit.epochs=1")
    code, output = killing.finish(folder, "r", [*SMALL, "tuner.max_trials=6"])
    assert code == 0, output
    assert "main: going on after trial 3, from" in output
    [entry] = killing.entries(root)
    assert entry["search"]["trials"] == {"total": 6, "completed": 6, "failed": 0}
    scores = [row["score"] for row in killing.trials(root, entry)]
    for trial in (4, 5, 6):  # the best so far is that of all starts
        assert re.search(rf"trial {trial}/6 .* \(best {min(scores[:trial]):.5g}\)", output)
    assert "going on" not in killed(0, "fresh=true")
    now = killing.ended_trials(root)
    assert {trial: now[trial] for trial in seen} == seen
    searches = {path.parent.name for path in root.glob("trials/mlp-main/*/search.json")}
    [first] = {trial.split("/")[1] for trial in seen}
    assert len(searches) == 3
    assert {first, f"{first}-2"} < searches


def test_two_runs_of_one_command_wait_for_each_other_and_find_the_same(folder: Path) -> None:
    """The second starts when the first has ended, as a run of its own."""
    arguments = [*SMALL[:2], "tuner.max_trials=8"]
    first = killing.start(folder, "r", arguments)
    while not list((folder / "r").glob("trials/*/*/search.json")):
        assert first.poll() is None
        time.sleep(0.05)
    code, output = killing.finish(folder, "r", arguments)
    first.communicate(timeout=60)
    assert (first.returncode, code) == (0, 0), output
    assert f"is in use by process {first.pid} on" in output
    one, other = killing.entries(folder / "r")
    assert one["run_id"] != other["run_id"]
    assert one["best"] == other["best"]
    assert one["validation"]["metrics"] == other["validation"]["metrics"]
