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

from foundation import errors, files
from history import Entry, History, config, schema, store

MEMBERS = 100_000  # of an archive
DOCUMENT_BYTES = 64 * 2**20  # of all documents, which are in memory at once
TOTAL_BYTES = 64 * 2**30

# What zipfile raises for what is no zip, is cut off, encrypted, or has been tampered with.
UNREADABLE = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ArithmeticError, ValueError)

Members = dict[str, zipfile.ZipInfo]  # by the name of the file


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

    Returns the entries that were taken; one that is already there, the same in all it says, is left
    out. Raises InputError for what is no such archive, holds what an archive must not (links, paths
    that lead out, more than it says) or an artefact whose hash is wrong, HistoryError when storing
    fails.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _take(
                history,
                archive,
                [_document(archive, id, held) for id, held in _members(archive).items()],
            )
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
    if (
        not 0 < len(infos) <= MEMBERS
        or sum(info.file_size for info in infos) > TOTAL_BYTES
        or sum(
            info.file_size for info in infos if info.orig_filename.endswith(f"/{store.DOCUMENT}")
        )
        > DOCUMENT_BYTES
    ):
        raise errors.InputError(
            f"it is empty, or larger than an archive may be ({MEMBERS:,} files, {TOTAL_BYTES:,} "
            f"bytes, of these {DOCUMENT_BYTES:,} of documents)"
        )
    found: dict[str, Members] = {}
    for info in infos:
        id, _, file = info.orig_filename.partition("/")
        members = found.setdefault(id, {})
        if not (
            schema.ID.fullmatch(id)
            and file.isprintable()
            and file not in ("", ".", "..", *members)
            and not set(file) & set("/\\:")
            and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
            and info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        ):
            raise errors.InputError(
                f"{info.orig_filename!r} is not a file of an entry, or appears twice"
            )
        members[file] = info
    return found


def _document(archive: zipfile.ZipFile, id: str, held: Members) -> files.JsonObject:
    """Return an entry's document, in which each of the other files is an artefact."""
    where = f"{id}/{store.DOCUMENT}"
    if (own := held.get(store.DOCUMENT)) is None:
        raise errors.InputError(f"{where} is missing")
    text = archive.read(own)
    if sum(map(text.count, b"[{")) > 1000 + len(text) / 20:  # each takes 30 times its letters
        raise errors.InputError(f"{where} holds more lists and mappings than text")
    document = schema.read_document(orjson.loads(text), where)
    if odd := [key for key in schema.NAMES if not str(document.get(key)).isprintable()]:
        raise errors.InputError(f"{where}: {odd[0]} is not a single printable line")
    said = [
        (f"entries/{document['id']}/{store.DOCUMENT}", own.file_size),
        *((file["path"], file["bytes"]) for file in document["artefacts"].values()),
    ]
    if sorted(said) != sorted((f"entries/{id}/{file}", held[file].file_size) for file in held):
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

    def unpack(document: files.JsonObject, folder: Path) -> None:
        id = document["id"]
        for name, said in document["artefacts"].items():
            file = folder / Path(said["path"]).name
            with archive.open(f"{id}/{file.name}") as source, file.open("wb") as target:
                shutil.copyfileobj(source, target)  # no more than the size that is announced
            if store.facts(file, id) != said:
                raise errors.IntegrityError(
                    f"an artefact of entry {id} has changed since it was stored"
                )
            if name == "config":
                config.check_foreign(file)

    with history.store.locked():
        kept = {entry.id: entry.document for entry in history.entries()}
        aside = dict.fromkeys(("origin", *schema.LABELS))
        new = []
        for document in documents:
            if (id := document["id"]) not in kept:
                new.append({**document, "origin": {**origin, "before": document.get("origin")}})
                if (folder := history.store.entries / id).exists():
                    raise errors.InputError(
                        f"{folder} exists but has no entry; see `{errors.program()} doctor`"
                    )
            elif {**kept[id], **aside} != {**document, **aside}:
                raise errors.InputError(f"{history.root} already holds another entry {id}")
        if new:
            history.store.add(new, unpack)
    return [Entry(document, history.root) for document in new]
