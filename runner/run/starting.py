"""What a search starts from: entries that `tuner.start_from` names become values before anything is
planned, so that these decide, and whoever repeats it needs no other entry.
"""

import logging
from dataclasses import replace

from foundation import errors
from history import Entry, catalogue, ranking, registry
from runner.config import schema
from runner.errors import ConfigError, Faults
from runner.run.pipeline import ranked_by

log = logging.getLogger("runner")

BEST = "best"


def resolved(
    experiment: schema.Experiment, run_id: str | None, sweep: str | None = None
) -> schema.Experiment:
    """Return an experiment whose searches start from values alone.

    Args:
        experiment: checked.
        run_id: of the run that goes on, if one does.
        sweep: that the run is a job of: the best entry is none of its own, nor of the run's, which
            were not there when they began.

    Raises:
        ConfigError: an entry is not there, or holds no best trial.
    """
    made, faults = dict(experiment.pipelines), Faults()
    for name, pipeline in experiment.pipelines.items():
        starts = [*getattr(pipeline.tuner, "start_from", ())]
        for number, named in enumerate(starts):
            with faults:
                if isinstance(named, str):
                    where = f"pipelines.{name}.tuner.start_from[{number}]"
                    entry = _entry(experiment, name, named, where, run_id, sweep)
                    starts[number] = entry and _values(entry, where)
                    log.info("%s: starts from %s: %s", name, named, entry.id if entry else "none")
        if starts:
            tuner = pipeline.tuner.model_copy(
                update={"start_from": [values for values in starts if values is not None]}
            )
            made[name] = pipeline.model_copy(update={"tuner": tuner})
    faults.tell(ConfigError)
    return replace(experiment, pipelines=made)


def _entry(
    experiment: schema.Experiment,
    name: str,
    named: str,
    where: str,
    run_id: str | None,
    sweep: str | None,
) -> Entry | None:
    """Return the entry that is named; None for the best where there is none."""
    if named != BEST:
        try:
            return catalogue.History(experiment.root).get(named)
        except errors.UnknownEntry as error:
            raise ConfigError(str(error), where) from error
    pipeline = experiment.pipelines[name]
    manager = registry.manager(pipeline.manager_name, experiment.root)
    ranked = ranked_by(pipeline, manager)
    others = [
        entry
        for entry in manager.entries(status="complete", experiment=experiment.name, pipeline=name)
        if entry.run_id != run_id and (sweep is None or entry.sweep != sweep)
    ]
    places = ranking.rank(others, ranked.metric, ranked.direction)
    return next((place.entry for place in places if place.mean is not None), None)


def _values(entry: Entry, where: str) -> dict[str, bool | int | float | str]:
    """Return the values of an entry's best trial, without those of Keras Tuner's own."""
    if not entry.best.trial_id:
        raise ConfigError(f"entry {entry.id} has no best trial; choose another", where)
    return {key: value for key, value in entry.best.values.items() if not key.startswith("tuner/")}
