"""Reads what a Keras Tuner search leaves on disk, as plain JSON."""

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foundation import errors, files
from foundation.files import Json, JsonObject
from history import ranking
from history.records import Trial

TRIAL_ID = re.compile("[A-Za-z0-9_-]{1,64}")
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
    """One search: the whole `oracle`, its `space`, and its trials as they were started."""

    oracle: JsonObject
    space: list[Json]
    trials: list[Trial]

    def summary(self) -> JsonObject:
        """Return what an entry's section `search` says of it: space, oracle, trials, the seconds,
        None if none has any, and the bytes that its files took at most, None if that is not known.
        """
        statuses = [trial.status for trial in self.trials]
        seconds = [t.seconds for t in self.trials if isinstance(t.seconds, int | float)]
        return {
            "space": self.space,
            "oracle": {key: self.oracle[key] for key in _PARAMETERS if key in self.oracle},
            "trials": {
                "total": len(statuses),
                "completed": statuses.count("COMPLETED"),
                "failed": statuses.count("FAILED"),
            },
            "seconds": math.fsum(seconds) if seconds else None,
            "peak_bytes": self.oracle.get("peak_bytes"),
        }


def read_search(folder: Path, read: Callable[[Path], Json] = files.read_json) -> SearchRecord:
    """Read the search in `folder` (`directory/project_name`), its trials in the order they were
    started.

    Arguments: `read`, what reads a JSON file, with more care in a folder from elsewhere.
    Raises HistoryError naming the file that cannot be read.
    """
    with as_written(folder / "oracle.json", read) as oracle:
        space = oracle["hyperparameters"]["space"]
        order = oracle["start_order"]
        ids = [name for name in order if isinstance(name, str) and TRIAL_ID.fullmatch(name)]
        if order != list(dict.fromkeys(ids)) or not isinstance(space, list):
            raise ValueError("start_order must name each trial once, by a plain id")
    trials = [_trial(folder / f"trial_{id}", id, read) for id in order]
    return SearchRecord(oracle, space, trials)


def _trial(folder: Path, trial_id: str, read: Callable[[Path], Json]) -> Trial:
    path = folder / "result.json"
    result = read(path) if os.path.lexists(path) else {}
    with as_written(folder / "trial.json", read) as written:
        executions = result.get("executions") or []
        folds = [execution["metrics"] for execution in executions if "metrics" in execution]
        score = written.get("score")
        trial = Trial(
            trial_id=written["trial_id"],
            status=written["status"],
            values=written["hyperparameters"]["values"],
            score=float(score) if score is not None and math.isfinite(score) else None,
            best_epoch=written.get("best_step"),
            started=result.get("started"),
            seconds=result.get("seconds"),
            history=[execution.get("history", {}) for execution in executions],
            message=written.get("message"),
            folds=folds or None,
        )
        if (trial.trial_id, type(trial.status), type(trial.values)) != (trial_id, str, dict):
            raise ValueError("its id, status or values do not match")
    return trial


@contextmanager
def as_written(path: Path, read: Callable[[Path], Json]) -> Iterator[Json]:
    """Give what the file holds; what goes wrong with that is the file's fault."""
    try:
        yield read(path)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.HistoryError(
            f"{path} is not in Keras Tuner's format: {type(error).__name__} {error}; restore it "
            "or delete its folder"
        ) from error


def best_trial(trials: Iterable[Trial], direction: ranking.Direction) -> Trial | None:
    """Return the best of the COMPLETED trials with a finite score, the earlier of equals, or None.

    The hyperparameter values in oracle.json are never asked: they are the defaults of the space.
    """
    scored = [trial for trial in trials if trial.final_score is not None]
    return max(scored, key=lambda trial: ranking.merit(trial.score, direction), default=None)
