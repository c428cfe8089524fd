"""Reads what a Keras Tuner search leaves on disk, as plain JSON."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from history.errors import HistoryError
from history.files import read_json
from history.ranking import Direction

_PARAMETERS = (
    "hyperband_iterations",
    "max_epochs",
    "min_epochs",
    "factor",
    "num_initial_points",
    "alpha",
    "beta",
)


@dataclass(frozen=True)
class SearchRecord:
    """One search: the whole `oracle`, its `space`, the tuner's `parameters`, and a row per trial.

    A trial has trial_id, status, score (None unless finite), values, best_epoch (0-based; within
    `tuner/initial_epoch` for Hyperband), started (ISO 8601), seconds, history (for each execution:
    metric to its value per epoch) and message.
    """

    oracle: dict[str, Any]
    space: list[Any]
    parameters: dict[str, Any]
    trials: list[dict[str, Any]]

    def summary(self) -> dict[str, Any]:
        """What an entry's section `search` says of it: space, oracle, trials, and the seconds, None
        if none has any.
        """
        statuses = [row["status"] for row in self.trials]
        counts = {
            "total": len(statuses),
            "completed": statuses.count("COMPLETED"),
            "failed": statuses.count("FAILED"),
        }
        known = [row["seconds"] for row in self.trials if isinstance(row["seconds"], int | float)]
        seconds = math.fsum(known) if known else None
        return {
            "space": self.space,
            "oracle": self.parameters,
            "trials": counts,
            "seconds": seconds,
        }


def read_search(folder: Path) -> SearchRecord:
    """Read the search in `folder` (`directory/project_name`), its trials in the order they were
    started.

    Raises HistoryError naming the file that cannot be read.
    """
    oracle = read_json(folder / "oracle.json")
    try:
        return SearchRecord(
            oracle=oracle,
            space=oracle["hyperparameters"]["space"],
            parameters={key: oracle[key] for key in _PARAMETERS if key in oracle},
            trials=[_trial(folder / f"trial_{trial_id}") for trial_id in oracle["start_order"]],
        )
    except (KeyError, TypeError) as error:
        raise HistoryError(
            f"{folder} does not hold what Keras Tuner writes: {type(error).__name__} {error} in oracle.json "
            f"or a trial.json; restore the folder or delete it"
        ) from error


def _trial(folder: Path) -> dict[str, Any]:
    trial = read_json(folder / "trial.json")
    ours = folder / "result.json"
    result = read_json(ours) if ours.exists() else {}
    return {
        "trial_id": trial["trial_id"],
        "status": trial["status"],
        "score": _score(trial),
        "values": trial["hyperparameters"]["values"],
        "best_epoch": trial.get("best_step"),
        "started": result.get("started"),
        "seconds": result.get("seconds"),
        "history": [execution.get("history", {}) for execution in result.get("executions") or []],
        "message": trial.get("message"),
    }


def best_trial(trials: Iterable[Mapping[str, Any]], direction: Direction) -> dict[str, Any] | None:
    """Return the best of the COMPLETED trials with a finite score, the earlier of equals, or None.

    The hyperparameter values in oracle.json are never asked: they are the defaults of the space.
    """
    scored = [
        dict(trial)
        for trial in trials
        if trial["status"] == "COMPLETED" and _score(trial) is not None
    ]
    choose = max if direction == "max" else min
    return choose(scored, key=lambda trial: float(trial["score"]), default=None)


def _score(trial: Mapping[str, Any]) -> float | None:
    score = trial.get("score")
    return score if isinstance(score, int | float) and math.isfinite(score) else None
