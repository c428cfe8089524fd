"""Checks a history on disk, and mends what can be mended without a guess."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex

from foundation import errors, files
from foundation.files import JsonObject
from history import Entry, History, schema, store

# What a kill leaves of a folder; earlier releases called it .removed on its way out.
HALF = re.compile(rf"\.{schema.ID.pattern}\.(part|removed)")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, or not ours. `repair` says what would be done; None:
    nothing can be or, where it is no fault, nothing has to be.
    """

    what: str
    repair: str | None = None
    do: Callable[[], object] | None = None
    is_fault: bool = True


def examine(history: History) -> list[Finding]:
    """Return all that is wrong with the database, the entries and their folders; changes nothing.

    While the database cannot be read, that is all that is found.
    """
    return list(_findings(history))


def _findings(history: History) -> Iterator[Finding]:
    for path in sorted(history.root.glob(f".history*.json.{'[0-9a-f]' * 16}{files.TEMPORARY}")):
        what = f"{path} is left over from an interrupted write"
        yield Finding(what, "delete it", partial(path.unlink, True))
    try:
        documents = history.store.all()
    except errors.HistoryError as error:
        repair = (
            "restore the previous generation, if it is readable, and keep a copy of the current "
            "file beside it"
        )
        yield Finding(str(error), repair, partial(_restore, history.store))
        return
    yield from _repeated(history.store, documents)
    entries = {document["id"]: document for document in documents}
    for document in entries.values():
        yield from _entry(history, document)
    yield from _folders(history, entries)


def mend(history: History) -> tuple[list[Finding], list[Finding]]:
    """Repair until nothing is left that can be; return what was repaired, and what remains.

    Raises HistoryError or OSError when a repair fails; what was repaired before stays so.
    """
    repaired: list[Finding] = []
    findings = examine(history)
    while any(finding.do for finding in findings):
        with history.store.locked():
            # Again: what another process was in the middle of has ended by now.
            for finding in examine(history):
                if finding.do is not None:
                    finding.do()
                    repaired.append(finding)
        findings = examine(history)
    return repaired, findings


def _restore(database: store.Store) -> None:
    """Begin with the generation before, or with nothing; whole folders are put back next."""
    try:
        before = store.read_tables(database.previous) or {}
    except errors.HistoryError:
        before = {}
    for path in (database.path, database.previous):
        if path.exists():
            files.link(path, path.with_name(f"{path.name}.damaged-{token_hex(4)}"))
    files.write_atomic(database.path, files.to_json(before))


def _repeated(database: store.Store, documents: list[JsonObject]) -> Iterator[Finding]:
    """Find rows of one id."""
    distinct = {files.to_json(document): document for document in documents}.values()
    copies = len(documents) - len(distinct)
    if copies:
        what = f"{database.path} holds {copies} duplicate rows"
        yield Finding(what, "remove them", partial(_take_out_copies, database, distinct))
    for id, times in Counter(document["id"] for document in distinct).items():
        if times > 1:
            yield Finding(f"{id} is in the database {times} times, with different contents")


def _take_out_copies(database: store.Store, distinct: Iterable[JsonObject]) -> None:
    with database.changing() as table:
        table.remove(lambda row: isinstance(row.get("id"), str))
        table.insert_multiple(distinct)


def _entry(history: History, document: JsonObject) -> Iterator[Finding]:
    """Find what is wrong with an entry and its folder."""
    try:
        Entry(schema.read_document(document, f"entry {document['id']!r}"), history.root).verify()
    except (errors.HistoryError, OSError) as error:
        yield Finding(str(error), is_fault=not isinstance(error, errors.NewerSchema))
    else:
        path = history.store.entries / document["id"] / store.DOCUMENT
        if path.parent.is_dir() and not path.parent.is_symlink() and not path.exists():
            yield Finding(
                f"{path} is missing",
                "write it from the database",
                partial(files.write_atomic, path, files.to_json(document, indent=True)),
            )


def _folders(history: History, ids: Collection[str]) -> Iterator[Finding]:
    """Find what no entry of the database names; links are never followed, and what is none of ours
    is left alone.
    """
    whole = []
    for path in sorted(history.store.entries.glob("*")):
        if path.name in ids:
            continue
        is_folder = path.is_dir() and not path.is_symlink()
        if is_folder and HALF.fullmatch(path.name):
            what = f"{path} is only partly written or partly removed"
            yield Finding(what, "delete it", partial(store.delete, path))
        elif is_folder and (path / store.DOCUMENT).is_file():
            try:  # its entry was never acknowledged, or the database is older
                whole.append(_whole(path))
            except (errors.HistoryError, OSError) as error:
                what = f"{path} has no entry in the database and is incomplete: {error}"
                yield Finding(what, is_fault=not isinstance(error, errors.NewerSchema))
        else:
            yield Finding(
                f"{path} does not belong to the history: no entry has its name, and it has no "
                f"{store.DOCUMENT}",
                is_fault=False,
            )
    if whole:
        names = ", ".join(document["id"] for document in whole)
        what = f"complete, but not in the database: {names}"
        yield Finding(what, "put back", partial(history.store.insert, *whole))


def _whole(folder: Path) -> JsonObject:
    """Return the document in an entry's folder as it was written; raises HistoryError or OSError
    unless it is that entry's and all its artefacts are as stored.
    """
    document: JsonObject = files.read_json(folder / store.DOCUMENT)
    Entry(schema.read_document(document, "its document"), folder.parent.parent).verify()
    if document["id"] != folder.name:
        raise errors.IntegrityError(f"its document is that of {document['id']!r}")
    return document
