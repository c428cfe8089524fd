"""Where entry documents are kept: TinyDB on a storage that survives crashes and several writers."""

import functools
import gc
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson
from filelock import FileLock
from tinydb import TinyDB
from tinydb.queries import QueryLike
from tinydb.storages import Storage
from tinydb.table import Table
from tinydb.utils import LRUCache

from history.errors import HistoryError, InputError, UnknownEntry, unknown
from history.files import TEMPORARY, atomic, held, sync_folder, to_json, write_atomic

Document = dict[str, Any]
Tables = dict[str, dict[str, Any]]

TABLE = "entries"
EXACT = "_exact"  # key of the file that lists what JSON cannot say
LOCK_TIMEOUT = (
    60.0  # seconds; an operation takes milliseconds, so a longer wait means that something hangs
)


class Store(Protocol):
    """Keeps documents, each under the name in its key `id`; what `insert` returned from is on
    disk.
    """

    def insert(self, document: Mapping[str, Any]) -> None:
        """Add a document; raises HistoryError when its id is taken or it cannot be written."""

    def all(self) -> list[Document]:
        """Return every document in the order of insertion, without leaving a trace on disk."""
        ...

    def get(self, id: str) -> Document | None:
        """Return the document of that id as it is on disk now, or None."""
        ...

    def remove(self, id: str) -> None:
        """Forget the document of that id; raises UnknownEntry when there is none."""


class DurableStorage(Storage):
    """A TinyDB storage that replaces its file atomically and keeps the generation before.

        history.json            strict JSON: TinyDB's tables; NaN and infinities are null there,
        dates ISO 8601 text
          "_exact"              one row that says which of those nulls and texts are not what they
          seem: kind → paths
        history.previous.json   the file before the last change, or the one before that after a
        kill; always readable .history.lock           held from the read to the write of a change

    TinyDB's own storage rewrites its file in place: a full disk or a kill then loses the whole
    database.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.previous = self.path.with_name(f"{self.path.stem}.previous{self.path.suffix}")
        self._locks: dict[int, FileLock] = {}  # by process: a lock is not inherited by a fork
        self._readable: tuple[int, ...] | None = (
            None  # the file as it was when it was last found to be whole
        )

    def read(self) -> Tables | None:
        """Return the tables, or None without a file; raises HistoryError when they cannot be
        read.
        """
        try:
            with self.path.open("rb") as file:
                text, identity = file.read(), _identity(os.fstat(file.fileno()))
        except FileNotFoundError:
            if not self.previous.exists():
                return None
            if self.path.exists():  # it was made, and changed, since we looked
                return self.read()
            raise self._damaged("is missing, but the generation before it is there") from None
        except OSError as error:
            raise HistoryError(f"cannot read {self.path}: {error.strerror or error}") from error
        try:
            tables: Tables = _parse(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"is not JSON ({error})") from error
        if not _are_tables(tables):
            raise self._damaged("is JSON but not a TinyDB database")
        _make_exact(tables, tables.pop(EXACT, {}).get("1", {}))
        self._readable = identity
        return tables

    def write(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the file; raises HistoryError, the old content staying, when that fails."""
        if EXACT in data or not _are_tables(data):
            raise HistoryError(
                f"{self.path} was not changed: a table maps integer ids to documents, and none is called {EXACT!r}"
            )
        exact: dict[str, list[Sequence[Any]]] = {}
        for name, table in data.items():
            for key, row in table.items():
                if not _is_plain(row.values()):
                    _inexact(row, (name, key), exact)
        text = to_json({**data, EXACT: {"1": exact}} if exact else data)
        try:
            with self.locked(), self._generation():
                write_atomic(self.path, text)
                self._readable = _identity(self.path.stat())
        except OSError as error:
            raise HistoryError(
                f"cannot write {self.path}: {error.strerror or error}; its old content stands: "
                f"make room or make the folder writable, and repeat"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock between processes; may be nested. Raises HistoryError when it cannot be
        had.
        """
        path = self.path.with_name(f".{self.path.stem}.lock")
        lock = self._locks.setdefault(os.getpid(), FileLock(path, timeout=LOCK_TIMEOUT))
        with held(lock):
            yield

    def restore(self) -> None:
        """Put the generation before in place of the file, of which a copy stays aside; raises
        OSError.
        """
        with self.locked():
            self.set_aside(self.path)
            with atomic(self.path) as temporary:
                shutil.copyfile(self.previous, temporary)

    def set_aside(self, path: Path) -> None:
        """Give the content of `path`, if there is any, a second name that says it is damaged;
        raises OSError.
        """
        with suppress(FileNotFoundError):
            _link(path, path.with_name(f"{path.name}.damaged-{secrets.token_hex(4)}"))
            sync_folder(path.parent)

    @contextmanager
    def _generation(self) -> Iterator[None]:
        """Keeps the file as it is now, and makes it the generation before once the change has been
        made.
        """
        link = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}{TEMPORARY}")
        try:
            if self.path.exists():
                if _identity(self.path.stat()) != self._readable:
                    self.read()  # raises: what cannot be read must not take the place of what can
                _link(self.path, link)
            yield
            with suppress(
                OSError
            ):  # the change is on disk; the generation before it is an older one then
                link.replace(self.previous)
        finally:
            link.unlink(
                missing_ok=True
            )  # also when it was replaced: two names of one file both stay

    def _damaged(self, how: str) -> HistoryError:
        return HistoryError(
            f"{self.path} {how}; nothing was changed. `python -m history doctor` says what can be restored "
            f"(the artefacts in {self.path.parent / 'entries'} are not affected)"
        )


def _link(path: Path, name: Path) -> None:
    """A second name for the file or, on a file system without hard links, a copy."""
    try:
        os.link(os.path.realpath(path), name)
    except FileNotFoundError:
        raise
    except OSError:
        with atomic(name) as temporary:
            shutil.copyfile(path, temporary)


def _identity(file: os.stat_result) -> tuple[int, ...]:
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without the garbage collector, which would walk a large database again and again as it is
    built and taken apart: reading takes a quarter of the time, a change half.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _parse(text: bytes) -> Any:
    with _collector_paused():
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return json.loads(text)  # somebody else's TinyDB writes a bare NaN, which is not JSON


def _are_tables(tables: object) -> bool:
    if not isinstance(tables, Mapping) or not all(
        isinstance(table, Mapping) for table in tables.values()
    ):
        return False
    rows = (row for table in tables.values() for row in table.items())
    return all(isinstance(row, Mapping) and key.removeprefix("-").isdecimal() for key, row in rows)


def _is_plain(values: Iterable[Any]) -> bool:
    """Whether JSON says all of it as it is. Every write asks this of the whole database: the
    commonest comes first.
    """
    for value in values:
        kind = value.__class__
        if kind is str or kind is int:
            continue
        if kind is dict:
            if not _is_plain(value.values()):
                return False
        elif kind is float:
            if not math.isfinite(value):
                return False
        elif kind is list:
            if not _is_plain(value):
                return False
        elif kind is not bool and value is not None:
            return False
    return True


def _inexact(node: Any, path: tuple[Any, ...], found: dict[str, list[Sequence[Any]]]) -> None:
    """Collects the paths of all that JSON says otherwise, by kind."""
    items, name = (node.items(), _written) if isinstance(node, Mapping) else (enumerate(node), int)
    for key, value in items:
        numpys = value.__class__.__module__ == "numpy"
        if numpys:
            value = value.tolist()
        if isinstance(value, (Mapping, list, tuple)):
            _inexact(value, (*path, name(key)), found)
        elif isinstance(value, float):
            if not math.isfinite(value):
                found.setdefault(str(value), []).append((*path, name(key)))
        elif isinstance(value, date):
            kind = "datetime" if numpys or isinstance(value, datetime) else "date"
            found.setdefault(kind, []).append((*path, name(key)))


def _written(key: Any) -> Any:
    """A key as JSON has it, where each is text."""
    return key if isinstance(key, str) else next(iter(orjson.loads(to_json({key: None}))))


_MAKE: dict[str, Callable[[Any], Any]] = {
    # a default
    **{text: lambda _, text=text: float(text) for text in ("nan", "inf", "-inf")},  # type: ignore[misc]
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def _make_exact(tables: Any, exact: Mapping[str, Any]) -> None:
    for kind, paths in exact.items():
        for path in paths if isinstance(paths, list) else ():
            try:
                *parents, key = path
                node = functools.reduce(lambda node, step: node[step], parents, tables)
                if isinstance(node[key], str if kind.startswith("date") else type(None)):
                    node[key] = _MAKE[kind](node[key])
            except (LookupError, TypeError, ValueError):
                continue  # somebody else's TinyDB changed the row and left the list as it was


class _NoCache(LRUCache[Any, Any]):
    """Keeps no query's results: another handle may change the file at any time."""

    def set(self, key: Any, value: Any) -> None:
        """Forget it."""


class DurableTable(Table):
    """A TinyDB table that several handles and processes may change: nothing is cached, each change
    is one step.
    """

    query_cache_class = _NoCache
    _storage: DurableStorage
    _next_id: int | None  # type: ignore[assignment]  # TinyDB's own __init__ only says None

    def insert(self, document: Mapping[str, Any]) -> int:
        """Insert the document as TinyDB does, with one read instead of two."""
        if isinstance(document, self.document_class):
            self._next_id = None  # as TinyDB does it
        return self.insert_multiple([document])[0]

    def upsert(self, document: Mapping[str, Any], cond: QueryLike | None = None) -> list[int]:
        """Update or else insert, as TinyDB does, both in one step."""
        with self._storage.locked():
            return super().upsert(document, cond)

    def insert_unique(self, document: Mapping[str, Any], key: str) -> bool:
        """Insert the document unless a row has its value of `key`; return whether it was
        inserted.
        """

        def add(rows: dict[int, Mapping[str, Any]]) -> None:
            if any(row.get(key) == document[key] for row in rows.values()):
                raise _TakenError
            rows[self._get_next_id()] = dict(document)

        try:
            self._update_table(add)
        except _TakenError:
            return False
        return True

    def _update_table(self, updater: Callable[[dict[int, Mapping[str, Any]]], None]) -> None:
        """TinyDB's, through which all its changes go, with the lock held from the read to the
        write.
        """

        def alone(rows: dict[int, Mapping[str, Any]]) -> None:
            self._rows, self._free_id = rows, max(rows) + 1 if rows else 1
            updater(rows)

        with self._storage.locked(), _collector_paused():
            try:
                super()._update_table(alone)
            finally:
                self._rows = {}

    def _get_next_id(self) -> int:
        """TinyDB's counter, without the ids that another handle has taken."""
        next_id: int = self._free_id if self._next_id is None else self._next_id
        while next_id in self._rows:
            next_id += 1
        self._next_id = next_id + 1
        return next_id


class _TakenError(Exception):
    pass


class DurableTinyDB(TinyDB):
    """TinyDB on a DurableStorage; all else is TinyDB's."""

    table_class = DurableTable
    # TinyDB states its own class, not Storage
    default_storage_class = DurableStorage  # type: ignore[assignment]
    _storage: DurableStorage

    def drop_table(self, name: str) -> None:
        """Drop the table as TinyDB does, in one step."""
        with self._storage.locked():
            super().drop_table(name)


class TinyDBStore:
    """Keeps documents in the TinyDB file `<root>/history.json`.

    Reading takes no lock: the file is only ever replaced whole, so that a history on a read-only
    disk can be read as well.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / "history.json"
        self.storage = DurableStorage(self.path)
        self._table = DurableTable(self.storage, TABLE)

    def insert(self, document: Mapping[str, Any]) -> None:
        """Add the document; once this returns it is on disk. Raises HistoryError otherwise."""
        if not self._table.insert_unique(document, "id"):
            raise HistoryError(
                f"{self.path} already holds an entry {document['id']!r}; it was not changed"
            )

    def insert_missing(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Add those documents whose ids are not there, in one step; raises HistoryError."""
        with self.storage.locked():
            there = {document["id"] for document in self.all()}
            self._table.insert_multiple(
                [document for document in documents if document["id"] not in there]
            )

    def all(self) -> list[Document]:
        """Return every document, oldest first; makes no file. Raises HistoryError."""
        rows = (self.storage.read() or {}).get(TABLE, {})
        if not all(isinstance(row.get("id"), str) for row in rows.values()):
            raise HistoryError(
                f"{self.path} holds rows without an id; nothing was changed. See `history doctor`"
            )
        return [rows[key] for key in sorted(rows, key=int)]

    def get(self, id: str) -> Document | None:
        """Return the document of that id, read from disk now, or None. Raises HistoryError."""
        return next((document for document in self.all() if document["id"] == id), None)

    def remove(self, id: str) -> None:
        """Forget the document of that id; raises UnknownEntry without one, or HistoryError."""
        if self.get(id) is None or not self._table.remove(lambda row: row["id"] == id):
            raise UnknownEntry(f"{self.path} holds no entry {id!r}; nothing was removed")


STORES: dict[str, Callable[[Path], Store]] = {"tinydb": TinyDBStore}


def open_store(kind: str, root: Path) -> Store:
    """Return the store of that kind on `root`, touching no file; raises InputError for another
    kind.
    """
    if kind not in STORES:
        raise InputError(unknown("history store", kind, STORES))
    return STORES[kind](root)
