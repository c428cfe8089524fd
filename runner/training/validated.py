"""The results of a pipeline's refits. Nothing here needs Keras."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from foundation import files
from history import ranking
from history.records import Trial
from runner.config.schema import Objective
from runner.search.state import SearchFolder

# By how much of itself the objective of refits may be worse than that of the trial: a loss varies
# more than an accuracy does. By how many deviations, where there are several. And by how much it
# may be worse than their own training reported, by the same weights.
FAR = {"max": 0.3, "min": 0.7}
DEVIATIONS = 4
NEAR = 0.1


@dataclass(frozen=True)
class Ranking:
    """The validation metric that decides which repeat's model is kept."""

    metric: str
    direction: ranking.Direction


@dataclass(frozen=True)
class Best:
    """The best trial, as its refits need it."""

    place: SearchFolder  # of its search
    trial_id: str
    hyperparameters: Mapping[str, object]  # Keras Tuner's config of them
    epochs: int  # up to its best one


@dataclass(frozen=True)
class Refit:
    """One refit: its row, as Entry.refits gives it, of its seed, its metrics by the parts that are
    held out, and its curves as `history`; and its artefacts.
    """

    row: files.JsonObject
    reached: float | None  # of the search's objective, on validation rows as they are
    files: dict[str, Path]

    @property
    def is_of_fold(self) -> bool:
        """Whether it measured a fold: there is what it predicts, and no model."""
        return "predicted" in self.files


@dataclass(frozen=True)
class Validated:
    """All repeats of a refit. `files` are the artefacts of the one that is kept or, where that is
    none of them, of their mean, whose metrics by part `ensemble` has.
    """

    refits: list[files.JsonObject]
    reached: list[float | None]
    kept: int | None
    files: dict[str, Path]
    seconds: float
    ensemble: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        made: Sequence[Refit],
        by: Ranking,
        folder: Path,
        seconds: float,
        mean: Refit | None = None,
        pooled: Mapping[str, Path] = MappingProxyType({}),
    ) -> "Validated":
        """Return the result of all repeats. Kept is their mean, if there is one, else the best on
        the validation rows, the first of equals; with folds the first on all rows. Its artefacts,
        and those of the folds together, go to the folder; the others' are for the caller to delete.
        """
        merits = [
            ranking.merit(refit.row["validation"].get(by.metric), by.direction)
            if "validation" in refit.row
            else math.inf
            for refit in made
        ]
        best, rows = merits.index(max(merits)), [refit.row for refit in made]
        found = {
            name: at.replace(folder / at.name)
            for name, at in {**pooled, **(mean or made[best]).files}.items()
        }
        found["history"] = folder / "history.json"
        found["history"].write_bytes(files.to_json(rows))
        return cls(
            rows,
            [refit.reached for refit in made],
            None if mean else best,
            found,
            seconds,
            mean.row if mean else None,
        )

    @property
    def parts(self) -> list[str]:
        """The parts that are held out: validation, perhaps test."""
        return [part for part in ranking.PARTS if any(part in row for row in self.refits)]

    def summary(self, part: str) -> dict[str, Any]:
        """Return how many repeats were measured on a part, and mean and sample standard deviation
        of each metric over them; no deviation of a single one.
        """
        rows = [refit[part] for refit in self.refits if part in refit]
        columns = {
            name: [row[name] for row in rows]
            for name in rows[0]
            if all(name in row for row in rows)
        }
        return {
            "repeats": len(rows),
            "metrics": {name: statistics.fmean(values) for name, values in columns.items()},
            "deviation": {n: _deviation(v) for n, v in columns.items() if len(rows) > 1},
        }

    def doubt(self, objective: Objective, best: Trial) -> str | None:
        """Say what no noise explains: refits that are far worse than the trial that they repeat, or
        than their own training reported. None where there is nothing to say.

        Args:
            objective: of the search.
            best: the trial.
        """
        name, sense = objective.name, objective.sense
        reached = [value for value in self.reached if value is not None]
        if not reached:
            return None
        noise = DEVIATIONS * _deviation(reached) if len(reached) > 1 else 0.0
        # After its best epoch the trial may have become worse, as refits may that train for all.
        late = [v for told in best.history for v in told.get(name, [])[best.best_epoch :]]
        worst = min(late or [best.score], key=lambda value: ranking.merit(value, sense))
        pairs = [
            ("the best trial", worst, statistics.fmean(reached), FAR[sense], noise),
            *(
                ("their own training", refit["history"][name][-1], value, NEAR, 0.0)
                for refit, value in zip(self.refits, self.reached, strict=True)
                if value is not None and refit["history"].get(name)
            ),
        ]
        for who, expected, value, share, noise in pairs:
            gap = ranking.merit(expected, sense) - ranking.merit(value, sense)
            if gap > max(noise, share * max(abs(expected), abs(value))):
                return (
                    f"{name} is {value:.5g} for the refits, but was {expected:.5g} in {who}; what "
                    "a `fit` of your own does to the rows belongs in a layer of the model; more "
                    "repeats (validation.repeats) show whether it was chance, and "
                    "validation.weights=trial keeps the trial's own model"
                )
        return None


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if np.isfinite(values).all() else math.nan
