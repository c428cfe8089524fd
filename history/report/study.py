"""The trials of an entry as a study of Optuna's (an extra), in memory."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from foundation import files
from history import Entry
from history.records import Trial

if TYPE_CHECKING:
    import optuna

ENOUGH = 10  # completed trials, to tell which hyperparameters are important

# The hyperparameters by name, each as Keras Tuner writes it: class_name and config. There are
# several of a name that stands for other ranges under other conditions.
Space = dict[str, list[files.JsonObject]]


def space(entry: Entry) -> Space:
    """Return the space that an entry's search went through."""
    space: Space = {}
    for hyperparameter in entry.search.space:
        space.setdefault(hyperparameter["config"]["name"], []).append(hyperparameter)
    return space


def study(entry: Entry) -> "optuna.Study":
    """Return the trials of an entry, in order, with Keras Tuner's names and values.

    Each has its objective by epoch, its times and, as attributes, its id and the values that the
    tuner itself added. A range includes all values that were tried; steps, and hyperparameters that
    never vary, are left out. Raises ImportError without Optuna, IntegrityError when the trials are
    not what was stored.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = entry.trial_records()
    searched = space(entry)
    ranges = _ranges(searched, trials)
    objective = entry.search.objective
    study = optuna.create_study(
        study_name=entry.id,
        direction="maximize" if objective.direction == "max" else "minimize",
    )
    for number, trial in enumerate(trials):
        active = {}
        for name, distribution in ranges.items():
            if name in trial.values and _is_active(searched[name], trial.values):
                active[name] = distribution
        attributes = {"trial_id": trial.trial_id}
        attributes |= {n: value for n, value in trial.values.items() if n not in searched}
        curve = trial.history[0].get(objective.name, []) if trial.history else []
        started = datetime.fromisoformat(trial.started or entry.created)
        state = "FAIL" if trial.final_score is None else "COMPLETE"
        study.add_trial(
            optuna.trial.FrozenTrial(
                number=number,
                trial_id=number,
                state=optuna.trial.TrialState[state],
                value=trial.final_score,
                datetime_start=started,
                datetime_complete=started + timedelta(seconds=trial.seconds or 0),
                params={name: trial.values[name] for name in active},
                distributions=active,
                user_attrs=attributes,
                system_attrs={},
                intermediate_values={n: v for n, v in enumerate(curve) if v is not None},
            )
        )
    return study


def _ranges(
    space: Space, trials: Sequence[Trial]
) -> dict[str, "optuna.distributions.BaseDistribution"]:
    """Return the ranges of the hyperparameters that vary."""
    ranges = {}
    for name, variants in space.items():
        tried = [trial.values[name] for trial in trials if name in trial.values]
        distribution = _distribution(variants, tried)
        if not distribution.single():
            ranges[name] = distribution
    return ranges


def _is_active(variants: Sequence[files.JsonObject], values: Mapping[str, files.Json]) -> bool:
    """Say whether the conditions of any hyperparameter of this name hold."""
    for variant in variants:
        parents = [condition["config"] for condition in variant["config"].get("conditions") or []]
        if all(values.get(parent["name"]) in parent["values"] for parent in parents):
            return True
    return False


def _distribution(
    variants: Sequence[files.JsonObject], tried: Sequence[files.Json]
) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    kinds = {variant["class_name"] for variant in variants}
    configs = [variant["config"] for variant in variants]
    if not kinds <= {"Int", "Float"}:
        choices: list[files.Json] = []
        for config in configs:
            fixed = [config["value"]] if "value" in config else [False, True]
            choices += config.get("values", fixed)
        return distributions.CategoricalDistribution(list(dict.fromkeys([*choices, *tried])))
    ends = list(tried)
    for config in configs:
        ends += [config["min_value"], config["max_value"]]
    log = configs[0].get("sampling") == "log" and min(ends) > 0
    if kinds == {"Int"}:
        return distributions.IntDistribution(min(ends), max(ends), log=log)
    return distributions.FloatDistribution(min(ends), max(ends), log=log)


def importance(entry: Entry) -> dict[str, float]:
    """Return how much each hyperparameter decides which trials are the best tenth, as shares of 1,
    by Optuna's PED-ANOVA; nothing for fewer than ENOUGH trials.

    Raises as `study` does.
    """
    from optuna import importance

    if entry.search.trials.completed < ENOUGH:
        return {}
    with warnings.catch_warnings(action="ignore"):  # it is experimental
        evaluator = importance.PedAnovaImportanceEvaluator()
        return importance.get_param_importances(study(entry), evaluator=evaluator)
