"""Deletes trial data that is no longer needed."""

import logging

from rich.filesize import decimal

from history.errors import HistoryError
from runner.run.experiment import RunSummary
from runner.run.pipeline import Done
from runner.search.state import Place, delete_search

log = logging.getLogger("runner")


def purge(run: RunSummary) -> None:
    """Delete the trial data of every pipeline whose entry and artefacts have been read back and
    verified: all of them, before the first is deleted. A failed pipeline keeps its trial data.
    """
    searched = [
        (done, done.plan.place)
        for done in run.pipelines
        if done.plan is not None and done.plan.place.folder.is_dir()
    ]
    doomed = []
    for done, place in searched:
        why = _why_it_stays(done, place, run)
        if why is None:
            doomed.append(place)
        else:
            log.warning("%s: trial data kept in %s: %s", done.name, place.folder, why)
    freed = sum(delete_search(place) for place in doomed)
    if doomed:
        count = f"{len(doomed)} pipeline{'s' if len(doomed) > 1 else ''}"
        log.info("purged the trial data of %s: %s freed", count, decimal(freed))


def _why_it_stays(done: Done, place: Place, run: RunSummary) -> str | None:
    if done.entry is None or done.entry.status == "failed":
        return "the pipeline failed"
    there = len(list(place.folder.glob("trial_*")))
    used = done.entry.value("search.trials.total", there)
    if there > used:
        return f"it has {there} trials, this run asked for {used}"
    try:
        done.manager.verify(done.entry)
    except HistoryError as error:
        run.failures.append(f"purge: {error}")
        return f"its entry is not whole: {error}"
    return None
