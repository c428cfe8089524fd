"""What a measurement comes to, and how it is taken: in rounds, in each of which all sides run, in
the one order and then in the other, so that what else the machine does meets them alike.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
HEAD = "| Work | Measured | Target | |\n|---|---|---|---|"


@dataclass(frozen=True)
class Figure:
    """A line of the table."""

    work: str
    values: Sequence[float]  # one of each round
    target: float | None = None
    unit: str = ""  # none: a ratio
    least: bool = False  # the target is the least, not the most, that is asked for
    note: str = ""

    def __str__(self) -> str:
        median = statistics.median(self.values)
        spread = f" ({self._text(min(self.values))} to {self._text(max(self.values))})"
        measured = f"{self._text(median)}{spread if len(self.values) > 1 else ''} {self.unit}"
        asked, verdict = "", ""
        if self.target is not None:
            is_met = median >= self.target if self.least else median <= self.target
            asked = f"{'≥' if self.least else '≤'} {self._text(self.target)} {self.unit}"
            verdict = "met" if is_met else "missed"
        notes = "; ".join(filter(None, [verdict, self.note]))
        return f"| {self.work} | {measured.strip()} | {asked.strip()} | {notes} |"

    def _text(self, value: float) -> str:
        return f"{value:.{2 if abs(value) < 20 else 0}f}"


def interleaved(
    names: Sequence[str], run: Callable[[str], float], rounds: int
) -> dict[str, list[float]]:
    """Return the seconds that each side took, by round."""
    took: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[:: -1 if number % 2 else 1]:
            took[name].append(run(name))
            say(f"round {number + 1}, {name}: {took[name][-1]:.2f} s")
    return took


def ratios(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


def side(*arguments: object, count: int = 1) -> list[Any]:
    """Return what a side comes to (see sides.py), or several that begin at once."""
    command = [sys.executable, "-m", "benchmarks.sides", *map(str, arguments)]
    pipe, nowhere = subprocess.PIPE, None if "--profile" in arguments else subprocess.DEVNULL
    started = [
        subprocess.Popen(
            command, text=True, cwd=REPOSITORY, stdin=pipe, stdout=pipe, stderr=nowhere
        )
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout is not None
        if "ready\n" not in iter(process.stdout.readline, ""):
            raise RuntimeError(f"{' '.join(command)} failed; call it by hand to see why")
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
