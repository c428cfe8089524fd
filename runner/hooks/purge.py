"""Deletes trial data that is no longer needed."""

import logging

from rich.filesize import decimal

from foundation.errors import HistoryError
from runner.run import experiment, pipeline
from runner.training.ledger import SearchFolder, delete_search

log = logging.getLogger("runner")


def purge(run: experiment.RunSummary) -> None:
    """Delete the trial data of every pipeline whose entry and artefacts have been read back and
    verified: all of them, before the first is deleted. A failed pipeline keeps its trial data.
    """
    unneeded = []
    for done in run.pipelines:
        if done.search is None or not done.search.folder.is_dir():
            continue
        reason = _why_it_stays(done, done.search, run)
        if reason is None:
            unneeded.append(done.search)
        else:
            log.warning("%s: trial data kept in %s: %s", done.name, done.search.folder, reason)
    if unneeded:
        freed = decimal(sum(map(delete_search, unneeded)))
        plural = "" if len(unneeded) == 1 else "s"
        log.info("purged the trial data of %d pipeline%s: %s freed", len(unneeded), plural, freed)


def _why_it_stays(
    done: pipeline.Done, search_folder: SearchFolder, run: experiment.RunSummary
) -> str | None:
    if done.entry is None or done.entry.status == "failed":
        return "the pipeline failed"
    if done.entry.validation.warning:
        return str(done.entry.validation.warning)
    if done.entry.status == "budget":
        return "a larger tuner.max_seconds continues it"
    there = len(search_folder.trial_ids())
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
