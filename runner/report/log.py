"""What conf/config.yaml names for what is logged."""

import functools
import logging
import sys
from pathlib import Path

from foundation import secrets
from foundation.escape import printable
from runner.config import arguments


class Formatter(logging.Formatter):
    """Formats what is logged as it may be written."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text, in which a terminal sees only characters to print, and lines."""
        return printable(
            secrets.without_secrets(arguments.as_typed(super().format(record))), newlines=True
        )


class Console(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to stderr as it is by then: above what is drawn there, while something is."""

    stream = property(lambda _: sys.stderr, lambda *_: None)


class LogFile(logging.FileHandler):
    """A file that is opened for each record, so that a full disk costs the records of its time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            with Path(self.baseFilename).open("a", encoding="utf-8") as file:
                file.write(f"{self.format(record)}\n")
        except OSError as error:
            _say_once(
                f"error: cannot log to {self.baseFilename}: {error.strerror}; free some space\n"
            )


@functools.cache
def _say_once(text: str) -> None:
    sys.stderr.write(text)
