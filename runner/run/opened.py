"""Runs and sweeps are open from their start until all of their work has ended well. The same
command, which has the same key, continues an open one.

    <root>/runs/<key>.open         its id, and whether it has ended
    <root>/.locks/run-<key>.lock   held by the process that runs it

A process that waited for the lock takes over what the other one made, so that identical commands
started at once share the work. The jobs of a sweep stay open until all of them have ended well:
the file of an ended job says so, and the process that runs the sweep deletes it. history/running.py
shows what is open.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation import files
from runner.errors import InputError

log = logging.getLogger("runner")


def path_of(root: Path, key: str) -> Path:
    """Return the file that exists while the run or sweep with this key is open."""
    return root / "runs" / f"{key[:16]}.open"


def read(path: Path) -> files.JsonObject:
    """Return the content of such a file: `run_id`, None if there is no file, and `ended`."""
    return {"run_id": None, "ended": False} | files.mapping_in(path)


def write(path: Path, run_id: str, ended: bool) -> None:
    """Write such a file; raises OSError."""
    files.make_folder(path.parent)
    files.write_atomic(path, files.to_json({"run_id": run_id, "ended": ended}))


@contextmanager
def opened(
    path: Path, what: str, new_id: str, *, fresh: bool
) -> Iterator[tuple[str, str | None, bool]]:
    """Open a run or sweep, or continue the open one, waiting for another process that runs it.
    Yield its id; the id again if it is continued, else None; and whether nothing is left to do.

    Args:
        path: the file that marks it as open.
        what: its name in messages.
        new_id: its id, unless it is continued.
        fresh: start a new one in any case.

    Raises:
        HistoryError: the lock cannot be acquired.
    """
    lock = path.parent.with_name(".locks") / f"run-{path.stem}.lock"
    earlier = [read(path)]
    with files.held(lock, what, waiting=lambda: earlier.append(read(path))):
        state = read(path)
        if state["run_id"] is None:  # the other process has ended well by now
            state = earlier[-1] | {"ended": True}
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
