"""Where entry documents are kept: TinyDB on a storage that survives crashes and several writers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson
from filelock import FileLock, Timeout
from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Table

from history.errors import HistoryError, InputError, UnknownEntry, unknown
from history.files import make_folder, to_json, write_atomic

Document = dict[str, Any]

TABLE = "entries"
LOCK_TIMEOUT = 60.0  # seconds; an operation takes milliseconds, so a longer wait means that something hangs


class Store(Protocol):
    """Keeps documents, each under the name in its key `id`; what `insert` returned from is on disk."""

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
    """A TinyDB storage that replaces its file atomically.

    TinyDB's own rewrites the file in place: a full disk or a kill then loses the whole database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Return the tables, or None without a file; raises HistoryError when they cannot be read."""
        try:
            tables = orjson.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HistoryError(f"cannot read {self.path}: {error.strerror or error}") from error
        except orjson.JSONDecodeError as error:
            raise self._damaged(f"is not JSON ({error})") from error
        if not _are_tables(tables):
            raise self._damaged("is JSON but not a TinyDB database of entries")
        return dict(tables)

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace the file; raises HistoryError, the old content staying, when that fails."""
        try:
            write_atomic(self.path, to_json(data))
        except OSError as error:
            raise HistoryError(
                f"cannot write {self.path}: {error.strerror or error}; its old content stands: "
                f"make room or make the folder writable, and repeat"
            ) from error

    def _damaged(self, how: str) -> HistoryError:
        return HistoryError(
            f"{self.path} {how}; nothing was changed. Restore it from a backup, or move it away to begin "
            f"a new history (the artefacts in {self.path.parent / 'entries'} are not affected)"
        )


def _are_tables(tables: object) -> bool:
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        return False
    rows = tables.get(TABLE, {})
    return all(
        key.isdecimal() and isinstance(row, dict) and isinstance(row.get("id"), str) for key, row in rows.items()
    )


class TinyDBStore:
    """Keeps documents in the TinyDB file `<root>/history.json`.

    A change holds a lock between processes from its read to its write. Reading needs none: the file is
    only ever replaced whole, so that a history on a read-only disk can be read as well. TinyDB objects
    live for one operation, because they cache rows and the next integer id.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "history.json"

    def insert(self, document: Mapping[str, Any]) -> None:
        """Add the document; once this returns it is on disk. Raises HistoryError otherwise."""
        with self._locked():
            table = self._table()
            if any(row["id"] == document["id"] for row in table):
                raise HistoryError(f"{self.path} already holds an entry {document['id']!r}; it was not changed")
            table.insert(document)

    def all(self) -> list[Document]:
        """Return every document, oldest first; makes no file. Raises HistoryError."""
        return [dict(row) for row in self._table()]

    def get(self, id: str) -> Document | None:
        """Return the document of that id, read from disk now, or None. Raises HistoryError."""
        return next((document for document in self.all() if document["id"] == id), None)

    def remove(self, id: str) -> None:
        """Forget the document of that id; raises UnknownEntry without one, or HistoryError."""
        unknown = UnknownEntry(f"{self.path} holds no entry {id!r}; nothing was removed")
        if not self.path.exists():
            raise unknown
        with self._locked():
            table = self._table()
            rows = [row.doc_id for row in table if row["id"] == id]
            if not rows:
                raise unknown
            table.remove(doc_ids=rows)

    def _table(self) -> Table:
        return TinyDB(self.path, storage=DurableStorage).table(TABLE)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.root / ".history.lock"
        lock = FileLock(path, timeout=LOCK_TIMEOUT)
        try:
            make_folder(self.root)
            lock.acquire()
        except Timeout as error:
            raise HistoryError(
                f"another process has held {path} for {LOCK_TIMEOUT:.0f} s; end it and repeat"
            ) from error
        except OSError as error:
            raise HistoryError(
                f"cannot lock {path}: {error.strerror or error}; make the folder writable, and repeat"
            ) from error
        try:
            yield
        finally:
            lock.release()


STORES: dict[str, Callable[[Path], Store]] = {"tinydb": TinyDBStore}


def open_store(kind: str, root: Path) -> Store:
    """Return the store of that kind on `root`, touching no file; raises InputError for another kind."""
    if kind not in STORES:
        raise InputError(unknown("history store", kind, STORES))
    return STORES[kind](root)
