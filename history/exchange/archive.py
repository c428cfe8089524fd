"""One file that holds entries whole, to be taken into another root.

    <id>/entry.json, <id>/<artefact's file> ...    a zip archive

What comes from elsewhere is data: nothing in an archive is believed before it has been checked, and
nothing of it is in the root before all of it has.
"""

import hashlib
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import orjson

from history import folders
from history.catalogue import History
from history.entry import ID, STATUSES, Entry
from history.errors import HistoryError, InputError, IntegrityError
from history.files import atomic, to_json
from history.schema import upgrade

MEMBERS = 100_000  # of an archive
DOCUMENT_BYTES = 64 * 2**20
TOTAL_BYTES = 64 * 2**30
CHUNK = 2**20

# What a document must have as a text or as a mapping, where it has it: those who show entries rely
# on it.
TEXTS = ("created", "run_id", "experiment", "pipeline", "task", "manager", "status")
MAPPINGS = (
    *(
        "artefacts",
        "origin",
        "search",
        "search.objective",
        "search.trials",
        "best",
        "best.values",
        "error",
    ),
    *(
        "validation",
        "validation.metrics",
        "validation.deviation",
        "test",
        "test.metrics",
        "timings",
    ),
    *("environment", "environment.packages", "environment.git", "data", "identity"),
)

# What zipfile raises for what is no zip, is cut off, or has been tampered with.
UNREADABLE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError),
    *(zlib.error, struct.error, ValueError, OverflowError),
)

Members = dict[str, dict[str, zipfile.ZipInfo]]


def write_archive(entries: Iterable[Entry], path: Path) -> None:
    """Write the entries to one file, which `read_archive` takes into another root.

    Raises IntegrityError when an artefact is not what was stored, HistoryError when the file cannot
    be written; a file that was there before stays as it was then.
    """
    try:
        with (
            atomic(path) as temporary,
            zipfile.ZipFile(
                temporary, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False
            ) as archive,
        ):
            for entry in {entry.id: entry for entry in entries}.values():
                entry.verify()
                archive.writestr(
                    f"{entry.id}/{folders.DOCUMENT}", to_json(entry.document, indent=True)
                )
                for name in entry.value("artefacts", {}):
                    file = entry.artefact(name)
                    archive.write(file, f"{entry.id}/{file.name}", _compression(file))
    except OSError as error:
        raise HistoryError(
            f"cannot write {path}: {error.strerror or error}; nothing was written"
        ) from error


def _compression(file: Path) -> int:
    return zipfile.ZIP_STORED if file.suffix in (".keras", ".npz", ".h5") else zipfile.ZIP_DEFLATED


def read_archive(history: History, path: Path) -> list[Entry]:
    """Take every entry of an archive into the history; all are checked before anything is written.

    Returns the entries that were taken; one that is already there, the same in all it says, is left
    out. Raises InputError for what is no such archive, or holds what an archive must not (links,
    paths that lead out, more than it says), IntegrityError for an artefact whose hash is wrong,
    HistoryError when storing fails.
    """
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            members = _members(archive, path)
            documents = [_document(archive, id, files, path) for id, files in members.items()]
            _new(history, documents, path)
            for document in documents:
                for name in document["artefacts"]:
                    _copy(archive, members, document, name, path)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: {error.strerror or error}; nothing was imported"
            ) from error
        except UNREADABLE as error:
            what = f"{type(error).__name__}: {error}"
            raise InputError(
                f"{path} is not an archive made by `history export --archive`, or was cut off ({what}); "
                f"nothing was imported"
            ) from error
        return _take(history, archive, members, documents, path)


def _take(
    history: History,
    archive: zipfile.ZipFile,
    members: Members,
    documents: list[dict[str, Any]],
    path: Path,
) -> list[Entry]:
    """Stores the entries, which have all been checked."""
    try:
        with folders.changing(history.root) as entries:
            new = _new(
                history, documents, path
            )  # asked again, as nobody else can change the answer now
            room = sum(
                facts["bytes"] for document in new for facts in document["artefacts"].values()
            )
            if room > shutil.disk_usage(entries).free:
                raise HistoryError(
                    f"{path} needs {room:,} bytes in {entries}, which has fewer; nothing was imported"
                )
            makings = [folders.part(entries, document["id"]) for document in new]
            try:
                for document, making in zip(new, makings, strict=True):
                    folders.delete(making)  # what a kill left
                    making.mkdir()
                    for name, facts in document["artefacts"].items():
                        with (making / PurePosixPath(facts["path"]).name).open("wb") as target:
                            _copy(archive, members, document, name, path, target)
                for document, making in zip(new, makings, strict=True):
                    document["origin"] = _origin(document, path)
                    folder = folders.complete(making, document)
                    try:
                        history.store.insert(document)
                    except HistoryError:
                        folders.delete(folders.set_aside(entries, folder.name))
                        raise
            finally:
                for making in makings:
                    folders.delete(making)
    except OSError as error:
        raise HistoryError(f"{path} cannot be imported: {error}; see `history doctor`") from error
    return [Entry(document, history.root) for document in new]


def _members(archive: zipfile.ZipFile, path: Path) -> Members:
    """Entry id → file name → member; refuses every name that is not `<id>/<file>`."""
    infos = archive.infolist()
    if len(infos) > MEMBERS or sum(info.file_size for info in infos) > TOTAL_BYTES:
        raise InputError(
            f"{path} is larger than an archive may be ({MEMBERS:,} files, {TOTAL_BYTES:,} bytes); refused"
        )
    found: Members = {}
    for info in infos:
        id, _, file = info.orig_filename.partition("/")
        if ID.fullmatch(id) and not file and info.is_dir():
            continue  # as `zip -r` makes them
        if what := _refused(info, id, file):
            raise InputError(f"{path}: {info.orig_filename!r} {what}; nothing was imported")
        if file in found.setdefault(id, {}):
            raise InputError(f"{path}: {info.orig_filename!r} is there twice; nothing was imported")
        found[id][file] = info
    if not found:
        raise InputError(
            f"{path} holds no entry; it is not an archive made by `history export --archive`"
        )
    return found


def _refused(info: zipfile.ZipInfo, id: str, file: str) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "is a link" if kind == stat.S_IFLNK else "is no ordinary file"
    if (
        not ID.fullmatch(id)
        or file in ("", ".", "..")
        or any(c in file for c in "/\\:")
        or not file.isprintable()
    ):
        return "is no file of an entry"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in a way that no archive of ours is"
    return None


def _document(
    archive: zipfile.ZipFile, id: str, files: Mapping[str, zipfile.ZipInfo], path: Path
) -> dict[str, Any]:
    """The entry's document, brought up to date and checked against the members."""
    where = f"{path}: {id}/{folders.DOCUMENT}"
    if folders.DOCUMENT not in files:
        raise InputError(f"{where} is missing; nothing was imported")
    if files[folders.DOCUMENT].file_size > DOCUMENT_BYTES:
        raise InputError(f"{where} is larger than {DOCUMENT_BYTES:,} bytes; nothing was imported")
    try:
        document = orjson.loads(archive.read(files[folders.DOCUMENT]))
    except orjson.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error}; nothing was imported") from error
    if problem := _problem(document, id, files):
        raise InputError(f"{where}: {problem}; nothing was imported")
    try:
        return dict(upgrade(document))
    except HistoryError as error:
        raise InputError(f"{where}: {error}; nothing was imported") from error


def _problem(document: Any, id: str, files: Mapping[str, zipfile.ZipInfo]) -> str | None:
    """Why this is no document of the entry that has these files, if so."""
    if not isinstance(document, dict) or document.get("id") != id:
        return f"is not the document of entry {id}"
    if document.get("status") not in STATUSES:
        return f"status is {document.get('status')!r}"
    for keys, kind, what in ((TEXTS, str, "text"), (MAPPINGS, dict, "a mapping")):
        for key in keys:
            if not isinstance(value := Entry(document, Path()).value(key, kind()), kind):
                return f"{key} is not {what}: {value!r}"
    found = {folders.DOCUMENT}
    for name, facts in document.get("artefacts", {}).items():
        shape = {"path": str, "bytes": int, "sha256": str}
        if not isinstance(facts, dict) or any(
            not isinstance(facts.get(key), kind) for key, kind in shape.items()
        ):
            return f"artefacts.{name} has no path, bytes and sha256"
        file = PurePosixPath(facts["path"]).name
        if facts["path"] != f"entries/{id}/{file}" or file in found:
            return f"artefacts.{name}.path is {facts['path']!r}, which is no file of its own in this entry"
        if file not in files or files[file].file_size != facts["bytes"]:
            return f"artefacts.{name}: {file} is not in the archive with {facts['bytes']} bytes"
        found.add(file)
    if more := sorted(set(files) - found):
        return f"does not say what {more[0]!r} is"
    return None


def _new(history: History, documents: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Those of the documents that the history does not hold; raises InputError where it holds
    something else.
    """
    kept = {document["id"]: document for document in history.store.all()}
    new = []
    for document in documents:
        id = document["id"]
        if id in kept:
            if _content(upgrade(kept[id])) != _content(document):
                raise InputError(
                    f"{path}: {history.root} already holds another entry {id}; nothing was imported"
                )
        elif (history.root / "entries" / id).exists():
            where = history.root / "entries" / id
            raise HistoryError(
                f"{path}: {where} is there without an entry; see `history doctor`, and repeat; nothing was imported"
            )
        else:
            new.append(document)
    return new


def _content(document: Mapping[str, Any]) -> Any:
    """What an entry says, whichever way it came here."""
    return orjson.loads(to_json({key: value for key, value in document.items() if key != "origin"}))


def _copy(
    archive: zipfile.ZipFile,
    members: Members,
    document: Mapping[str, Any],
    name: str,
    path: Path,
    target: IO[bytes] | None = None,
) -> None:
    """Reads the artefact, writes it where it is to go, and raises IntegrityError unless it is what
    was stored.

    A member's size is what its archive says, so no more than that is read.
    """
    facts = document["artefacts"][name]
    digest, left = hashlib.sha256(), facts["bytes"] + 1
    with archive.open(members[document["id"]][PurePosixPath(facts["path"]).name]) as source:
        while left > 0 and (chunk := source.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
            if target is not None:
                target.write(chunk)
    if left != 1 or digest.hexdigest() != facts["sha256"]:
        raise IntegrityError(
            f"artefact {name!r} of entry {document['id']} in {path} is not what was stored; nothing was imported"
        )


def _origin(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"kind": "archive", "file": path.name, "imported": now, "before": document.get("origin")}
