"""Where entries are kept: a document of each in TinyDB, on a storage that survives crashes and
several writers, and a folder of each, which is there whole or not at all.
"""

import gc
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import orjson
from tinydb import Storage, TinyDB, middlewares, where
from tinydb.table import Table

from foundation import errors, files
from foundation.files import JsonObject
from history import schema

Tables = dict[str, dict[str, JsonObject]]  # a table's name → a row's number → the row

TABLE = "entries"
DOCUMENT = "entry.json"
LOCK_TIMEOUT = 600.0  # seconds; large models may have to be copied


class Store(Storage):
    """Keeps entries under a root, each under the name in its `id`.

        history.json            a TinyDB database in strict JSON: NaN and infinities are null
        history.previous.json   the database before the last change, or the same after a kill;
                                always readable
        entries/<id>/           entry.json, which is the document, and the artefacts
        entries/.<id>.part      a folder that is being made or removed
        .history.lock           held while anything of these changes

    It is TinyDB's storage as well, as TinyDB's own rewrites its file in place: a full disk or a
    kill then loses the whole database. Reading takes no lock, so that a history on a read-only disk
    can be read as well: the database is only ever replaced whole.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "history.json"
        self.previous = root / "history.previous.json"
        self.entries = root / "entries"

    def add(
        self,
        documents: Collection[JsonObject],
        fill: Callable[[JsonObject, Path], None],
    ) -> None:
        """Make the folders of entries, put them on disk, then insert the documents in one step.

        Arguments: `fill` puts the artefacts of a document into a folder. Raises OSError or
        HistoryError, and what `fill` raises; nothing is stored then.
        """
        folders = [self.entries / document["id"] for document in documents]
        with self.locked(), ExitStack() as parts:
            files.make_folder(self.entries)
            for document, folder in zip(documents, folders, strict=True):
                part = _part(folder)
                _discard(folder)  # what a kill left
                parts.callback(delete, part)
                part.mkdir()
                fill(document, part)
                (part / DOCUMENT).write_bytes(files.to_json(document, indent=True))
                for path in (*part.iterdir(), part):
                    files.sync(path)
            for folder in folders:
                _part(folder).rename(folder)
            files.sync(self.entries)
            try:
                self.insert(*documents)
            except errors.HistoryError:
                for folder in folders:
                    _discard(folder)
                raise

    def remove(self, id: str) -> None:
        """Forget the document of that id, then delete the folder of the entry, if it has one.

        A kill in between leaves the folder whole, which `doctor` puts back. Raises UnknownEntry
        without a document, HistoryError, or OSError when the folder cannot be deleted.
        """
        with self.locked():
            with self.changing() as table:
                if not table.remove(lambda row: row.get("id") == id):  # faster than a Query
                    raise errors.UnknownEntry(
                        f"{self.path} has no entry {id!r}; nothing was removed"
                    )
            if schema.ID.fullmatch(id):  # else it is somebody else's row, which may name any folder
                _discard(self.entries / id)

    def change(self, id: str, keys: Mapping[str, object]) -> None:
        """Change keys of the document of that id, in the database and then in the entry's folder.

        Raises HistoryError or OSError.
        """
        with self.locked():
            with self.changing() as table:
                table.update(keys, where("id") == id)
                document = table.get(where("id") == id)
            path = self.entries / id / DOCUMENT
            if path.is_file():
                files.write_atomic(path, files.to_json(document, indent=True))

    def insert(self, *documents: Mapping[str, object]) -> None:
        """Add documents in one step; once this returns they are on disk. Raises HistoryError."""
        with self.changing() as table:
            table.insert_multiple(documents)

    def all(self) -> list[JsonObject]:
        """Return every document, oldest first; makes no file. Raises HistoryError.

        Rows that somebody else wrote without an id are left out.
        """
        numbered = (self.read() or {}).get(TABLE, {})
        rows = [numbered[number] for number in sorted(numbered, key=int)]
        return [row for row in rows if isinstance(row.get("id"), str)]

    def read(self) -> Tables | None:
        """Return the tables, or None without a file; raises HistoryError when they cannot be
        read.
        """
        changed = self.previous.exists()  # asked first, as another process may make both
        tables = read_tables(self.path)
        if tables is None and changed:
            raise _damaged(self.path, "is missing, but its previous generation exists")
        return tables

    def write(self, data: Mapping[str, Mapping[str, object]]) -> None:
        """Replace the file, keeping the one before; its lock is held. Raises HistoryError, the old
        content staying, when that fails.
        """
        try:
            with files.atomic(self.path) as temporary:
                temporary.write_bytes(files.to_json(data, cleaned=True))
                with (
                    suppress(FileNotFoundError),
                    files.atomic(self.previous, keep_mode=False) as previous,
                ):
                    files.link(self.path, previous)
        except OSError as error:
            raise errors.HistoryError(
                f"cannot write {self.path}: {error.strerror or error}; its old content is intact: "
                "free some space or make the folder writable, then try again"
            ) from error

    def locked(self) -> AbstractContextManager[None]:
        """Hold the history between processes; may be nested. Raises HistoryError when that cannot
        be.
        """
        return files.held(self.root / ".history.lock", f"the history in {self.root}", LOCK_TIMEOUT)

    @contextmanager
    def changing(self) -> Iterator[Table]:
        """Give the table: all changes of it are one step, a read and a write of the file."""
        with (
            self.locked(),
            _collector_paused(),
            TinyDB(storage=middlewares.CachingMiddleware(lambda: self)) as database,  # type: ignore[no-untyped-call]
        ):
            yield database.table(TABLE)


def read_tables(path: Path) -> Tables | None:
    """Return the tables of a generation of the database, or None without one; raises HistoryError
    when it cannot be read.
    """
    try:
        with _collector_paused():
            tables: Tables = orjson.loads(path.read_bytes())
        if not all(
            isinstance(row, dict) and number.isdecimal()
            for table in tables.values()
            for number, row in table.items()
        ):
            raise ValueError("a table contains something other than numbered rows")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.HistoryError(f"cannot read {path}: {error.strerror or error}") from error
    except (AttributeError, RecursionError, ValueError) as error:
        raise _damaged(path, f"is not JSON, or not a TinyDB database ({error})") from error
    return tables


def _damaged(path: Path, how: str) -> errors.HistoryError:
    return errors.HistoryError(
        f"{path} {how}; nothing was changed. `{errors.program()} doctor` shows what can be "
        f"restored (the artefacts in {path.parent / 'entries'} are not affected)"
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Do without the garbage collector, which would walk a large database again and again as it is
    built and taken apart: reading takes a quarter of the time, a change half.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def facts(file: Path, id: str) -> JsonObject:
    """Return what the entry of that id records of an artefact: path below the root, bytes and
    sha256.
    """
    return {
        "path": f"entries/{id}/{file.name}",
        "bytes": file.stat().st_size,
        "sha256": files.sha256(file),
    }


def delete(folder: Path) -> None:
    """Delete a folder in the making, if it is there; raises OSError, also for a link."""
    if folder.exists():
        shutil.rmtree(folder)


def _discard(folder: Path) -> None:
    """Take the folder's name away, so that it is no entry's any more, and delete it."""
    part = _part(folder)
    delete(part)
    if folder.exists():
        folder.rename(part)
        files.sync(folder.parent)
        delete(part)


def _part(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.part")
