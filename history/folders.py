"""The folders of entries on disk: each is there whole, with its document, or not at all.

entries/<id>/            entry.json and the artefacts; whole in itself
entries/.<id>.part       being made; what a kill leaves of it is of no entry
entries/.<id>.removed    being removed, after its document
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from history.errors import IntegrityError
from history.files import held, make_folder, sha256, sync_folder, sync_tree, to_json

DOCUMENT = "entry.json"
PART, REMOVED = ".part", ".removed"
LOCK_TIMEOUT = 600.0  # seconds; large models may have to be copied and hashed


@contextmanager
def changing(root: Path) -> Iterator[Path]:
    """Hold the folders of entries under `root`, and give their parent; raises HistoryError when
    that cannot be.
    """
    with held(FileLock(root / ".locks" / "entries.lock", timeout=LOCK_TIMEOUT)):
        make_folder(root / "entries")
        yield root / "entries"


def part(entries: Path, id: str) -> Path:
    """Where the folder of that id is made."""
    return entries / f".{id}{PART}"


def facts(folder: Path, files: Mapping[str, str], id: str) -> dict[str, dict[str, Any]]:
    """What an entry records of its artefacts: name → path below the root, bytes and sha256.

    Arguments: `folder`, where they are now; `files`, artefact name → file name; `id`, of the entry.
    """
    return {
        name: {
            "path": f"entries/{id}/{file}",
            "bytes": (folder / file).stat().st_size,
            "sha256": sha256(folder / file),
        }
        for name, file in files.items()
    }


def complete(making: Path, document: Mapping[str, Any]) -> Path:
    """Add the document to a folder in the making, put all on disk and give it its name; raises
    OSError.
    """
    (making / DOCUMENT).write_bytes(to_json(document, indent=True))
    sync_tree(making)
    folder = making.with_name(document["id"])
    making.rename(folder)
    sync_folder(folder.parent)
    return folder


def set_aside(entries: Path, id: str) -> Path:
    """Take the folder's name away, so that it is no entry's any more; raises OSError."""
    aside = entries / f".{id}{REMOVED}"
    if (entries / id).exists():
        delete(aside)  # of an earlier entry of that id
        (entries / id).rename(aside)
        sync_folder(entries)
    return aside


def delete(folder: Path) -> None:
    """Delete a folder in the making or set aside, if it is there; a link is only unlinked. Raises
    OSError.
    """
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def check(path: Path, expected: Mapping[str, Any], what: str) -> None:
    """Raise IntegrityError unless the file has the size and hash that were recorded."""
    if not path.is_file():
        raise IntegrityError(f"{what} is missing: {path}")
    if path.stat().st_size != expected["bytes"] or sha256(path) != expected["sha256"]:
        raise IntegrityError(f"{what} is not what was stored: {path}")
