"""The standard streams as our programs have them, whatever the shell has made of them."""

import io
import os
import sys
from collections.abc import Callable
from typing import Any, ClassVar


class Pipe(io.FileIO):
    """Leads nowhere once its reader has seen enough or its disk is full, so that nothing ends over
    it; of stdout, which may be all that was asked for, a full disk is reported once.
    """

    def write(self, data: Any, /) -> Any:
        """Write bytes; return how many."""
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
                raise
            return super().write(data)


class Stream(io.TextIOWrapper):
    """The door of all text that goes to stdout or stderr, line by line; a letter that its encoding
    has not is spelt out.
    """

    clean: ClassVar[Callable[[str], str]] = str  # takes out what must not be shown

    def write(self, text: str, /) -> int:
        """Write a text; return how much of it."""
        return super().write(Stream.clean(text))


def steerable() -> bool:
    """Say whether stderr is a terminal on which this process alone can draw."""
    import multiprocessing  # the history, which starts in no time, does without

    return (
        multiprocessing.current_process().name == "MainProcess"  # others are a sweep's launcher's
        and os.isatty(2)
        and os.environ.get("TERM") not in ("dumb", "unknown")
    )


def guard() -> None:
    """Put a Stream in the place of stdout and stderr. One that is closed leads nowhere, in the
    processes that this one starts too: what is opened next must not take its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        if old is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w", errors="replace"))
            os.set_inheritable(number, True)
        elif number:
            pipe = io.BufferedWriter(Pipe(number, "w", closefd=False))
            setattr(sys, name, Stream(pipe, old.encoding, "backslashreplace", line_buffering=True))
