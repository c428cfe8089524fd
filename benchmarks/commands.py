"""How long the command line takes, as a user meets it: processes in a folder of their own."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import history
from benchmarks.growth import document
from benchmarks.table import REPOSITORY, Figure, say
from history.store import TABLE, Store

# without what would have Python compile all anew at every start
USUAL = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
COMMANDS: dict[str, tuple[str, list[str], int]] = {  # with the exit code
    "config": (
        "a wrong config, until it is said",
        ["-m", "runner", "+experiment=digits", "tuner.max_trails=3"],
        2,
    ),
    "help": ("`--help`", ["-m", "runner", "--help"], 0),
}
LISTED = (100, 10_000)  # entries


def call(folder: Path, arguments: list[str], code: int = 0) -> float:
    """Return the seconds that a call of Python takes."""
    clock = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**USUAL, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - clock
    if done.returncode != code:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return took


def digits(rounds: int) -> list[Figure]:
    """Return the whole experiment, each time in a new folder."""
    took, parts = [], ""
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            took.append(call(Path(name), ["-m", "runner", "+experiment=digits"]))
            parts = "; ".join(
                f"{entry.pipeline}: "
                + ", ".join(f"{part} {spent:.1f} s" for part, spent in timings.items())
                for entry in history.open(Path(name) / "results").entries()
                if (timings := entry.document.get("timings", {}))
            )
        say(f"round {number + 1}, digits: {took[-1]:.1f} s ({parts})")
    return [Figure("`digits` end to end", took, 45.0, "s", note=f"the last one's {parts}")]


def answers(rounds: int) -> list[Figure]:
    """Return what is to be answered at once. The first call, which fills the disk's cache and
    Python's, does not count.
    """
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for work, arguments, code in COMMANDS.values():
            took = [call(folder, arguments, code) for _ in range(2 * rounds + 1)][1:]
            figures.append(Figure(work, took, unit="s"))
        for size in LISTED:
            root = folder / str(size)
            root.mkdir()
            Store(root).write({TABLE: {str(n): document(n) for n in range(1, size + 1)}})
            arguments = ["-m", "history", "--root", str(root), "list"]
            took = [call(folder, arguments) for _ in range(2 * rounds + 1)][1:]
            figures.append(Figure(f"`history list` of {size:,} entries", took, unit="s"))
    return figures
