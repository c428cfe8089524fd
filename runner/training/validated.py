"""The results of a pipeline's refits. Nothing here needs Keras."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from foundation import files
from history import ranking
from history.records import Trial
from runner.config.schema import Objective
from runner.training.ledger import SearchFolder

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
class BestTrial:
    """The best trial, as its refits need it."""

    folder: SearchFolder
    trial_id: str
    hyperparameters: Mapping[str, object]  # Keras Tuner's config of them
    epochs: int  # up to its best one


@dataclass(frozen=True)
class Refit:
    """One refit: its row, as Entry.refits gives it, of its seed, its metrics by the parts that are
    held out, and its curves as `history`; and its artefacts.
    """

    row: files.JsonObject
    reached: float | None = None  # of the search's objective, on validation rows as they are
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_of_fold(self) -> bool:
        """Whether it measured a fold: there is what it predicts, and no model."""
        return "predicted" in self.files

    def merit(self, by: Ranking) -> float:
        """Return how good it is on the validation rows; without any, it is as good as can be."""
        if "validation" not in self.row:
            return math.inf
        return ranking.merit(self.row["validation"].get(by.metric), by.direction)


@dataclass(frozen=True)
class Validated:
    """All refits. `kept` is the number of the one whose model is stored; None: it is their mean,
    whose metrics by part `ensemble` has. `files` are the artefacts.
    """

    refits: Sequence[Refit]
    kept: int | None
    files: dict[str, Path]
    seconds: float
    ensemble: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        refits: Sequence[Refit],
        by: Ranking,
        folder: Path,
        seconds: float,
        mean: Refit | None = None,
        pooled: Mapping[str, Path] = MappingProxyType({}),
    ) -> "Validated":
        """Return the result of all refits. Kept is their mean, if there is one, else the best on
        the validation rows, the first of equals; with folds the first on all rows. Its artefacts,
        and those of the folds together, go to the folder; the others' are for the caller to delete.
        """
        merits = [refit.merit(by) for refit in refits]
        best = merits.index(max(merits))
        stored = mean or refits[best]
        artefacts = {
            name: path.replace(folder / path.name)
            for name, path in {**pooled, **stored.files}.items()
        }
        artefacts["history"] = folder / "history.json"
        artefacts["history"].write_bytes(files.to_json([refit.row for refit in refits]))
        if mean is not None:
            return cls(refits, None, artefacts, seconds, mean.row)
        return cls(refits, best, artefacts, seconds)

    @property
    def parts(self) -> list[str]:
        """The parts that are held out: validation, perhaps test."""
        return [part for part in ranking.PARTS if any(part in refit.row for refit in self.refits)]

    def summary(self, part: str) -> dict[str, Any]:
        """Return how many refits were measured on a part, and mean and sample standard deviation
        of each metric over them; no deviation of a single one.
        """
        rows = [refit.row[part] for refit in self.refits if part in refit.row]
        metrics, deviation = {}, {}
        for name in rows[0]:
            values = [row[name] for row in rows if name in row]
            if len(values) < len(rows):
                continue
            metrics[name] = statistics.fmean(values)
            if len(values) > 1:
                deviation[name] = _deviation(values)
        return {"repeats": len(rows), "metrics": metrics, "deviation": deviation}

    def doubt(self, objective: Objective, best: Trial) -> str | None:
        """Say what no noise explains: refits that are far worse than the trial that they repeat, or
        than their own training reported. None where there is nothing to say.

        Args:
            objective: of the search.
            best: the trial.
        """
        name, sense = objective.name, objective.sense
        reached = [refit.reached for refit in self.refits if refit.reached is not None]
        if not reached:
            return None
        # After its best epoch the trial may have become worse, as refits may that train for all.
        late = [value for told in best.history for value in told.get(name, [])[best.best_epoch :]]
        worst = min(late or [best.score], key=lambda value: ranking.merit(value, sense))
        noise = DEVIATIONS * _deviation(reached) if len(reached) > 1 else 0.0
        comparisons: list[tuple[Any, ...]] = [
            ("the best trial", worst, statistics.fmean(reached), FAR[sense], noise)
        ]
        for refit in self.refits:
            curve = refit.row["history"].get(name)
            if curve and refit.reached is not None:
                comparisons.append(("their own training", curve[-1], refit.reached, NEAR, 0.0))
        for where, expected, value, share, noise in comparisons:
            gap = ranking.merit(expected, sense) - ranking.merit(value, sense)
            if gap > max(noise, share * max(abs(expected), abs(value))):
                return (
                    f"{name} is {value:.5g} for the refits, but was {expected:.5g} in {where}; "
                    "what a `fit` of your own does to the rows belongs in a layer of the model; "
                    "more repeats (validation.repeats) show whether it was chance, and "
                    "validation.weights=trial keeps the trial's own model"
                )
        return None


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if np.isfinite(values).all() else math.nan
