"""Files that survive a crash: atomic writes, syncing, locks, hashes and JSON."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import orjson
from filelock import FileLock, Timeout

from history.errors import HistoryError

TEMPORARY = ".tmp"


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
        _sync(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def make_folder(path: Path) -> None:
    """Make the folder and its missing parents, so that they outlast a power cut; raises OSError."""
    if not path.is_dir():
        make_folder(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except FileNotFoundError:  # somebody removed the parent, which was empty, in between
            path.mkdir(parents=True, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Put the names in the folder on disk (its files have their own fsync); raises OSError."""
    if os.name == "nt":  # Windows opens no folders; its file system keeps the names by itself
        return
    _sync(path)


def sync_tree(path: Path) -> None:
    """Put every file and folder from `path` downwards on disk, links aside; raises OSError."""
    for folder, _, files in os.walk(path, topdown=False):
        for file in (Path(folder, name) for name in files):
            if file.is_file() and not file.is_symlink():
                _sync(file)
        sync_folder(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(lock: FileLock) -> Iterator[None]:
    """Hold a lock between processes, making the folder that its file is in; may be nested. Raises
    HistoryError.
    """
    path = Path(lock.lock_file)
    try:
        make_folder(path.parent)
        lock.acquire()
    except Timeout as error:
        raise HistoryError(
            f"another process has held {path} for {lock.timeout:.0f} s; end it and repeat"
        ) from error
    except OSError as error:
        raise HistoryError(
            f"cannot lock {path}: {error.strerror or error}; make its folder writable, and repeat"
        ) from error
    try:
        yield
    finally:
        lock.release()


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


def _plain(obj: object) -> object:
    if isinstance(obj, Mapping):
        return dict(obj)
    if isinstance(obj, PurePath):
        return obj.as_posix()
    if type(obj).__module__ == "numpy" and hasattr(
        obj, "tolist"
    ):  # an array that orjson does not take as it lies
        return obj.tolist()
    raise TypeError(f"{obj!r} is of type {type(obj).__name__}")


def read_json(path: Path) -> Any:
    """Return what the JSON file holds; bare NaN and Infinity, as Keras Tuner writes them, are
    floats.

    Raises HistoryError, naming the file, when it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HistoryError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError both are
        raise HistoryError(
            f"{path} is not JSON: {error}; it was cut off or changed: restore it or delete its folder"
        ) from error
