"""One file that holds entries whole, to be taken into another root.

    <id>/entry.json, <id>/<artefact's file> ...    a zip archive

What comes from elsewhere is data: nothing of an archive is an entry before all of it has been
checked, its hashes included.
"""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import orjson

from history.catalogue import History
from history.entry import Entry
from history.errors import HistoryError, InputError, IntegrityError
from history.files import JsonObject, atomic, to_json
from history.schema import ID, read_document
from history.store import DOCUMENT, facts

MEMBERS = 100_000  # of an archive
DOCUMENT_BYTES = 64 * 2**20
TOTAL_BYTES = 64 * 2**30

# What zipfile raises for what is no zip, is cut off, encrypted, or has been tampered with.
UNREADABLE = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ArithmeticError, ValueError)

Members = dict[str, zipfile.ZipInfo]  # by the name of the file


def write_archive(entries: Iterable[Entry], path: Path) -> None:
    """Write the entries to one file, which `read_archive` takes into another root.

    Raises IntegrityError when an artefact is not what was stored, OSError when the file cannot be
    written; a file that was there before stays as it was then.
    """
    deflated = zipfile.ZIP_DEFLATED  # at the lowest level, since models are compressed already
    with (
        atomic(path) as temporary,
        zipfile.ZipFile(
            temporary, "w", deflated, compresslevel=1, strict_timestamps=False
        ) as archive,
    ):
        for entry in entries:
            archive.writestr(f"{entry.id}/{DOCUMENT}", to_json(entry.document, indent=True))
            for name in entry.value("artefacts", {}):
                file = entry.verified(name)
                archive.write(file, f"{entry.id}/{file.name}")


def read_archive(history: History, path: Path) -> list[Entry]:
    """Take every entry of an archive into the history, or none.

    Returns the entries that were taken; one that is already there, the same in all it says, is left
    out. Raises InputError for what is no such archive, holds what an archive must not (links, paths
    that lead out, more than it says) or an artefact whose hash is wrong, HistoryError when storing
    fails.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            documents = {id: _document(archive, id, files) for id, files in members.items()}
            return _take(history, archive, documents)
    except (InputError, IntegrityError) as error:
        raise InputError(f"{path}: {error}; nothing was imported") from error
    except OSError as error:
        raise HistoryError(f"{path} cannot be imported: {error}; nothing was imported") from error
    except UNREADABLE as error:
        raise InputError(
            f"{path} is not an archive made by `history export --archive`, or was cut off "
            f"({type(error).__name__}: {error}); nothing was imported"
        ) from error


def _members(archive: zipfile.ZipFile) -> dict[str, Members]:
    """Return the members by entry id; refuse every one that is not an ordinary `<id>/<file>`."""
    infos = [info for info in archive.infolist() if not info.orig_filename.endswith("/")]
    size = sum(info.file_size for info in infos)
    if not 0 < len(infos) <= MEMBERS or size > TOTAL_BYTES:
        raise InputError(
            f"it holds nothing, or more than an archive may ({MEMBERS:,} files, {TOTAL_BYTES:,} "
            f"bytes)"
        )
    found: dict[str, Members] = {}
    for info in infos:
        id, _, file = info.orig_filename.partition("/")
        ordinary = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
        plain = file.isprintable() and file not in ("", ".", "..") and not set(file) & set("/\\:")
        members = found.setdefault(id, {})
        if not (ID.fullmatch(id) and plain and ordinary) or file in members:
            raise InputError(f"{info.orig_filename!r} is no file of an entry, or is there twice")
        members[file] = info
    return found


def _document(archive: zipfile.ZipFile, id: str, files: Members) -> JsonObject:
    """Return an entry's document, in which each of the other files is an artefact."""
    where = f"{id}/{DOCUMENT}"
    own = files.get(DOCUMENT)
    if own is None or own.file_size > DOCUMENT_BYTES:
        raise InputError(f"{where} is missing, or larger than {DOCUMENT_BYTES:,} bytes")
    document = read_document(orjson.loads(archive.read(own)), where)
    said = [(file["path"], file["bytes"]) for file in document["artefacts"].values()]
    said.append((f"entries/{document['id']}/{DOCUMENT}", own.file_size))
    held = [(f"entries/{id}/{file}", info.file_size) for file, info in files.items()]
    if sorted(said) != sorted(held):
        raise InputError(f"{where} says other files or sizes than the archive holds of {id}")
    return document


def _take(
    history: History, archive: zipfile.ZipFile, documents: dict[str, JsonObject]
) -> list[Entry]:
    """Store the entries that are new, after the hash of the last file was compared."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    origin = {"kind": "archive", "file": Path(str(archive.filename)).name, "imported": now}

    def unpack(document: JsonObject, folder: Path) -> None:
        id = document["id"]
        for said in document["artefacts"].values():
            file = folder / Path(said["path"]).name
            with archive.open(f"{id}/{file.name}") as source, file.open("wb") as target:
                shutil.copyfileobj(source, target)  # no more than the size that is announced
            if facts(file, id) != said:
                raise IntegrityError(f"an artefact of entry {id} is not what was stored")

    with history.store.locked():
        kept = {entry.id: entry.document for entry in history.entries()}
        new = []
        for id, document in documents.items():
            if id not in kept:
                before = document.get("origin")
                new.append({**document, "origin": {**origin, "before": before}})
                if (folder := history.store.entries / id).exists():
                    raise InputError(f"{folder} is there without an entry; see `history doctor`")
            elif {**kept[id], "origin": None} != {**document, "origin": None}:
                raise InputError(f"{history.root} already holds another entry {id}")
        if new:
            history.store.add(new, unpack)
    return [Entry(document, history.root) for document in new]
