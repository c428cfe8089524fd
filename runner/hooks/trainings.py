"""The trainings that an entry is made of, as other programs show them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from foundation import files
from history import Entry


@dataclass(frozen=True)
class Training:
    """A trial's execution, or a refit.

    Attributes: `name`, trial-0003 or refit-1, with -execution-2 where a trial has several;
    `values`, of its hyperparameters; `scores`, metric to number at its end; `history`, metric to
    its value per epoch, None where that was not finite; `began` (of a refit, which an entry does
    not say, only near) and `ended`, in seconds since 1970.
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
        return [
            (
                *(metric, epoch, value),
                self.began + (self.ended - self.began) * (epoch + 1) / len(values),
            )
            for metric, values in self.history.items()
            for epoch, value in enumerate(values)
            if value is not None
        ]


def of(entry: Entry) -> list[Training]:
    """Return the trainings of an entry, trials before refits; raises IntegrityError when they are
    not what was stored.
    """
    ended = seconds(entry.created)
    return [
        Training(
            f"trial-{trial.trial_id}" + f"-execution-{number}" * (len(trial.history) > 1),
            trial.values,
            {} if trial.score is None else {"score": trial.score},
            history,
            seconds(trial.started or entry.created),
            seconds(trial.started or entry.created) + (trial.seconds or 0),
            trial.status != "COMPLETED",
        )
        for trial in entry.trial_records()
        for number, history in enumerate(trial.history or [{}], start=1)
    ] + [
        Training(
            f"refit-{number}",
            entry.best.values,
            scores(row),
            row["history"],
            ended - row["seconds"],
            ended,
        )
        for number, row in enumerate(
            entry.refits() if "history" in entry.artefacts else [], start=1
        )
    ]


def scores(row: files.JsonObject) -> dict[str, float]:
    """Return the metrics of a refit, or the means of an entry, as validation.accuracy."""
    return {
        f"{part}.{name}": value
        for part in ("validation", "test")
        for found in [row.get(part, {})]
        for name, value in found.get("metrics", found).items()
        if value is not None
    }


def seconds(time: str) -> float:
    """Return a time of an entry in seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()
