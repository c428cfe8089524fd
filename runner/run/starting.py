"""Replaces the entries that `tuner.start_from` names by their best values before anything is
planned. Only these values count for identities, and a reproduction needs no other entry.
"""

import logging
from dataclasses import replace

from history import Entry, catalogue, ranking, registry
from runner.config import schema
from runner.errors import ConfigError, InputError, Problem
from runner.run.plan import ranked_by

log = logging.getLogger("runner")

BEST = "best"


def resolved(
    experiment: schema.Experiment, run_id: str | None, sweep: str | None = None
) -> schema.Experiment:
    """Return an experiment whose searches start from values alone. The best entry of a pipeline is
    never one of the same run or sweep, because it did not exist when that began.

    Args:
        experiment: the checked config.
        run_id: the run that is continued, if any.
        sweep: the sweep that the run is a job of, if any.

    Raises:
        ConfigError: an entry does not exist, or has no best trial.
    """
    pipelines = dict(experiment.pipelines)
    problems = []
    for name, pipeline in experiment.pipelines.items():
        starts = getattr(pipeline.tuner, "start_from", [])
        resolved_starts = []
        for number, start in enumerate(starts):
            try:
                if isinstance(start, str):
                    entry = _entry(experiment, name, start, run_id, sweep)
                    start = entry and _values(entry)
            except InputError as error:
                where = f"pipelines.{name}.tuner.start_from[{number}]"
                problems.append(Problem(where, str(error)))
            if start is not None:
                resolved_starts.append(start)
        if starts:
            tuner = pipeline.tuner.model_copy(update={"start_from": resolved_starts})
            pipelines[name] = pipeline.model_copy(update={"tuner": tuner})
    if problems:
        raise ConfigError(problems)
    return replace(experiment, pipelines=pipelines)


def _entry(
    experiment: schema.Experiment,
    name: str,
    reference: str,
    run_id: str | None,
    sweep: str | None,
) -> Entry | None:
    """Return the entry that a reference names; None if it is `best`, and there is none yet."""
    entry = None
    if reference != BEST:
        entry = catalogue.History(experiment.root).get(reference)
    else:
        pipeline = experiment.pipelines[name]
        manager = registry.manager(pipeline.manager_name, experiment.root)
        stored = manager.entries(status="complete", experiment=experiment.name, pipeline=name)
        earlier = [entry for entry in stored if entry.run_id != run_id and entry.sweep != sweep]
        by = ranked_by(pipeline)
        best_first = ranking.rank(earlier, by.metric, by.direction)
        if best_first and best_first[0].mean is not None:
            entry = best_first[0].entry
    log.info("%s: starts from %s: %s", name, reference, entry.id if entry else "none")
    return entry


def _values(entry: Entry) -> dict[str, bool | int | float | str]:
    """Return the values of an entry's best trial, without Keras Tuner's own."""
    if not entry.best.trial_id:
        raise InputError(f"entry {entry.id} has no best trial; choose another")
    return {key: value for key, value in entry.best.values.items() if not key.startswith("tuner/")}
