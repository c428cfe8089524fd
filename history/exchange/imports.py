"""Takes into a history what was made elsewhere: archives, Keras Tuner folders, lists of an older
history.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from history import registry
from history.catalogue import History
from history.entry import Entry
from history.errors import HistoryError, InputError
from history.exchange.archive import read_archive
from history.exchange.keras_tuner import Found, read_foreign
from history.files import make_folder
from history.folders import PART
from history.ranking import Direction


@dataclass(frozen=True)
class Taken:
    """An entry that is now in the history. `notes` say what a reader must know."""

    entry: Entry
    notes: tuple[str, ...] = ()


def take(
    history: History,
    path: Path,
    *,
    task: str | None = None,
    objective: str | None = None,
    direction: Direction | None = None,
) -> list[Taken]:
    """Import whatever is at `path`; arguments as `foreign.read_foreign` has them, for what is no
    archive.

    What is here already is not among what is returned. Raises InputError for what cannot be
    imported, IntegrityError for a wrong hash, HistoryError when storing fails; all is read before
    the first is stored.
    """
    if not path.exists():
        raise InputError(
            f"there is nothing to import at {path.resolve()}; paths count from the current folder"
        )
    if _is_archive(path):
        if task or objective or direction:
            raise InputError(
                f"{path} is an archive, which says all itself; leave --task, --objective, --direction out"
            )
        return [Taken(entry) for entry in read_archive(history, path)]
    found = read_foreign(path, task=task, objective=objective, direction=direction)
    for one in found:
        registry.manager_class(
            one.document["task"]
        )  # an unknown task is said before anything is stored
    kept = history.entries()
    return [_take(history, one) for one in found if not any(_is_of(entry, one) for entry in kept)]


def _is_archive(path: Path) -> bool:
    """Whether it is one, or the beginning of one that was cut off."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:  # a folder, or what nobody may read
        return False


def _is_of(entry: Entry, found: Found) -> bool:
    """Whether the entry says all that was found; notes depend on what was given with it."""
    return all(
        entry.document.get(key) == value for key, value in found.document.items() if key != "notes"
    )


def _take(history: History, found: Found) -> Taken:
    manager = registry.manager(found.document["task"], history.root, history.store)
    with _staged(history.root) as stage:
        files = {}
        for name, content in found.files.items():
            files[name] = stage / (f"{name}.json" if isinstance(content, bytes) else content.name)
            if isinstance(content, bytes):
                files[name].write_bytes(content)
            else:
                shutil.copyfile(content, files[name], follow_symlinks=False)
        return Taken(manager.add(found.document, files), tuple(found.notes))


@contextmanager
def _staged(root: Path) -> Iterator[Path]:
    """A folder on the root's file system, whose name tells `doctor` that a kill left it."""
    try:
        make_folder(root / "entries")
        with tempfile.TemporaryDirectory(
            prefix=".import-", suffix=PART, dir=root / "entries"
        ) as folder:
            yield Path(folder)
    except OSError as error:
        raise HistoryError(
            f"cannot import into {root}: {error.strerror or error}; make room or make it writable"
        ) from error
