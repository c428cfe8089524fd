"""Hooks: what happens after all pipelines of a run have ended. A hook is a callable that takes the run."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from history.errors import HistoryError
from history.files import read_json
from runner.search.state import MARKER

if TYPE_CHECKING:
    from runner.experiment import Report

log = logging.getLogger("runner")

DOOMED = ".purge"  # a folder is renamed before it is deleted: what a kill leaves is never taken for a search


def purge(run: "Report") -> None:
    """Deletes the trial data of every pipeline whose entry and artefacts have been read back and verified.

    A failed pipeline keeps its trial data. Only folders that carry the search's own marker are deleted, and
    never through a link.
    """
    freed = count = 0
    for done in run.pipelines:
        if done.entry is None or done.entry.status == "failed" or done.trials is None:
            if done.trials is not None and done.trials.is_dir():
                log.info("%s: trial data kept in %s", done.name, done.trials)
            continue
        try:
            done.manager.verify(done.entry)
        except HistoryError as error:
            log.error("%s: trial data kept in %s, because its entry is not whole: %s", done.name, done.trials, error)
            run.failures.append(f"purge: {error}")
            continue
        freed += delete_search(done.trials, done.fingerprint)
        count += 1
    if count:
        log.info("purged the trial data of %d pipeline%s: %s freed", count, "s" if count > 1 else "", size(freed))


def delete_search(folder: Path, fingerprint: str) -> int:
    """Deletes the folder of one search.

    Args:
        folder: of the search.
        fingerprint: of the search; the folder's marker must carry it.

    Returns:
        The bytes freed.
    """
    if not folder.exists():
        return 0
    if folder.is_symlink() or folder.resolve() != folder:
        log.warning("%s is a link; its trial data is kept", folder)
        return 0
    try:
        marked = read_json(folder / MARKER)["fingerprint"] == fingerprint
    except (HistoryError, OSError, KeyError, TypeError):
        marked = False
    if not marked:
        log.warning("%s does not carry this search's marker; it is kept", folder)
        return 0
    doomed = folder.with_name(folder.name + DOOMED)
    if doomed.exists():
        shutil.rmtree(doomed)
    folder.rename(doomed)
    freed = sum(_sizes(doomed))
    shutil.rmtree(doomed)
    folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)
    for parent in (folder.parent, folder.parent.parent):
        try:
            parent.rmdir()  # only when nothing else is in it
        except OSError:
            break
    return freed


def size(count: int) -> str:
    """Bytes for a person."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _sizes(folder: Path) -> Iterator[int]:
    for path, _, files in os.walk(folder):
        yield from ((Path(path) / name).lstat().st_size for name in files)
