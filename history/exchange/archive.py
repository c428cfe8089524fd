"""One file that holds entries whole, to be taken into another root.

    <id>/entry.json, <id>/<artefact's file> ...    a zip archive

What comes from elsewhere is data: nothing of an archive is an entry before all of it has been
checked, its hashes included.
"""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson

from foundation import errors, files
from history import Entry, History, config, schema, store

MEMBERS = 100_000  # of an archive
DOCUMENT_BYTES = 64 * 2**20  # of all documents, which are in memory at once
TOTAL_BYTES = 64 * 2**30
FILE = re.compile(r"(?!\.{1,2}$)[^/\\:]+")  # a name that leads nowhere else on any system

# What zipfile raises for what is no zip, is cut off, encrypted, or has been tampered with.
UNREADABLE = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ArithmeticError, ValueError)

Members = dict[str, zipfile.ZipInfo]  # of an entry, by the name of the file


def write_archive(entries: Iterable[Entry], path: Path) -> None:
    """Write the entries to one file, which `read_archive` takes into another root.

    Raises IntegrityError when an artefact is not what was stored, OSError when the file cannot be
    written; a file that was there before stays as it was then.
    """
    with (  # at the lowest level, since models are compressed already
        files.atomic(path) as temporary,
        zipfile.ZipFile(
            temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False
        ) as archive,
    ):
        for entry in entries:
            archive.writestr(
                f"{entry.id}/{store.DOCUMENT}", files.to_json(entry.document, indent=True)
            )
            for name in entry.artefacts:
                file = entry.verified(name)
                archive.write(file, f"{entry.id}/{file.name}")


def read_archive(history: History, path: Path) -> list[Entry]:
    """Take every entry of an archive into the history, or none.

    Returns the entries that were taken; identical ones that are already there are left out. Raises
    InputError for a file that is not an archive, holds what an archive must not (links, paths that
    lead out, more than it announces) or has an artefact with a wrong hash; HistoryError when
    storing fails.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            documents = [_document(archive, id, own) for id, own in members.items()]
            return _take(history, archive, documents)
    except (errors.InputError, errors.IntegrityError) as error:
        raise errors.InputError(f"{path}: {error}; nothing was imported") from error
    except OSError as error:
        raise errors.HistoryError(
            f"{path} cannot be imported: {error}; nothing was imported"
        ) from error
    except UNREADABLE as error:
        raise errors.InputError(
            f"{path} is not an archive made by `history export --archive`, or was cut off "
            f"({type(error).__name__}: {error}); nothing was imported"
        ) from error


def _members(archive: zipfile.ZipFile) -> dict[str, Members]:
    """Return the members by entry id; refuse every one that is not an ordinary `<id>/<file>`."""
    infos = [info for info in archive.infolist() if not info.orig_filename.endswith("/")]
    documents = [info for info in infos if info.orig_filename.endswith(f"/{store.DOCUMENT}")]
    is_small = (
        len(infos) <= MEMBERS
        and _unpacked_bytes(infos) <= TOTAL_BYTES
        and _unpacked_bytes(documents) <= DOCUMENT_BYTES
    )
    if not infos or not is_small:
        raise errors.InputError(
            f"it is empty, or larger than an archive may be ({MEMBERS:,} files, {TOTAL_BYTES:,} "
            f"bytes, of these {DOCUMENT_BYTES:,} of documents)"
        )
    entries: dict[str, Members] = {}
    for info in infos:
        id, _, file = info.orig_filename.partition("/")
        members = entries.setdefault(id, {})
        if file in members or not _is_ordinary(info, id, file):
            raise errors.InputError(
                f"{info.orig_filename!r} is not a file of an entry, or appears twice"
            )
        members[file] = info
    return entries


def _unpacked_bytes(infos: Iterable[zipfile.ZipInfo]) -> int:
    return sum(info.file_size for info in infos)


def _is_ordinary(info: zipfile.ZipInfo, id: str, file: str) -> bool:
    """Say whether a member is a plain file, no link, right in the folder of an entry."""
    return (
        schema.ID.fullmatch(id) is not None
        and FILE.fullmatch(file) is not None
        and file.isprintable()
        and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
        and info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    )


def _document(archive: zipfile.ZipFile, id: str, members: Members) -> files.JsonObject:
    """Return an entry's document, in which each of the other files is an artefact."""
    where = f"{id}/{store.DOCUMENT}"
    own = members.get(store.DOCUMENT)
    if own is None:
        raise errors.InputError(f"{where} is missing")
    text = archive.read(own)
    if text.count(b"[") + text.count(b"{") > 1000 + len(text) / 20:  # each takes 30 times its size
        raise errors.InputError(f"{where} holds more lists and mappings than text")
    document = schema.read_document(orjson.loads(text), where)
    for key in schema.NAMES:
        if not str(document.get(key)).isprintable():
            raise errors.InputError(f"{where}: {key} is not a single printable line")
    listed = [(f"entries/{document['id']}/{store.DOCUMENT}", own.file_size)]
    for artefact in document["artefacts"].values():
        listed.append((artefact["path"], artefact["bytes"]))
    present = [(f"entries/{id}/{file}", info.file_size) for file, info in members.items()]
    if sorted(listed) != sorted(present):
        raise errors.InputError(f"{where} lists other files or sizes than the archive has for {id}")
    return document


def _take(
    history: History, archive: zipfile.ZipFile, documents: Iterable[files.JsonObject]
) -> list[Entry]:
    """Store the entries that are new, after the hash of the last file was compared."""
    origin = {
        "kind": "archive",
        "file": Path(str(archive.filename)).name,
        "imported": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    aside = dict.fromkeys(("origin", *schema.LABELS))
    new = []
    with history.store.locked():
        stored = {entry.id: entry.document for entry in history.entries()}
        for document in documents:
            id = document["id"]
            folder = history.store.entries / id
            if id in stored:
                if stored[id] | aside != document | aside:
                    raise errors.InputError(f"{history.root} already holds another entry {id}")
                continue
            if folder.exists():
                raise errors.InputError(
                    f"{folder} exists but has no entry; see `{errors.program()} doctor`"
                )
            new.append(document | {"origin": {**origin, "before": document.get("origin")}})
        if new:
            history.store.add(new, partial(_unpack, archive))
    return [Entry(document, history.root) for document in new]


def _unpack(archive: zipfile.ZipFile, document: files.JsonObject, folder: Path) -> None:
    """Write the artefacts of an entry into a folder."""
    id = document["id"]
    for name, artefact in document["artefacts"].items():
        file = folder / Path(artefact["path"]).name
        with archive.open(f"{id}/{file.name}") as source, file.open("wb") as target:
            shutil.copyfileobj(source, target)  # no more than the size that is announced
        if store.facts(file, id) != artefact:
            raise errors.IntegrityError(
                f"an artefact of entry {id} has changed since it was stored"
            )
        if name == "config":
            config.check_foreign(file)
