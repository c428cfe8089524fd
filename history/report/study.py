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


def trials(entry: Entry) -> list[Trial]:
    """Return the trials of an entry's search; raises IntegrityError when they are not what was
    stored.
    """
    return entry.trial_records()


def space(entry: Entry) -> dict[str, list[files.JsonObject]]:
    """Return the hyperparameters by name, each as Keras Tuner writes it: class_name and config.

    There are several of a name that stands for other ranges under other conditions.
    """
    found: dict[str, list[files.JsonObject]] = {}
    for each in entry.value("search.space", []):
        found.setdefault(each["config"]["name"], []).append(each)
    return found


def study(entry: Entry) -> "optuna.Study":
    """Return the trials of an entry, in their order, by the names and values that Keras Tuner has.
    Each has its objective by epoch, its times and, as attributes, its id and what the tuner itself
    added to its values.

    A range holds all values that were tried; steps, and what never varies, are left out. Raises
    ImportError without Optuna, IntegrityError when the trials are not what was stored.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = trials(entry)
    known = space(entry)
    objective = entry.value("search.objective", {})
    ranges = {
        name: _distribution(each, [row.values[name] for row in rows if name in row.values])
        for name, each in known.items()
    }
    made = optuna.create_study(
        study_name=entry.id,
        direction="maximize" if objective.get("direction") == "max" else "minimize",
    )
    for number, row in enumerate(rows):
        values = row.values
        score = row.score if row.status == "COMPLETED" else None
        started = datetime.fromisoformat(row.started or entry.created)
        first = row.history[0] if row.history else {}
        varied = {
            name: ranges[name]
            for name, each in known.items()
            if name in values and not ranges[name].single() and _is_active(each, values)
        }
        made.add_trial(
            optuna.trial.FrozenTrial(
                number,
                optuna.trial.TrialState["FAIL" if score is None else "COMPLETE"],
                score,
                started,
                started + timedelta(seconds=row.seconds or 0),
                {name: values[name] for name in varied},
                varied,
                {"trial_id": row.trial_id, **{n: values[n] for n in values if n not in known}},
                {},
                {
                    epoch: value
                    for epoch, value in enumerate(first.get(objective.get("name"), []))
                    if value is not None
                },
                number,
            )
        )
    return made


def _is_active(same: Sequence[files.JsonObject], values: Mapping[str, files.Json]) -> bool:
    """Say whether the conditions of one of those that share a name hold."""
    return any(
        all(
            values.get(condition["config"]["name"]) in condition["config"]["values"]
            for condition in each["config"].get("conditions") or []
        )
        for each in same
    )


def _distribution(
    same: Sequence[files.JsonObject], tried: Sequence[files.Json]
) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    kinds, configs = {each["class_name"] for each in same}, [each["config"] for each in same]
    if not kinds <= {"Int", "Float"}:
        given = [value for each in configs for value in each.get("values", [each.get("value")])]
        return distributions.CategoricalDistribution(
            [False, True] if kinds == {"Boolean"} else [*dict.fromkeys([*given, *tried])]
        )
    ends = [*tried, *(each[end] for each in configs for end in ("min_value", "max_value"))]
    log = configs[0].get("sampling") == "log" and min(ends) > 0
    if kinds == {"Int"}:
        return distributions.IntDistribution(min(ends), max(ends), log=log)
    return distributions.FloatDistribution(min(ends), max(ends), log=log)


def importance(entry: Entry) -> dict[str, float]:
    """Return by how much each hyperparameter decides which of an entry's trials are the best tenth,
    in all 1: by Optuna's PED-ANOVA; nothing for fewer than ENOUGH trials.

    Raises as `study` does.
    """
    from optuna import importance

    if entry.value("search.trials.completed", 0) < ENOUGH:
        return {}
    with warnings.catch_warnings(action="ignore"):  # it is experimental
        return importance.get_param_importances(
            study(entry), evaluator=importance.PedAnovaImportanceEvaluator()
        )
