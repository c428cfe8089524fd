"""What continues a search, what starts one beside it, and what is said of it."""

import re
from pathlib import Path

import killing
import pytest
from e2e_samples import documents, finish, wait_until, write

import history
from history.doctor import examine

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

# What is trained in these few steps takes less time than to compile it.
SMALL = ["+experiment=own", "+model.eager=true", "validation.repeats=1"]
KEPT = [*SMALL, "hooks.purge=null"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return killing.lay_out(tmp_path)


def test_a_raised_budget_continues_a_search_and_other_settings_start_one_beside_it(
    folder: Path,
) -> None:
    """What has ended never runs again, and nothing is destroyed; the log says which it is."""
    root = folder / "r"

    def killed(trial: int, *arguments: str) -> str:
        place = f"before:trial_{trial:04}/result.json"
        return killing.run(folder, "r", *KEPT, *arguments, kill_at=place).err

    killed(3, "tuner.max_trials=5")
    seen = killing.ended_trials(root)
    assert len(seen) == 3
    assert "fit.epochs: 2 → 1" in killed(0, "fit.epochs=1")
    done = killing.run(folder, "r", *KEPT, "tuner.max_trials=6")
    assert "main: resuming after trial 3, from" in done.err
    [entry] = documents(folder, "r")
    assert entry["search"]["trials"] == {"total": 6, "completed": 6, "failed": 0}
    scores = [row["score"] for row in entry.trials()]
    for trial in (4, 5, 6):  # the best so far is that of all starts
        best = f"{max(scores[:trial]):.4g}"
        assert re.search(rf"trial {trial - 1:04} \({trial}/6\) .* \(best {best}\)", done.err)
    assert "going on" not in killed(0, "fresh=true")
    now = killing.ended_trials(root)
    assert seen.items() <= now.items()
    searches = {path.parent.name for path in root.glob("trials/own-main/*/search.json")}
    [first] = {trial.split("/")[1] for trial in seen}
    assert len(searches) == 3
    assert {first, f"{first}-2"} < searches


def test_identical_commands_at_once_share_the_work(folder: Path) -> None:
    """Whoever comes while one is at it waits, says for whom, and takes over what was made: nothing
    is trained again, no hook runs again. Later, the same command is a run of its own.
    """
    write(folder, noting_py="def note(run):\n    open('noted', 'a').write(run.run_id)\n")
    root = folder / "r"
    command = [*SMALL, "tuner.max_trials=6", "hooks={note: {_target_: noting.note}}"]
    processes = [killing.start(folder, "r", *command) for _ in range(2)]
    wait_until(lambda: bool([*root.glob("trials/*/*/search.json")]), processes[0])
    processes.append(killing.start(folder, "r", *command))
    logs = [finish(process).err for process in processes]
    [entry] = documents(folder, "r")
    others = [log for log in logs if "trial 0000 (1/6)" not in log]
    assert len(others) == 2
    for log in others:
        assert re.search(r"this run of own is in use by process \d+ on", log), log
        assert f"main: taken over from the history: {entry['id']}" in log
    assert (folder / "noted").read_text() == entry["run_id"]
    assert not list(root.glob("runs/*.open"))
    assert not list(root.glob(".locks/*"))
    killing.run(folder, "r", *command)
    assert len(documents(folder, "r")) == 2


def test_eight_runs_at_once_into_one_root_lose_nothing(folder: Path) -> None:
    """Every entry is there and whole, and no lock is left behind."""
    root, command = folder / "r", [*SMALL, "tuner.max_trials=1", "fit.epochs=1"]
    processes = [killing.start(folder, "r", *command, f"seed={seed}") for seed in range(8)]
    for process in processes:
        finish(process)
    assert sorted(entry["seed"] for entry in documents(folder, "r")) == [*range(8)]
    assert examine(history.open(root)) == []
    assert killing.leftovers(root) == []
    assert not list(root.glob("runs/*.open"))
    assert not [path for path in root.rglob("*") if path.suffix in (".lock", ".tmp")]
