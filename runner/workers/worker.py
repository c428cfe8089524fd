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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

from foundation import secrets, streams
from runner import STOPS, errors
from runner.config import schema
from runner.training import environment

KNOWN = "builtins", "runner", "history", "foundation"  # packages that all have
USUAL = vars(logging.makeLogRecord({})).keys()  # what every record has

Function: TypeAlias = Callable[..., object]  # a task
Arguments: TypeAlias = Sequence[Any]

_records: queue.SimpleQueue[Any] = queue.SimpleQueue()  # of what was logged, for the parent


class RemoteTraceError(Exception):
    """Where in a worker an error was raised: shown as the cause of it."""


@dataclass(frozen=True)
class Failure:
    """An error of a task. Whoever gave it raises the project's errors and the system's as they
    are; others may be the user's, whose classes only workers import: they keep name and text.
    """

    module: str
    name: str
    text: str
    trace: str
    pickled: bytes | None

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return what is known of an error that is being handled."""
        kind, pickled = type(error), None
        is_known = kind.__module__.partition(".")[0] in KNOWN
        if is_known and isinstance(error, errors.ExperimentError | OSError):
            with suppress(Exception):  # what it holds may be anything
                pickled = pickle.dumps(error)
        text, trace = errors.message_of(error), traceback.format_exc()
        return cls(kind.__module__, kind.__qualname__, text, trace, pickled)

    def error(self) -> BaseException:
        """Return the error, or one of its name."""
        if self.pickled:
            return pickle.loads(self.pickled)  # type: ignore[no-any-return]
        kind = type(self.name, (RuntimeError,), {"__module__": self.module})
        return kind(self.text)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Answer:
    """What came of a task: its value or its error, what it logged, and the bytes of memory that the
    worker has by now.
    """

    records: list[dict[str, object]]
    memory: int
    value: bytes  # pickled
    failure: Failure | None

    def result(self) -> Any:
        """Log what was logged, and return the value, or raise the error."""
        for record in map(logging.makeLogRecord, self.records):
            logging.getLogger(record.name).handle(record)
        if self.failure is None:
            return pickle.loads(self.value)
        raise self.failure.error() from RemoteTraceError(f"\n{self.failure.trace}")


class Kept(logging.handlers.QueueHandler):
    """Keeps what is logged until a task has ended: the text and the circumstances alone."""

    def prepare(self, record: logging.LogRecord) -> dict[str, object]:
        return {k: value for k, value in vars(super().prepare(record)).items() if k in USUAL}


def work(
    connection: Connection,
    run: schema.Run,
    known: Mapping[str, str],
    level: int,
    environ: Mapping[str, str],
    output: str | None,
) -> None:
    """Do the tasks that come, one after the other, until the parent has gone.

    Args:
        connection: brings tasks, and takes the answers.
        run: the settings.
        known: secrets, that what is written here must not hold either.
        level: of what is logged.
        environ: the environment; that of the server may be older.
        output: the file that takes what this process would write to a terminal, if there is one.
    """
    for number in filter(os.isatty, (1, 2) if output else ()):
        os.dup2(os.open(str(output), os.O_WRONLY | os.O_APPEND), number)
    stay(known, level)
    os.environ |= environ
    logging.root.handlers = [Kept(_records)]
    environment.prepare(run)
    gc.freeze()  # or each collection of a trial's garbage would walk through all that was imported
    gc.enable()
    with suppress(EOFError):  # the parent has gone
        while True:
            connection.send(do(*connection.recv()))


def stay(known: Mapping[str, str], level: int) -> None:
    """Let this process end with its parent, and not before; see work."""
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


def do(function: Function, arguments: Arguments) -> Answer:
    """Do a task."""
    value, failure = b"", None
    try:
        value = pickle.dumps(function(*arguments))
    except BaseException as error:  # SystemExit too
        failure = Failure.of(error)
    records = [_records.get() for _ in range(_records.qsize())]
    return Answer(records, memory(), value, failure)


def memory() -> int:
    """Return the bytes of memory that are this process's alone, what it shares not counted; 0 where
    the system does not say it.
    """
    statistics = Path("/proc/self/statm")
    if not statistics.is_file():
        return 0
    _, resident, shared, *_ = map(int, statistics.read_text().split())
    return (resident - shared) * mmap.PAGESIZE
