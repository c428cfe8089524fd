"""Checks a history on disk, and mends what can be mended without a guess."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from history import folders
from history.catalogue import History
from history.entry import ID, Entry
from history.errors import HistoryError
from history.files import TEMPORARY, read_json, to_json, write_atomic
from history.schema import upgrade
from history.store import TABLE, DurableStorage, TinyDBStore

ROUNDS = 5  # a restored database shows orphans, and these need no more than one round


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be. `repair` says what would be done; None: nothing can
    be.
    """

    what: str
    repair: str | None = None
    do: Callable[[], object] | None = field(default=None, compare=False, repr=False)


def examine(history: History) -> list[Finding]:
    """Return all that is wrong with the database, the entries and their folders; changes nothing.

    While the database cannot be read, that is all that is found.
    """
    storage = history.store.storage if isinstance(history.store, TinyDBStore) else None
    found = [*_leftovers(storage)] if storage else []
    try:
        documents = history.store.all()
    except HistoryError as error:
        return [*found, _database(history, storage, str(error)) if storage else Finding(str(error))]
    found += [*_previous(storage)] if storage else []
    ids = Counter(document["id"] for document in documents)
    for id in sorted(id for id in ids if ids[id] > 1):
        found.append(
            _repeated(id, [document for document in documents if document["id"] == id], storage)
        )
    for document in documents:
        found += _entry(history, document)
    return [*found, *_folders(history, set(ids))]


def repair(history: History, findings: list[Finding]) -> list[Finding]:
    """Do the repairs that the findings name, as far as they are still to be done; return those that
    were.

    Raises HistoryError when one fails; what was repaired before stays so.
    """
    done = []
    try:
        with folders.changing(history.root):
            for finding in examine(
                history
            ):  # anew: what another process was in the middle of has ended by now
                if finding.do is not None and finding in findings:
                    finding.do()
                    done.append(finding)
    except OSError as error:
        raise HistoryError(
            f"a repair failed: {error}; what was repaired before stays so"
        ) from error
    return done


def mend(history: History) -> tuple[list[Finding], list[Finding]]:
    """Repair until nothing is left that can be; return what was repaired, and what remains. Raises
    as `repair` does.
    """
    repaired: list[Finding] = []
    found = examine(history)
    for _ in range(ROUNDS):
        if not any(finding.do for finding in found):
            break
        repaired += repair(history, found)
        found = examine(history)
    return repaired, found


def _database(history: History, storage: DurableStorage, error: str) -> Finding:
    """A damaged database: the generation before it, or every whole folder."""
    try:
        storage.read()
        return Finding(
            error,
            "take these rows out; a copy of the file stays beside it",
            lambda: _take_out(storage),
        )
    except HistoryError:
        pass  # it is this that is wrong
    if storage.previous.exists():
        try:
            if DurableStorage(storage.previous).read():
                return Finding(
                    error, f"restore the generation before, {storage.previous}", storage.restore
                )
        except HistoryError as worse:
            error = f"{error}; {worse}"
    named = [path for path in sorted((history.root / "entries").glob("[a-z]*")) if _is_entrys(path)]
    whole = [document for document in map(_document, named) if isinstance(document, dict)]
    if named and not whole:
        return Finding(
            f"{error}; none of the {len(named)} folders in entries/ is whole, to build it anew from"
        )
    what = f"build it anew from the {len(whole)} whole folders in entries/; what it was stays beside it"
    return Finding(error, what, lambda: _rebuild(storage, whole))


def _repeated(id: str, rows: list[dict[str, Any]], storage: DurableStorage | None) -> Finding:
    what = f"{id} is in the database {len(rows)} times"
    if storage is None or any(row != rows[0] for row in rows):
        return Finding(what)
    return Finding(
        what, "take the copies out; a copy of the file stays beside it", lambda: _take_out(storage)
    )


def _take_out(storage: DurableStorage) -> None:
    """Leaves out rows without an id, which are of nobody, and copies of a row."""
    with storage.locked():
        tables = storage.read() or {}
        storage.set_aside(storage.path)
        rows: dict[str, dict[str, Any]] = {}
        first: dict[str, dict[str, Any]] = {}
        for key, row in tables[TABLE].items():
            id = row.get("id")
            if isinstance(id, str) and (id not in first or row != first[id]):
                first.setdefault(id, row)
                rows[key] = row
        storage.write({**tables, TABLE: rows})


def _previous(storage: DurableStorage) -> Iterator[Finding]:
    """The generation before, which is what is left when the database is damaged."""
    try:
        DurableStorage(storage.previous).read()
    except HistoryError:
        what = f"{storage.previous}, the generation before, cannot be read; the database itself is sound"
        yield Finding(
            what,
            "take it away; a copy stays beside it",
            lambda: _take_away(storage, storage.previous),
        )


def _take_away(storage: DurableStorage, path: Path) -> None:
    with storage.locked():
        storage.set_aside(path)
        path.unlink(missing_ok=True)


def _rebuild(storage: DurableStorage, documents: list[dict[str, Any]]) -> None:
    with storage.locked():
        for path in (storage.previous, storage.path):
            _take_away(storage, path)
        ordered = sorted(documents, key=lambda document: str(document.get("created")))
        storage.write(
            {TABLE: {str(number): document for number, document in enumerate(ordered, 1)}}
        )


def _leftovers(storage: DurableStorage) -> Iterator[Finding]:
    """What a kill in the middle of a write left; never read by anything."""
    for path in sorted(storage.path.parent.glob(f".{storage.path.stem}*{TEMPORARY}")):
        yield Finding(
            f"{path} is left from a write that did not end", "delete it", _unlinking(storage, path)
        )


def _unlinking(storage: DurableStorage, path: Path) -> Callable[[], None]:
    def unlink() -> None:
        with storage.locked():  # the write may be going on
            path.unlink(missing_ok=True)

    return unlink


def _entry(history: History, document: dict[str, Any]) -> Iterator[Finding]:
    id = str(document["id"])
    if not ID.fullmatch(id):
        yield Finding(f"{id!r} is no id of an entry")
        return
    folder = history.root / "entries" / id
    aside = folder.with_name(f".{id}{folders.REMOVED}")
    if _is_folder(aside) and not folder.exists():
        yield Finding(
            f"{id}: its removal did not end", "put its folder back", lambda: aside.rename(folder)
        )
        return
    try:
        entry = Entry(upgrade(document), history.root)
        artefacts = entry.value("artefacts", {})
        if artefacts and not folder.exists():
            yield Finding(
                f"{id}: its folder {folder} is missing; `history remove {id}` forgets the entry too"
            )
            return
        for name in artefacts:
            try:
                entry.verified(name)
            except (HistoryError, OSError) as error:
                yield Finding(str(error))
    except (HistoryError, KeyError, TypeError, AttributeError) as error:
        yield Finding(f"{id}: its document cannot be read: {type(error).__name__}: {error}")
        return
    if _is_folder(folder) and not _is_document(folder / folders.DOCUMENT, id):
        what = f"{folder} is not whole in itself: its {folders.DOCUMENT} is missing or damaged"
        yield Finding(what, "write it from the database", lambda: _write_document(folder, document))


def _is_document(path: Path, id: str) -> bool:
    try:
        document = read_json(path)
    except HistoryError:
        return False
    return isinstance(document, dict) and document.get("id") == id


def _write_document(folder: Path, document: dict[str, Any]) -> None:
    write_atomic(folder / folders.DOCUMENT, to_json(document, indent=True))


def _folders(history: History, ids: set[str]) -> Iterator[Finding]:
    entries = history.root / "entries"
    if not entries.is_dir():
        return
    whole: list[dict[str, Any]] = []
    for path in sorted(entries.iterdir()):
        name = path.name
        ours = (
            name.startswith(".")
            and name.endswith((folders.PART, folders.REMOVED))
            and _is_folder(path)
        )
        if ours:
            id = name[1:].rpartition(".")[0]
            if name.endswith(folders.PART) or id not in ids or (entries / id).exists():
                yield Finding(
                    f"{path} is half written or half removed", "delete it", _deleting(path)
                )
        elif not _is_entrys(path):
            yield Finding(f"{path} is no folder of an entry; it is left alone")
        elif name not in ids:  # its entry was never acknowledged, or the database is older
            document = _document(path)
            if isinstance(document, dict):
                whole.append(document)
            else:
                yield _not_whole(path, document)
    if whole:
        where = f"{entries}: whole, but the database does not know of {'it' if len(whole) == 1 else 'them'}"
        names = ", ".join(document["id"] for document in whole)
        yield Finding(
            f"{where}: {names}", "put back in the database", lambda: _put_back(history, whole)
        )


def _not_whole(path: Path, why: str) -> Finding:
    """A folder of no entry. As a folder gets its name when it is whole, this one was damaged, or
    written by a release that put no document there: it may be all that is left of an entry.
    """
    what = f"{path} has no entry in the database, and {why}"
    if not any(path.iterdir()):
        return Finding(what, "delete it", _deleting(path))
    return Finding(f"{what}; it is left alone: delete it by hand if nobody needs it")


def _put_back(history: History, documents: list[dict[str, Any]]) -> None:
    if isinstance(history.store, TinyDBStore):
        history.store.insert_missing(documents)
    else:
        for document in documents:
            history.store.insert(document)


def _document(path: Path) -> dict[str, Any] | str:
    """The document in an entry's folder whose artefacts are all as stored, or why there is none."""
    if not (path / folders.DOCUMENT).is_file():
        return "its document was never written"
    try:
        document: dict[str, Any] = read_json(path / folders.DOCUMENT)
        if document.get("id") != path.name:
            return f"its document is that of {document.get('id')!r}"
        Entry(upgrade(document), path.parent.parent).verify()
    except (HistoryError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        return f"it is not whole: {error}"
    return document


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_entrys(path: Path) -> bool:
    return bool(ID.fullmatch(path.name)) and _is_folder(path)


def _deleting(path: Path) -> Callable[[], None]:
    return lambda: folders.delete(path)
