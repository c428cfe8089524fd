"""Locks between processes. The kernel releases a lock when its owner dies, so a killed owner's is taken over."""

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
def exclusive(folder: Path, name: str, what: str) -> Iterator[None]:
    """Holds a lock; waits for the process that holds it, saying which.

    Args:
        folder: where lock files stay: one that is deleted while somebody waits for it locks nobody out.
        name: of the lock.
        what: is locked, for the message.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / f"{name}.lock"), folder / f"{name}.owner"
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


@contextlib.contextmanager
def unless_used(folder: Path, name: str) -> Iterator[bool]:
    """Holds a lock if nobody else does; says whether it does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _owner(path: Path) -> str:
    try:
        owner = read_json(path)
        return f"process {owner['pid']} on {owner['host']}"
    except (HistoryError, OSError, KeyError, TypeError):
        return "another process"
