"""Deletes trial data that is no longer needed."""

import logging

from rich.filesize import decimal

from foundation.errors import HistoryError
from runner.run import experiment, pipeline
from runner.search.state import SearchFolder, delete_search

log = logging.getLogger("runner")


def purge(run: experiment.RunSummary) -> None:
    """Delete the trial data of every pipeline whose entry and artefacts have been read back and
    verified: all of them, before the first is deleted. A failed pipeline keeps its trial data.
    """
    found = [
        (done.name, done.search, _why_it_stays(done, done.search, run))
        for done in run.pipelines
        if done.search is not None and done.search.folder.is_dir()
    ]
    for name, place, why in found:
        if why is not None:
            log.warning("%s: trial data kept in %s: %s", name, place.folder, why)
    if freed := [delete_search(place) for _, place, why in found if why is None]:
        log.info(
            "purged the trial data of %d pipeline%s: %s freed",
            len(freed),
            "s" if len(freed) > 1 else "",
            decimal(sum(freed)),
        )


def _why_it_stays(
    done: pipeline.Done, place: SearchFolder, run: experiment.RunSummary
) -> str | None:
    if done.entry is None or done.entry.status == "failed":
        return "the pipeline failed"
    if done.entry.validation.warning:
        return str(done.entry.validation.warning)
    if done.entry.status == "budget":
        return "a larger tuner.max_seconds continues it"
    there = len(place.trial_ids())
    search = done.entry.search
    used = there if search.trials.total is None else search.trials.total
    if there > used and not search.ended:
        return f"it has {there} trials, this run asked for {used}"
    try:
        done.manager.verify(done.entry)
    except HistoryError as error:
        run.failures.append(f"purge: {error}")
        return f"its entry is incomplete: {error}"
    return None
