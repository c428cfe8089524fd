"""Memory: says before loading that rows would not fit into it."""

import re
from pathlib import Path

from runner.errors import DataError

COPIES = 2  # of the rows, while they are split, and again while Keras trains on them


def must_fit(size: int, what: str, remedy: str) -> None:
    """Raises DataError where arrays of `size` bytes do not fit into the memory that is free.

    Args:
        size: of the arrays, in bytes.
        what: they are, for the message.
        remedy: what to do instead.
    """
    free = available()
    if free is not None and COPIES * size > free:
        needed, left = (f"{count / 1e9:.1f} GB" for count in (COPIES * size, free))
        raise DataError(
            f"{what} take {needed} of memory while they are split and trained on; {left} are free. {remedy}"
        )


def available() -> int | None:
    """Bytes of memory that are free; None where nothing says so, as outside Linux."""
    try:
        said = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(said[1]) * 1024 if said else None
