"""What is open, a run or a sweep, from its beginning until all of it has ended well: the same
command, known by its key, continues it.

    <root>/runs/<key>.open         its id, and whether it has ended
    <root>/.locks/run-<key>.lock   held by the process that is at it

Whoever waits for that process takes over what it made, so that identical commands at once share
the work. The jobs of a sweep stay open until all of them have ended well: the file of one that has
says so, and whoever runs the sweep deletes it. history/running.py shows what is open.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation import files
from runner.errors import InputError

log = logging.getLogger("runner")


def path_of(root: Path, key: str) -> Path:
    """Return the file that says that what has this key is open."""
    return root / "runs" / f"{key[:16]}.open"


def left(path: Path) -> files.JsonObject:
    """Return what such a file says: the `run_id`, None where there is none, and `ended`."""
    return {"run_id": None, "ended": False} | files.mapping_in(path)


def write(path: Path, run_id: str, ended: bool) -> None:
    """Write such a file; raises OSError."""
    files.make_folder(path.parent)
    files.write_atomic(path, files.to_json({"run_id": run_id, "ended": ended}))


@contextmanager
def opened(
    path: Path, what: str, new_id: str, *, fresh: bool
) -> Iterator[tuple[str, str | None, bool]]:
    """Open what such a file is of, or go on with it; wait for the process that is at it. Yield its
    id; once more where it goes on; and whether nothing of it is left to do.

    Args:
        path: of the file.
        what: is open, for messages.
        new_id: its id, unless it goes on.
        fresh: nothing goes on.

    Raises:
        HistoryError: the lock cannot be had.
    """
    lock = path.parent.with_name(".locks") / f"run-{path.stem}.lock"
    seen = [left(path)]
    with files.held(lock, what, waiting=lambda: seen.append(left(path))):
        state = left(path)
        if state["run_id"] is None:  # what was seen has ended well by now
            state = {**seen[-1], "ended": True}
        continued = None if fresh else state["run_id"]
        ended = continued is not None and state["ended"]
        if continued is not None:
            log.info("resuming %s: what has finished is taken over", continued)
        run_id = continued or new_id
        write(path, run_id, ended)
        try:
            yield run_id, continued, ended
        except InputError:  # nothing was started
            if continued is None:
                path.unlink(missing_ok=True)
            raise
