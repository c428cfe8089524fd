"""The life of a worker: it begins, and then does one task after the other until it is ended, or the
process that it works for has gone.
"""

import gc
import logging
import logging.handlers
import mmap
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation import secrets, streams
from runner import STOPS, errors
from runner.config import schema
from runner.training import environment

USUAL = vars(logging.makeLogRecord({})).keys()  # what every record has

_records: queue.SimpleQueue[Any] = queue.SimpleQueue()  # of what was logged, for the parent


class RemoteTraceError(Exception):
    """Where in a worker an error was raised: shown as the cause of it."""


@dataclass(frozen=True)
class Answer:
    """What came of a task: its value or its error, what it logged, and the bytes of memory that the
    worker has by now. Of an error, this process takes over its own and the system's; others may
    be the user's, whose classes only workers import, and keep their name and text.
    """

    records: list[dict[str, object]]
    memory: int
    value: Any = None
    error: tuple[str, str, str, str, bytes] | None = None  # its class, text, trace, and itself

    def result(self) -> Any:
        """Log what was logged, and return the value, or raise the error."""
        for record in map(logging.makeLogRecord, self.records):
            logging.getLogger(record.name).handle(record)
        if self.error is None:
            return self.value
        module, name, text, trace, pickled = self.error
        raise (
            pickle.loads(pickled)
            if pickled
            else type(name, (RuntimeError,), {"__module__": module})(text)
        ) from RemoteTraceError(f"\n{trace}")


class Kept(logging.handlers.QueueHandler):
    """Keeps what is logged until a task has ended: the text and the circumstances alone."""

    def prepare(self, record: logging.LogRecord) -> dict[str, object]:
        return {k: value for k, value in vars(super().prepare(record)).items() if k in USUAL}


def begin(
    run: schema.Run,
    known: Mapping[str, str],
    level: int,
    environ: Mapping[str, str],
    said: str | None,
) -> None:
    """Prepare this process.

    Args:
        run: the settings.
        known: secrets, that what is written here must not hold either.
        level: of what is logged.
        environ: the environment; that of the server may be older.
        said: the file that takes what this process would write to a terminal, if there is one.
    """
    for number in filter(os.isatty, (1, 2) if said else ()):
        os.dup2(os.open(str(said), os.O_WRONLY | os.O_APPEND), number)
    stay(known, level)
    os.environ |= environ
    logging.root.handlers = [Kept(_records)]
    environment.prepare(run)
    gc.freeze()  # or each collection of a trial's garbage would walk through all that was imported
    gc.enable()


def stay(known: Mapping[str, str], level: int) -> None:
    """Let this process end with its parent, and not before; see begin."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)  # the parent ends what is to be ended
    threading.Thread(target=_end_with_parent, daemon=True).start()
    streams.guard()
    secrets.guard(known)
    logging.root.setLevel(level)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def do(function: Callable[..., object], arguments: Sequence[object]) -> Answer:
    """Do a task."""
    value, failure = None, None
    try:
        value = function(*arguments)
    except BaseException as error:  # SystemExit too
        kind, pickled = type(error), b""
        with suppress(Exception):  # what it holds may be anything
            if isinstance(error, errors.ExperimentError | OSError) and (
                kind.__module__.partition(".")[0] in ("builtins", "runner", "history", "foundation")
            ):
                pickled = pickle.dumps(error)
        text, trace = errors.message_of(error), traceback.format_exc()
        failure = kind.__module__, kind.__qualname__, text, trace, pickled
    return Answer([_records.get() for _ in range(_records.qsize())], memory(), value, failure)


def memory() -> int:
    """Return the bytes of memory that are this process's alone, what it shares not counted; 0 where
    the system does not say it.
    """
    told = Path("/proc/self/statm")
    pages = [*map(int, told.read_text().split())] if told.is_file() else [0, 0, 0]
    return (pages[1] - pages[2]) * mmap.PAGESIZE
