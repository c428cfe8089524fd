"""Hooks: what happens after all pipelines of a run have ended. A hook is a callable that takes the
run.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.filesize import decimal

from history.errors import HistoryError
from history.files import read_json
from runner.search.state import MARKER, Place

if TYPE_CHECKING:
    from runner.run.experiment import Report
    from runner.run.pipeline import Done

log = logging.getLogger("runner")

# a folder is renamed before it is deleted: what a kill leaves is never taken for a search
DOOMED = ".purge"


def purge(run: "Report") -> None:
    """Deletes the trial data of every pipeline whose entry and artefacts have been read back and
    verified.

    A failed pipeline keeps its trial data. Only folders that carry the search's own marker are
    deleted, and never through a link.
    """
    verified = [
        done for done in run.pipelines if _is_whole(done, run)
    ]  # all of them, before the first is deleted
    freed = sum(delete_search(done.plan.place) for done in verified if done.plan is not None)
    if verified:
        plural = "s"[len(verified) == 1 :]
        log.info(
            "purged the trial data of %d pipeline%s: %s freed",
            len(verified),
            plural,
            decimal(freed),
        )


def _is_whole(done: "Done", run: "Report") -> bool:
    """Whether a pipeline's trial data is no longer needed; says why, where it still is."""
    if done.plan is None:
        return False  # it never had trial data
    folder = done.plan.place.folder
    if done.entry is None or done.entry.status == "failed":
        if folder.is_dir():
            log.info("%s: trial data kept in %s", done.name, folder)
        return False
    there = len(list(folder.glob("trial_*")))
    used = done.entry.value("search.trials.total", there)
    if there > used:
        log.info(
            "%s: trial data kept in %s: it has %d trials, this run asked for %d",
            done.name,
            folder,
            there,
            used,
        )
        return False
    try:
        done.manager.verify(done.entry)
    except HistoryError as error:
        log.error(
            "%s: trial data kept in %s, because its entry is not whole: %s",
            done.name,
            folder,
            error,
        )
        run.failures.append(f"purge: {error}")
        return False
    return True


def delete_search(place: Place) -> int:
    """Deletes the folder of one search, if it carries that search's marker.

    Returns:
        The bytes freed.
    """
    folder, fingerprint = place.folder, place.fingerprint
    leftovers = folder.parent.glob(f"{fingerprint[:16]}*{DOOMED}")  # a kill came in between
    freed = sum(
        _delete(path)
        for path in leftovers
        if not path.is_symlink() and _is_marked(path, fingerprint)
    )
    if not folder.exists():
        _tidy(folder)
        return freed
    if folder.is_symlink() or folder.resolve() != folder:
        log.warning("%s is a link; its trial data is kept", folder)
        return freed
    if not _is_marked(folder, fingerprint):
        log.warning("%s does not carry this search's marker; it is kept", folder)
        return freed
    doomed = folder.with_name(folder.name + DOOMED)
    try:
        with FileLock(place.lock, timeout=0):
            folder.rename(doomed)
    except Timeout:
        log.warning("another process runs the search in %s; its trial data is kept", folder)
        return freed
    freed += _delete(doomed)
    _tidy(folder)
    return freed


def _is_marked(folder: Path, fingerprint: str) -> bool:
    """Whether a folder carries the search's marker, or is what a kill left of it: empty."""
    try:
        return bool(read_json(folder / MARKER)["fingerprint"] == fingerprint)
    except (HistoryError, OSError, KeyError, TypeError):
        return folder.suffix == DOOMED and not any(folder.iterdir())


def _delete(folder: Path) -> int:
    """Deletes a marked folder, its marker last, so that what a kill leaves is still marked; returns
    the bytes.
    """
    freed = sum(_sizes(folder))
    for path in folder.iterdir():
        if path.name != MARKER:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (folder / MARKER).unlink(missing_ok=True)
    folder.rmdir()
    return freed


def _tidy(folder: Path) -> None:
    """Removes the folders that held the search, when nothing else is in them."""
    for parent in (folder.parent, folder.parent.parent):
        try:
            parent.rmdir()
        except OSError:
            break


def _sizes(folder: Path) -> Iterator[int]:
    for path, _, files in os.walk(folder):
        yield from ((Path(path) / name).lstat().st_size for name in files)
