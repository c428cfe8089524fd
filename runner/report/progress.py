"""What a run shows on stderr while it works: a line for each trial and refit that has ended and, at
a terminal, a display of its progress below these lines. Elsewhere, signs of life.
"""

import contextlib
import logging
import math
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from rich import console, live, table, text

from foundation import streams
from foundation.escape import printable
from runner import errors
from runner.config.schema import EPOCH, Run
from runner.search import loop
from runner.workers import tasks

log = logging.getLogger("runner")

ALIVE = 30  # seconds, after which a run without a display says again what it is at
WORKERS = 40  # that are shown: each costs a look at its file, each time
SHORT = {"learning_rate": "lr", "tuner/epochs": "epochs"}
# by task: what it is, and the file it writes its epoch to, with its arguments by their number
DOES: dict[object, tuple[str, str]] = {
    tasks.check_hooks: ("starting", ""),
    tasks.load: ("loading data", ""),
    tasks.preflight: ("trying the default model", ""),
    tasks.baselines: ("baselines", ""),
    tasks.trial: ("trial {4}", f"{{3.folder}}/trial_{{4}}/{EPOCH}"),
    tasks.refit: ("refit {4}", f"{{5}}/{EPOCH}"),
    tasks.hook: ("hook {0}", ""),
}


def pairs(values: Mapping[str, object]) -> str:
    """Return hyperparameters and their values, short: `h1=64 lr=3.2e-3`. A name is cut to its last
    part where no other has the same; one that only names the task is left out. Of the tuner's own
    values, only the epochs are shown.
    """
    ends = {}
    for name in values:
        if name in SHORT or not name.startswith("tuner/"):
            ends[name] = re.sub(r"\.(classification|regression)$", "", name).split(".")[-1]
    counts = Counter(ends.values())
    shown = []
    for name, end in ends.items():
        short = SHORT.get(end, end) if counts[end] == 1 else name
        shown.append(f"{printable(short)}={brief(values[name])}")
    return " ".join(shown)


def brief(value: object) -> str:
    """Return a value in few letters."""
    if not isinstance(value, float):
        return errors.short(printable(value), 20)
    is_usual = value == 0 or 1e-2 <= abs(value) < 1e4
    number = f"{value:.3g}" if is_usual else f"{value:.1e}"
    return number.replace("e-0", "e-").replace("e+0", "e")


def does(task: object, arguments: Sequence[Any], since: float) -> str:
    """Return what a worker does, and for how long it has."""
    what, file = DOES.get(task, ("busy", ""))
    parts = [what.format(*arguments)]
    with contextlib.suppress(OSError):  # it does not train, or not yet
        parts.append(f"epoch {Path(file.format(*arguments)).read_text()}")
    parts.append(f"{time.monotonic() - since:.0f} s")
    if task == tasks.trial:
        parts.append(pairs(arguments[5]["values"]))
    return "  ".join(parts)


class Display:
    """The progress of a run. There is one at a time."""

    now: ClassVar["Display"]

    def __init__(self, run: Run, workers: Any, title: str, names: Iterable[str]) -> None:
        self.workers = workers
        self.title = title
        self.names = list(names)
        self.say = log.debug if run.progress == "none" else log.info
        self.name = ""
        self.best = ""
        self.at("", "preparing")

    def at(self, name: str, unit: str, total: int | None = None, epochs: int | None = None) -> None:
        """Begin a stage.

        Args:
            name: of the pipeline; "" for a stage of the whole run.
            unit: what is counted, such as a trial; or, of the run, what it does.
            total: how many units there are, where that is known.
            epochs: of all units together, where some have more than others.
        """
        if name != self.name:
            self.best = ""
        self.name = name
        self.unit = unit
        self.of = f"/{total}" if total else ""
        self.work = "epoch" if epochs else unit
        self.left = epochs or total
        self.ended = 0
        self.worked = 0  # in this start
        self.score = math.nan
        self.end = math.inf
        self.begun = time.monotonic()  # with what is worked on in this start
        self.since = self.begun  # the last unit has ended

    def tick(self, work: int = 1, *, ran: bool = True) -> None:
        """Count a unit that has ended, in this start or an earlier one."""
        self.since = time.monotonic()
        self.ended += 1
        if self.left:
            self.left -= work
        if ran:
            self.worked += work
        else:
            self.begun = self.since

    def trial(self, metric: str, done: loop.Progress) -> None:
        """Count a trial and, if it has just run, log it."""
        result = done.result
        name = f"trial {result.trial_id}"
        values = pairs(result.asked)
        self.end = done.end
        self.tick(self._work_of(result.asked), ran=done.ran)
        if done.best is not None and done.best != self.score:
            self.score = done.best
            self.best = f"{name}  {metric} {done.best:.4g}  {values}"
        if not done.ran:
            return
        name = f"{self.name}: {name} ({self.ended}{self.of})"
        if done.score is None:
            say = log.warning
            outcome = f"failed: {result.reason}"
        else:
            say = self.say
            outcome = f"{metric} {done.score:.4g} (best {done.best:.4g})"
        say("%s  %s  %s  %.1f s", name, outcome, values, result.seconds)

    def _work_of(self, values: Mapping[str, Any]) -> int:
        if self.work != "epoch":
            return 1
        return int(values["tuner/epochs"]) - int(values["tuner/initial_epoch"])

    def remaining(self) -> str:
        """Return how long the stage will still take, and how that is known."""
        now = time.monotonic()
        seconds = self.end - now
        basis = "tuner.max_seconds"
        if self.left and self.worked:
            pace = (self.since - self.begun) / self.worked
            by_pace = pace * self.left - (now - self.since)
            if by_pace < seconds:
                seconds = by_pace
                plural = "" if self.left == 1 else "s"
                basis = f"{self.left} more {self.work}{plural}, one every {pace:.2g} s so far"
        if seconds < math.inf:
            return f"about {timedelta(seconds=max(0, round(seconds)))}: {basis}"
        return f"known after the first {self.unit}" if self.left else ""

    def rows(self) -> list[tuple[str, str]]:
        """Return what is shown, a name and a text each, the workers last."""
        stage = self.unit
        if self.name:
            position = ""
            if len(self.names) > 1:
                position = f" ({self.names.index(self.name) + 1} of {len(self.names)})"
            stage = f"{self.name}{position}: {self.ended}{self.of} {self.unit}s"
        rows = [(self.title, stage), ("best", self.best), ("left", self.remaining())]
        busy = list(self.workers.busy.values())
        for number, task in enumerate(busy[:WORKERS], start=1):
            rows.append((f"worker {number}", does(*task) if task else "-"))
        return [(name, text) for name, text in rows if text]

    def __rich__(self) -> table.Table:
        grid = table.Table.grid(table.Column(no_wrap=True), padding=(0, 2, 0, 0))
        for row in self.rows():
            cells = [text.Text(printable(s), no_wrap=True, overflow="ellipsis") for s in row]
            grid.add_row(*cells)
        return grid


@contextlib.contextmanager
def shown(run: Run, workers: Any, title: str, names: Iterable[str]) -> Iterator[None]:
    """Show the progress of a run; see Display for the arguments."""
    Display.now = Display(run, workers, title, names)
    if run.progress == "live" and streams.steerable():
        with live.Live(
            Display.now,
            console=console.Console(file=sys.stderr, force_terminal=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        ):
            yield
        return
    over = threading.Event()
    threading.Thread(target=_give_signs, args=[over], daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _give_signs(over: threading.Event) -> None:
    while not over.wait(ALIVE):
        Display.now.say("%s", "; ".join(map(": ".join, Display.now.rows())))
