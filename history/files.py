"""Files that survive crashes and several processes: atomic writes, locks, hashes and JSON."""

import hashlib
import json
import logging
import os
import platform
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

import orjson
from filelock import FileLock, Timeout

from history.errors import HistoryError

Json = Any  # whatever JSON can hold
JsonObject = dict[str, Json]

TEMPORARY = ".tmp"
PATIENCE = 1.0  # seconds; a wait for a lock that is over sooner is not worth a message

log = logging.getLogger(__name__)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data`, or leave it exactly as it was; raises OSError."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give the name of a file to write, which then replaces `path`; on any error `path` stays
    exactly as it was.

    The folder of `path` must exist. A link is followed, so that what it points to is replaced.
    Raises OSError when writing fails; the temporary file is then gone.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{TEMPORARY}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(target)
    finally:  # also when it was replaced: of two names of one file, both stay
        temporary.unlink(missing_ok=True)
    sync(target.parent)


def link(path: Path, name: Path) -> None:
    """Give the file a second name or, on a file system without hard links, copy it; raises
    OSError.
    """
    try:
        os.link(os.path.realpath(path), name)
    except OSError:
        shutil.copyfile(path, name)


def make_folder(path: Path) -> None:
    """Make the folder and its missing parents, so that they outlast a power cut; raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def sync(path: Path) -> None:
    """Put the content of a file, or the names in a folder, on disk; raises OSError."""
    if os.name == "nt" and path.is_dir():  # whose file system keeps the names by itself
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the hash of the file's content as 64 hexadecimal digits; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(obj: object, indent: bool = False) -> bytes:
    """Return strict JSON in UTF-8: NaN and infinities become null, numpy numbers become numbers.

    Raises HistoryError when `obj` holds what JSON cannot say.
    """
    options = (
        orjson.OPT_SERIALIZE_NUMPY
        | orjson.OPT_NON_STR_KEYS
        | (orjson.OPT_INDENT_2 if indent else 0)
    )
    try:
        return orjson.dumps(obj, default=_plain, option=options)
    except TypeError as error:
        raise HistoryError(
            f"cannot be written as JSON: {error}; pass plain Python values"
        ) from error


def _plain(obj: Any) -> object:
    """Return what JSON has for a path, or an array that orjson does not take as it lies; raises
    AttributeError.
    """
    return obj.as_posix() if isinstance(obj, PurePath) else obj.tolist()


def read_json(path: Path) -> Any:
    """Return what the JSON file holds; bare NaN and Infinity, as Keras Tuner writes them, are
    floats.

    Raises HistoryError, naming the file, when it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # JSONDecodeError and UnicodeDecodeError are the latter
        raise HistoryError(
            f"cannot read {path} as JSON: {error}; restore it, or delete its folder"
        ) from error


@contextmanager
def held(path: Path, what: str, timeout: float = -1) -> Iterator[None]:
    """Hold a lock between processes, which the kernel releases when its owner dies; wait for the
    process that holds it, saying which. May be nested in one thread.

    Arguments: `path`, of the lock file, whose folder is made; the file stays, as deleting it while
    somebody waits for it would let two in. `what` is locked, for messages. `timeout` in seconds;
    negative: wait for ever. Raises HistoryError when the lock cannot be had.
    """
    lock = FileLock(path, is_singleton=True)  # one object for each path, which counts its holders
    try:
        make_folder(path.parent)
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            log.info("%s is in use by %s; waiting for it", what, _holder(path))
            lock.acquire(timeout=timeout)
    except OSError as error:  # a Timeout, too
        raise HistoryError(
            f"cannot lock {path}: {error.strerror or f'{what} is in use by {_holder(path)}'}; end "
            f"that, or make the folder writable, and repeat"
        ) from error
    try:
        with suppress(OSError):  # a full disk: others then wait for "another process"
            path.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    with suppress(OSError):  # Windows lets nobody read what is locked
        return path.read_text(encoding="utf-8") or "another process"
    return "another process"
