"""Locks between processes. The kernel releases a lock when its owner dies, so a killed owner's is
taken over.
"""

import contextlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from history.errors import HistoryError
from history.files import read_json, to_json

log = logging.getLogger("runner")


@contextlib.contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Holds a lock; waits for the process that holds it, saying which.

    Args:
        path: of the lock file, which stays: one that is deleted while somebody waits for it locks
            nobody out.
        what: is locked, for the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(path), path.with_suffix(".owner")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        started = time.monotonic()
        log.info("%s is in use by %s; waiting for it", what, _owner(owner))
        lock.acquire()
        log.info("%s is free after %.0f s", what, time.monotonic() - started)
    try:
        owner.write_bytes(to_json({"pid": os.getpid(), "host": platform.node()}))
        yield
    finally:
        lock.release()


def _owner(path: Path) -> str:
    try:
        owner = read_json(path)
        return f"process {owner['pid']} on {owner['host']}"
    except (HistoryError, OSError, KeyError, TypeError):
        return "another process"
