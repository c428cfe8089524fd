"""What continues a search, what starts one beside it, and what is said of it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import killing
import pytest

import history
from history.doctor import examine

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
        one = [*SMALL, *arguments, "executor.workers=1"]  # none is ahead of the other
        code, output = killing.finish(folder, "r", one, kill_at=place)
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


def test_identical_commands_at_once_share_the_work(folder: Path) -> None:
    """Whoever comes while one is at it waits, says for whom, and takes over what was made: nothing
    is trained again, no hook runs again. Later, the same command is a run of its own.
    """
    root, arguments = (
        folder / "r",
        [*SMALL[:2], "tuner.max_trials=8", "hooks={note: {_target_: own.note}}"],
    )
    (folder / "own.py").write_text("def note(run):\n    open('noted', 'a').write(run.run_id)\n")
    processes = [killing.start(folder, "r", arguments) for _ in range(2)]
    while not list(root.glob("trials/*/*/search.json")):
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.05)
    processes.append(killing.start(folder, "r", arguments))
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    [entry] = killing.entries(root)
    assert [output.count(entry["id"]) for output in outputs if "trial 1/8" in output] == [1]
    others = [output for output in outputs if "trial 1/8" not in output]
    for output in others:
        assert re.search(r"this run of mlp is in use by process \d+ on", output), output
        assert f"main: taken over from the history: {entry['id']}" in output
    assert (folder / "noted").read_text() == entry["run_id"]
    assert not list(root.glob("runs/*.open"))
    assert not list(root.glob(".locks/*"))
    code, output = killing.finish(folder, "r", arguments)
    assert code == 0
    assert len(killing.entries(root)) == 2


MANY = """
import multiprocessing
import os
import sys


def run(seed):
    from runner.__main__ import main

    os.dup2(os.open(f"{seed}.log", os.O_CREAT | os.O_WRONLY), 2)
    sys.argv = ["runner", *sys.argv[1:], f"seed={seed}"]
    sys.exit(main())


if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras", "keras_tuner", "sklearn.metrics"])
    processes = [context.Process(target=run, args=[seed]) for seed in range(16)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))
"""


@pytest.mark.long
def test_sixteen_runs_at_once_into_one_root_lose_nothing(folder: Path) -> None:
    """Every entry is there and whole, and no lock is left behind. What takes its time, importing
    Keras, they have in common.
    """
    (folder / "many.py").write_text(MANY)
    small = ["+experiment=mlp", "validation.repeats=1", "tuner.max_trials=1", "fit.epochs=1"]
    environment = {**os.environ, "PYTHONPATH": str(killing.REPOSITORY)}
    command = [sys.executable, "many.py", *small, "paths.root=r", "executor=inline"]
    ended = subprocess.run(command, cwd=folder, env=environment, check=False, timeout=600)
    assert ended.returncode == 0, [path.read_text() for path in folder.glob("*.log")]
    root = folder / "r"
    assert sorted(entry["seed"] for entry in killing.entries(root)) == [*range(16)]
    assert examine(history.open(root)) == []
    assert killing.leftovers(root) == []
    assert not list(root.glob("runs/*.open"))
    assert not [path for path in root.rglob("*") if path.suffix in (".lock", ".tmp")]
