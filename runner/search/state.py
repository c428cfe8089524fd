"""A search on disk: Keras Tuner's own files, each written atomically, and what each trial returned.

<tuner.directory>/<project_name>/<fingerprint>/
    search.json              our marker: whose search this is; only marked folders are ever deleted
    oracle.json              the oracle's state
    trial_<id>/trial.json    the trial as Keras Tuner has it
    trial_<id>/result.json   what the execution returned: written first, so that a trial that has ended is
                             never run again, whatever else a kill leaves unwritten
    trial_<id>/checkpoint.weights.h5
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner

from history.errors import HistoryError
from history.files import read_json, sync_folder, to_json, write_atomic

log = logging.getLogger("runner")

MARKER = "search.json"
ORACLE = "oracle.json"
RESULT = "result.json"
CHECKPOINT = "checkpoint.weights.h5"


class State:
    """The files of one search."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mark(self, marker: Mapping[str, Any]) -> None:
        """Makes the folder, with its marker, unless it is there."""
        if not (self.folder / MARKER).is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self.folder / MARKER, to_json(marker, indent=True))
            sync_folder(self.folder.parent)

    def trial_folder(self, trial_id: str) -> Path:
        return self.folder / f"trial_{trial_id}"

    def checkpoint(self, trial_id: str) -> Path:
        return self.trial_folder(trial_id) / CHECKPOINT

    def save(self, oracle: Any, trial: Any) -> None:
        """Writes a trial that has just been asked for or told, then the oracle that knows of it."""
        folder = self.trial_folder(trial.trial_id)
        folder.mkdir(exist_ok=True)
        write_atomic(folder / "trial.json", _dump(trial.get_state()))
        self.save_oracle(oracle)

    def save_oracle(self, oracle: Any) -> None:
        write_atomic(self.folder / ORACLE, _dump(oracle.get_state()))

    def restore(self, oracle: Any) -> bool:
        """Brings an oracle to where the search stopped.

        Returns:
            False where there is nothing to restore or a state file cannot be used. The search then starts at its
            first trial, and the results on disk stand in for every trial that has ended.
        """
        if not (self.folder / ORACLE).is_file():
            return False
        try:
            state = read_json(self.folder / ORACLE)
            trials = {}
            for trial_id in state["start_order"]:
                content = read_json(self.trial_folder(trial_id) / "trial.json")
                if trial_id in state["ongoing_trials"].values():  # told half, perhaps: it will be told again
                    content |= {"status": "RUNNING", "metrics": {"metrics": {}}, "score": None, "message": None}
                trials[trial_id] = keras_tuner.engine.trial.Trial.from_state(content)
        except (HistoryError, OSError, KeyError, TypeError, ValueError) as error:
            log.warning("state in %s cannot be used (%s); it is rebuilt from the trials' results", self.folder, error)
            return False
        oracle.trials = trials
        oracle.set_state(state)
        return True

    def result(self, trial: Any) -> dict[str, Any] | None:
        """What a trial returned, if it has ended and was asked for with the same values."""
        path = self.trial_folder(trial.trial_id) / RESULT
        if not path.is_file():
            return None
        try:
            result = read_json(path)
            same = result["asked"] == trial.hyperparameters.values
        except (HistoryError, KeyError, TypeError) as error:
            log.warning("%s cannot be used (%s); the trial runs again", path, error)
            return None
        return result if same else None

    def keep_checkpoints(self, trial_ids: set[str]) -> None:
        """Deletes the checkpoints of all other trials."""
        for path in self.folder.glob(f"trial_*/{CHECKPOINT}"):
            if path.parent.name.removeprefix("trial_") not in trial_ids:
                path.unlink()


def _dump(content: Any) -> bytes:
    return json.dumps(content).encode()  # not to_json: Keras Tuner reads NaN and Infinity as bare words
