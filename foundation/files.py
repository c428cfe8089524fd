"""Files that survive crashes and several processes: atomic writes, locks, hashes, JSON and CSV."""

import csv
import hashlib
import io
import json
import logging
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

import orjson
from filelock import FileLock, Timeout

from foundation.errors import HistoryError

Json = Any  # whatever JSON can hold
JsonObject = dict[str, Json]

TEMPORARY = ".tmp"
ATTEMPTS = 1000  # to make a folder whose parents another process deletes
PATIENCE = 1.0  # seconds; a wait for a lock that is over sooner is not worth a message


def clean(value: Any) -> Any:
    """Return a text, or plain data, as it may be written to a file: a program that knows secrets
    puts a function in the place of this one that takes them out.
    """
    return value


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data`, or leave it exactly as it was; raises OSError."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic(path: Path, keep_mode: bool = True) -> Iterator[Path]:
    """Give the name of a file to write, which then replaces `path`; on any error `path` stays
    exactly as it was.

    The folder of `path` must exist. A link is followed, so that what it points to is replaced.
    Arguments: `keep_mode`, let whoever may read and write `path` do so afterwards, and nobody else
    at any moment. Raises OSError when writing fails; the temporary file is then gone.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{TEMPORARY}")
    keep_mode = keep_mode and target.exists()
    try:
        if keep_mode:
            temporary.touch(0o600)
        yield temporary
        if keep_mode:
            shutil.copymode(target, temporary)
        sync(temporary)
        temporary.replace(target)
    finally:  # also when it was replaced: of two names of one file, both stay
        temporary.unlink(missing_ok=True)
    sync(target.parent)


def link(path: Path, name: Path) -> None:
    """Give the file a second name or, on a file system without hard links, copy it with its mode;
    raises OSError.
    """
    try:
        os.link(os.path.realpath(path), name)
    except OSError:
        shutil.copy(path, name)


def make_folder(path: Path) -> None:
    """Make the folder and its missing parents, so that they outlast a power cut; raises OSError."""
    for _ in range(ATTEMPTS):
        missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        # It was there, or its parent was, until now.
        with suppress(FileNotFoundError, FileExistsError):
            path.mkdir(parents=True, exist_ok=True)
            for folder in missing:
                sync(folder.parent)
            return
    path.mkdir(parents=True, exist_ok=True)


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


def found_in(path: Path, pattern: str) -> str | None:
    """Return what the pattern's group is in a text file; None without such a line, or file."""
    if not path.is_file():
        return None
    match = re.search(pattern, path.read_text(), re.MULTILINE)
    return match and match[1]


def to_json(obj: object, indent: bool = False, cleaned: bool = False) -> bytes:
    """Return strict JSON in UTF-8 of what may be written: NaN and infinities become null, numpy
    numbers become numbers, and what JSON has no number or letter for becomes text.

    Raises HistoryError when `obj` holds what JSON cannot say.
    """
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    if indent:
        options |= orjson.OPT_INDENT_2
    if not cleaned:
        obj = clean(obj)
    try:
        return orjson.dumps(obj, default=_plain, option=options)
    except TypeError as error:
        with suppress(TypeError, RecursionError):
            return orjson.dumps(_sayable(obj), default=_plain, option=options)
        raise HistoryError(
            f"cannot be written as JSON: {error}; pass plain Python values"
        ) from error


def _plain(obj: Any) -> object:
    """Return what JSON has for a path, or an array that orjson does not take as it lies; raises
    AttributeError.
    """
    return _sayable(obj.as_posix() if isinstance(obj, PurePath) else obj.tolist())


def _sayable(node: Json) -> Json:
    """Return the tree with integers beyond 64 bits, and letters that are half a surrogate pair (as
    in a file's name that is not UTF-8), spelt out as text.
    """
    if isinstance(node, dict):
        return {_sayable(key): _sayable(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_sayable(value) for value in node]
    if isinstance(node, str):
        return node.encode("utf-8", "backslashreplace").decode()
    return str(node) if isinstance(node, int) and not -(2**63) <= node < 2**64 else node


def to_csv(rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> str:
    """Return the rows as CSV; lines end as RFC 4180 has it, unless told otherwise."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(rows)
    return text.getvalue()


def read_json(path: Path) -> Any:
    """Return what the JSON file holds; bare NaN and Infinity, as Keras Tuner writes them, are
    floats.

    Raises HistoryError, naming the file, when it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:  # no JSON, and no UTF-8, are the latter
        raise HistoryError(
            f"cannot read {path} as JSON: {error}; restore it, or delete its folder"
        ) from error


def mapping_in(path: Path) -> JsonObject:
    """Return the mapping that the JSON file holds; an empty one where no such file can be read."""
    with suppress(HistoryError):
        content = read_json(path)
        if isinstance(content, dict):
            return content
    return {}


@contextmanager
def held(
    path: Path, what: str, timeout: float = -1, waiting: Callable[[], object] = bool
) -> Iterator[None]:
    """Hold a lock between processes, which the kernel releases when its owner dies; wait for the
    process that holds it, saying which. May be nested in one thread.

    Arguments: `path`, of the lock file, whose folder is made; the file is gone with its holder, as
    far as the system deletes what is open: who waits for it sees that, and makes another. `what` is
    locked, for messages. `timeout` in seconds; negative: wait for ever. `waiting` is called while
    another has it, once. Raises HistoryError when the lock cannot be had.
    """
    lock = FileLock(path, is_singleton=True)  # one object for each path, which counts its holders
    try:
        make_folder(path.parent)
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            logging.getLogger(__name__).info(
                "%s is in use by %s; waiting for it", what, holder(path)
            )
            waiting()
            lock.acquire(timeout=timeout)
    except OSError as error:  # a Timeout, too
        raise HistoryError(
            f"cannot lock {path}: {error.strerror or f'{what} is in use by {holder(path)}'}; "
            "stop that process or make the folder writable, then try again"
        ) from error
    try:
        with suppress(OSError):  # a full disk: others then wait for "another process"
            path.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        if lock.lock_counter == 1:
            # filelock takes no lock on a file that is gone, and leaves deleting to us
            with suppress(OSError):
                path.unlink()
        lock.release()


def holder(path: Path) -> str:
    """Return who has a lock, as far as that can be told."""
    with suppress(OSError):  # Windows lets nobody read what is locked
        return path.read_text(encoding="utf-8") or "another process"
    return "another process"
