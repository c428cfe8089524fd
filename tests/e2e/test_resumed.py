"""What continues a search, what starts one beside it, and what is said of it."""

import re
import time
from pathlib import Path

import killing
import pytest

import history
from history.doctor import examine

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

# What is trained in these few steps takes less time than to compile it.
SMALL = ["+experiment=own", "+model.eager=true", "validation.repeats=1", "hooks.purge=null"]


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
        code, output = killing.finish(folder, "r", [*SMALL, *arguments], place, inline=True)
        assert code == -9, output
        return output

    killed(3, "tuner.max_trials=5")
    seen = killing.ended_trials(root)
    assert len(seen) == 3
    assert "fit.epochs: 2 → 1" in killed(0, "fit.epochs=1")
    code, output = killing.finish(folder, "r", [*SMALL, "tuner.max_trials=6"], inline=True)
    assert code == 0, output
    assert "main: resuming after trial 3, from" in output
    [entry] = killing.entries(root)
    assert entry["search"]["trials"] == {"total": 6, "completed": 6, "failed": 0}
    scores = [row["score"] for row in killing.trials(root, entry)]
    for trial in (4, 5, 6):  # the best so far is that of all starts
        said = rf"trial {trial - 1:04} \({trial}/6\) .* \(best {max(scores[:trial]):.4g}\)"
        assert re.search(said, output)
    assert "going on" not in killed(0, "fresh=true")
    now = killing.ended_trials(root)
    assert {trial: now[trial] for trial in seen} == seen
    searches = {path.parent.name for path in root.glob("trials/own-main/*/search.json")}
    [first] = {trial.split("/")[1] for trial in seen}
    assert len(searches) == 3
    assert {first, f"{first}-2"} < searches


def test_identical_commands_at_once_share_the_work(folder: Path) -> None:
    """Whoever comes while one is at it waits, says for whom, and takes over what was made: nothing
    is trained again, no hook runs again. Later, the same command is a run of its own.
    """
    root, arguments = (
        folder / "r",
        [*SMALL[:3], "tuner.max_trials=6", "hooks={note: {_target_: noting.note}}"],
    )
    (folder / "noting.py").write_text("def note(run):\n    open('noted', 'a').write(run.run_id)\n")
    processes = [killing.start(folder, "r", arguments, inline=True) for _ in range(2)]
    while not list(root.glob("trials/*/*/search.json")):
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.05)
    processes.append(killing.start(folder, "r", arguments, inline=True))
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    [entry] = killing.entries(root)
    assert [output.count(entry["id"]) for output in outputs if "trial 0000 (1/6)" in output] == [1]
    others = [output for output in outputs if "trial 0000 (1/6)" not in output]
    for output in others:
        assert re.search(r"this run of own is in use by process \d+ on", output), output
        assert f"main: taken over from the history: {entry['id']}" in output
    assert (folder / "noted").read_text() == entry["run_id"]
    assert not list(root.glob("runs/*.open"))
    assert not list(root.glob(".locks/*"))
    code, output = killing.finish(folder, "r", arguments, inline=True)
    assert code == 0, output
    assert len(killing.entries(root)) == 2


def test_eight_runs_at_once_into_one_root_lose_nothing(folder: Path) -> None:
    """Every entry is there and whole, and no lock is left behind."""
    small = [*SMALL[:3], "tuner.max_trials=1", "fit.epochs=1"]
    processes = [
        killing.start(folder, "r", [*small, f"seed={seed}"], inline=True) for seed in range(8)
    ]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert {process.returncode for process in processes} == {0}, outputs
    root = folder / "r"
    assert sorted(entry["seed"] for entry in killing.entries(root)) == [*range(8)]
    assert examine(history.open(root)) == []
    assert killing.leftovers(root) == []
    assert not list(root.glob("runs/*.open"))
    assert not [path for path in root.rglob("*") if path.suffix in (".lock", ".tmp")]
