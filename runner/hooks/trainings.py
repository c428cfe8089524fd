"""The trainings that an entry is made of, as other programs show them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from history import Entry, ranking


@dataclass(frozen=True)
class Training:
    """A trial's execution, or a refit.

    Attributes: `name`, trial-0003 or refit-1, with -execution-2 where a trial has several;
    `values`, of its hyperparameters; `scores`, metric to number at its end; `history`, metric to
    its value per epoch, None where that was not finite; `began` and `ended`, in seconds since 1970
    (`began` of a refit is approximate, as an entry does not hold it).
    """

    name: str
    values: Mapping[str, Any]
    scores: Mapping[str, float]
    history: Mapping[str, list[float | None]]
    began: float
    ended: float
    failed: bool = False

    def points(self) -> list[tuple[str, int, float, float]]:
        """Return its history in points: a metric, an epoch, a value, and the time."""
        points = []
        for metric, values in self.history.items():
            for epoch, value in enumerate(values):
                when = self.began + (self.ended - self.began) * (epoch + 1) / len(values)
                if value is not None:
                    points.append((metric, epoch, value, when))
        return points


def of(entry: Entry) -> list[Training]:
    """Return the trainings of an entry, trials before refits; raises IntegrityError when they are
    not what was stored.
    """
    return [*_of_trials(entry), *_of_refits(entry)]


def _of_trials(entry: Entry) -> list[Training]:
    trainings = []
    for trial in entry.trial_records():
        began = seconds(trial.started or entry.created)
        executions = trial.history or [{}]
        for number, history in enumerate(executions, start=1):
            name = f"trial-{trial.trial_id}"
            if len(executions) > 1:
                name = f"{name}-execution-{number}"
            training = Training(
                name=name,
                values=trial.values,
                scores={} if trial.score is None else {"score": trial.score},
                history=history,
                began=began,
                ended=began + (trial.seconds or 0),
                failed=trial.status != "COMPLETED",
            )
            trainings.append(training)
    return trainings


def _of_refits(entry: Entry) -> list[Training]:
    if "history" not in entry.artefacts:
        return []
    trainings = []
    ended = seconds(entry.created)
    for number, refit in enumerate(entry.refits(), start=1):
        training = Training(
            name=f"refit-{number}",
            values=entry.best.values,
            scores=scores({part: refit.get(part, {}) for part in ranking.PARTS}),
            history=refit["history"],
            began=ended - refit["seconds"],
            ended=ended,
        )
        trainings.append(training)
    return trainings


def scores(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    """Return the metrics of each part of the rows by names such as validation.accuracy."""
    scores = {}
    for part, values in metrics.items():
        for name, value in values.items():
            if value is not None:
                scores[f"{part}.{name}"] = value
    return scores


def seconds(time: str) -> float:
    """Return a time of an entry in seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()
