"""Checks a history on disk, and mends what can be mended without a guess."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex

from history.catalogue import History
from history.entry import Entry
from history.errors import HistoryError
from history.files import TEMPORARY, JsonObject, link, read_json, to_json, write_atomic
from history.schema import ID, read_document
from history.store import DOCUMENT, Store, Tables, delete, read_tables

RESTORE = "restore the generation before, if it can be read; a copy of the file stays beside it"

# What a kill leaves of a folder; earlier releases called it .removed on its way out.
HALF = re.compile(rf"\.{ID.pattern}\.(part|removed)")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be. `repair` says what would be done; None: nothing can
    be.
    """

    what: str
    repair: str | None = None
    do: Callable[[], object] | None = None


def examine(history: History) -> list[Finding]:
    """Return all that is wrong with the database, the entries and their folders; changes nothing.

    While the database cannot be read, that is all that is found.
    """
    store = history.store
    found = []
    for path in sorted(store.root.glob(f".{store.path.stem}*{TEMPORARY}")):
        delete_it = partial(path.unlink, missing_ok=True)
        found.append(Finding(f"{path} is left of a write that did not end", "delete it", delete_it))
    try:
        documents = store.all()
    except HistoryError as error:
        return [*found, Finding(str(error), RESTORE, partial(_restore, store))]
    found += _repeated(store, documents)
    entries = {document["id"]: document for document in documents}
    for document in entries.values():
        found += _entry(history, document)
    return [*found, *_folders(history, entries)]


def mend(history: History) -> tuple[list[Finding], list[Finding]]:
    """Repair until nothing is left that can be; return what was repaired, and what remains.

    Raises HistoryError or OSError when a repair fails; what was repaired before stays so.
    """
    repaired: list[Finding] = []
    found = examine(history)
    while any(finding.do for finding in found):
        with history.store.locked():
            # Again: what another process was in the middle of has ended by now.
            for finding in examine(history):
                if finding.do is not None:
                    finding.do()
                    repaired.append(finding)
        found = examine(history)
    return repaired, found


def _restore(store: Store) -> None:
    """Begin with the generation before, or with nothing; whole folders are put back next."""
    before: Tables = {}
    with suppress(HistoryError):
        before = read_tables(store.previous) or {}
    for path in (store.path, store.previous):
        if path.exists():
            link(path, path.with_name(f"{path.name}.damaged-{token_hex(4)}"))
    write_atomic(store.path, to_json(before))


def _repeated(store: Store, documents: list[JsonObject]) -> Iterator[Finding]:
    """Find rows of one id."""
    distinct = {to_json(document): document for document in documents}.values()
    if copies := len(documents) - len(distinct):
        what = f"{store.path} holds {copies} rows that are copies of others"
        yield Finding(what, "take them out", partial(_take_out_copies, store, distinct))
    for id, times in Counter(document["id"] for document in distinct).items():
        if times > 1:
            yield Finding(f"{id} is in the database {times} times, each saying something else")


def _take_out_copies(store: Store, distinct: Iterable[JsonObject]) -> None:
    with store.changing() as table:
        table.remove(lambda row: isinstance(row.get("id"), str))
        table.insert_multiple(distinct)


def _entry(history: History, document: JsonObject) -> Iterator[Finding]:
    """Find what is wrong with an entry and its folder."""
    try:
        Entry(read_document(document, f"entry {document['id']!r}"), history.root).verify()
    except (HistoryError, OSError) as error:
        yield Finding(str(error))
        return
    path = history.store.entries / document["id"] / DOCUMENT
    if path.parent.is_dir() and not path.parent.is_symlink() and not path.exists():
        write = partial(write_atomic, path, to_json(document, indent=True))
        yield Finding(f"{path} is missing", "write it from the database", write)


def _folders(history: History, ids: Collection[str]) -> Iterator[Finding]:
    """Find folders that no entry of the database names; what is none of ours is left alone."""
    for path in _named(history, HALF):
        what = f"{path} is half written or half removed"
        yield Finding(what, "delete it", partial(delete, path))
    whole = []
    for path in _named(history, ID):
        if path.name in ids:
            continue
        document = _whole(path)
        if isinstance(document, dict):  # its entry was never acknowledged, or the database is older
            whole.append(document)
        else:  # it was damaged, or a release wrote it that put no document there
            yield Finding(f"{path} has no entry in the database, and is not whole: {document}")
    if whole:
        names = ", ".join(document["id"] for document in whole)
        put_back = partial(history.store.insert, *whole)
        yield Finding(f"whole, but not in the database: {names}", "put back", put_back)


def _named(history: History, pattern: re.Pattern[str]) -> list[Path]:
    """Return the folders of entries that are called so; links are never followed."""
    found = [path for path in history.store.entries.glob("*") if pattern.fullmatch(path.name)]
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _whole(folder: Path) -> JsonObject | str:
    """Return the document in an entry's folder as it was written, if all its artefacts are as
    stored; otherwise say what is wrong.
    """
    try:
        document: JsonObject = read_json(folder / DOCUMENT)
        entry = Entry(read_document(document, "its document"), folder.parent.parent)
        entry.verify()
    except (HistoryError, OSError) as error:
        return str(error)
    return document if entry.id == folder.name else f"its document is that of {entry.id!r}"
