"""What a run shows on stderr while it goes on: a line for each trial and refit that has ended and,
at a terminal, below these lines, one display of what it is at. Elsewhere, signs of life.
"""

import contextlib
import logging
import math
import re
import sys
import threading
import time
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
# by task: what it is, and where it writes down its epoch, each with its arguments by their number
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
    """Return hyperparameters and their values, short: `h1=64 lr=3.2e-3`. Of a name, its last part
    is told where no other has the same; one that only names the task is left out. Of the tuner's
    own, the epochs are told.
    """
    names = [name for name in values if name in SHORT or not name.startswith("tuner/")]
    last = [re.sub(r"\.(classification|regression)$", "", name).split(".")[-1] for name in names]
    return " ".join(
        f"{printable(SHORT.get(end, end) if last.count(end) == 1 else name)}={brief(values[name])}"
        for name, end in zip(names, last, strict=True)
    )


def brief(value: object) -> str:
    """Return a value in few letters."""
    if not isinstance(value, float):
        return errors.short(printable(value), 20)
    digits = ".1e" if value and not 1e-2 <= abs(value) < 1e4 else ".3g"
    return f"{value:{digits}}".replace("e-0", "e-").replace("e+0", "e")


def does(task: object, given: Sequence[Any], since: float) -> str:
    """Return what a worker does, and for how long it has."""
    what, path = (each.format(*given) for each in DOES.get(task, ("busy", "")))
    with contextlib.suppress(OSError):  # it does not train, or not yet
        what += f"  epoch {Path(path).read_text()}"
    values = f"  {pairs(given[5]['values'])}" if task == tasks.trial else ""
    return f"{what}  {time.monotonic() - since:.0f} s{values}"


class Display:
    """What a run is at. There is one at a time."""

    now: ClassVar["Display"]

    def __init__(self, run: Run, workers: Any, title: str, names: Iterable[str]) -> None:
        self.workers, self.title, self.names = workers, title, [*names]
        self.say, self.name, self.best = log.debug if run.progress == "none" else log.info, "", ""
        self.at("", "preparing")

    def at(self, name: str, unit: str, total: int | None = None, epochs: int | None = None) -> None:
        """Begin a stage.

        Args:
            name: of the pipeline that it is of; "": it is the run's.
            unit: what is done one after the other; or what is done.
            total: how many of them, where that is known.
            epochs: how many they have in all, where some have more than others.
        """
        self.best, self.of = self.best if name == self.name else "", f"/{total}" if total else ""
        self.name, self.unit, self.score, self.end = name, unit, math.nan, math.inf
        self.left, self.by = (epochs, "epoch") if epochs else (total, unit)
        self.begun = self.since = time.monotonic()  # the stage; since the last unit has ended
        self.ended = self.worked = 0

    def tick(self, work: int = 1, *, ran: bool = True) -> None:
        """Count a unit that has ended, in this start or an earlier one."""
        self.since, self.ended = time.monotonic(), self.ended + 1
        self.left, self.worked = self.left and self.left - work, self.worked + work * ran
        self.begun = self.begun if ran else self.since

    def trial(self, metric: str, done: loop.Progress) -> None:
        """Count a trial and, if it has just run, log it."""
        values, said, self.end = done.result.asked, f"trial {done.result.trial_id}", done.end
        epochs = int(values.get("tuner/epochs", 1)) - int(values.get("tuner/initial_epoch", 0))
        self.tick(epochs if self.by == "epoch" else 1, ran=done.ran)
        if done.best is not None and done.best != self.score:
            self.score = done.best
            self.best = f"{said}  {metric} {done.best:.4g}  {pairs(values)}"
        say, came = log.warning, f"failed: {done.result.reason}"
        if done.score is not None:
            say, came = self.say, f"{metric} {done.score:.4g} (best {done.best:.4g})"
        if done.ran:
            said = f"{self.name}: {said} ({self.ended}{self.of})"
            say("%s  %s  %s  %.1f s", said, came, pairs(values), done.result.seconds)

    def remaining(self) -> str:
        """Return how long the stage will still take, and what that is known by."""
        now, pace = time.monotonic(), (self.since - self.begun) / (self.worked or math.nan)
        clock, rest = self.end - now, pace * (self.left or math.nan) - (now - self.since)
        basis = f"{self.left} more {self.by}{'s' * (self.left != 1)}, one every {pace:.2g} s so far"
        left, basis = (rest, basis) if rest < clock else (clock, "tuner.max_seconds")
        if left == math.inf:
            return f"known after the first {self.unit}" * bool(self.left)
        return f"about {timedelta(seconds=max(0, round(left)))}: {basis}"

    def rows(self) -> list[tuple[str, str]]:
        """Return what is shown; of the workers, of which there may be many, last, and the first."""
        place = f" ({[*self.names, self.name].index(self.name) + 1} of {len(self.names)})"
        count = f"{place * (len(self.names) > 1)}: {self.ended}{self.of} {self.unit}s"
        rows = [
            (self.title, f"{self.name}{count}" if self.name else self.unit),
            *(("best", self.best), ("left", self.remaining())),
            *(
                (f"worker {number}", does(*task) if task else "-")
                for number, task in enumerate([*self.workers.busy.values()][:WORKERS], start=1)
            ),
        ]
        return [row for row in rows if row[1]]

    def __rich__(self) -> table.Table:
        grid = table.Table.grid(table.Column(no_wrap=True), padding=(0, 2, 0, 0))
        for row in self.rows():
            grid.add_row(*(text.Text(printable(s), no_wrap=True, overflow="ellipsis") for s in row))
        return grid


@contextlib.contextmanager
def shown(run: Run, *given: Any) -> Iterator[None]:
    """Show what a run is at; see Display for the arguments."""
    over, Display.now = threading.Event(), Display(run, *given)

    def live_on() -> None:
        while not over.wait(ALIVE):
            Display.now.say("%s", "; ".join(map(": ".join, Display.now.rows())))

    with contextlib.ExitStack() as end:
        end.callback(over.set)
        if run.progress == "live" and streams.steerable():
            end.enter_context(
                live.Live(
                    Display.now,
                    console=console.Console(file=sys.stderr, force_terminal=True),
                    transient=True,
                    redirect_stdout=sys.stdout.isatty(),
                )
            )
        else:
            threading.Thread(target=live_on, daemon=True).start()
        yield
