"""Keeps a report of the history up to date."""

import logging
from pathlib import Path

from foundation import files
from history import History
from history.report import pages
from runner.hooks import RunSummary

log = logging.getLogger("runner")


def write(run: RunSummary, folder: str | None = None) -> None:
    """Write the pages of the entries that are new, and the index of all: one job of a sweep at a
    time.

    Arguments: `folder`, where to; None: `report` below the history's.
    """
    history = History(run.root)
    report = Path(folder or run.root / "report")
    with files.held(run.root / ".locks" / "report.lock", "the report of the history"):
        pages.write(history, history.entries(), report)
    log.info("report: %s", report / "index.html")
