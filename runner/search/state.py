"""A search on disk: Keras Tuner's own files, each written atomically, and what each trial returned.

    <tuner.directory>/<project_name>/<fingerprint>/
        search.json              our marker: whose search this is; only marked folders are ever
        deleted oracle.json              the oracle's state trial_<id>/trial.json    the trial as
        Keras Tuner has it trial_<id>/result.json   what the execution returned: written first, so
        that a trial that has ended is
                                 never run again, whatever else a kill leaves unwritten
        trial_<id>/checkpoint.weights.h5

Any of them may be missing or damaged. The results suffice to rebuild the oracle, since it is
deterministic; a trial whose result is lost runs again, to the same result.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner

from history.errors import HistoryError
from history.files import make_folder, read_json, to_json, write_atomic
from runner.errors import InputError

log = logging.getLogger("runner")

MARKER = "search.json"
ORACLE = "oracle.json"
RESULT = "result.json"
CHECKPOINT = "checkpoint.weights.h5"
UNREADABLE = (HistoryError, OSError, KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True)
class Place:
    """Where a search is on disk: its folder, the fingerprint that marks it, and where its lock
    stands, which must outlive the folder: a lock file that is deleted while somebody waits for it
    locks nobody out.
    """

    folder: Path
    fingerprint: str
    locks: Path

    @property
    def lock(self) -> Path:
        return self.locks / f"{self.folder.parent.name}-{self.folder.name}.lock"


class State:
    """The files of one search."""

    def __init__(self, place: Place) -> None:
        self.folder, self.fingerprint = place.folder, place.fingerprint

    def mark(self, marker: Mapping[str, Any]) -> None:
        """Makes the folder, with its marker, unless it is there.

        Raises:
            InputError: the folder is marked as another search's.
        """
        path = self.folder / MARKER
        if path.is_file():
            try:
                owner = read_json(path)["fingerprint"]
            except UNREADABLE as error:
                log.warning("the marker %s cannot be read (%s); it is written anew", path, error)
            else:
                if owner != self.fingerprint:
                    raise InputError(
                        f"{self.folder} belongs to another search ({path}); move it away or remove it"
                    )
                return
        make_folder(self.folder)
        write_atomic(path, to_json({"fingerprint": self.fingerprint, **marker}, indent=True))

    def trial_folder(self, trial_id: str) -> Path:
        return self.folder / f"trial_{trial_id}"

    def checkpoint(self, trial_id: str) -> Path:
        return self.trial_folder(trial_id) / CHECKPOINT

    def save(self, oracle: Any, trial: Any) -> None:
        """Writes a trial that has just been asked for or told, then the oracle that knows of it."""
        folder = self.trial_folder(trial.trial_id)
        make_folder(folder)
        write_atomic(folder / "trial.json", _dump(trial.get_state()))
        self.save_oracle(oracle)

    def save_oracle(self, oracle: Any) -> None:
        write_atomic(
            self.folder / ORACLE, _dump({"search": self.fingerprint, **oracle.get_state()})
        )

    def restore(self, oracle: Any) -> bool:
        """Brings an oracle to where the search stopped.

        Returns:
            False where there is nothing to restore or a file cannot be used. The search then starts
            at its first trial, and the results on disk stand in for every trial that has ended.
        """
        if not (self.folder / ORACLE).is_file():
            if any(self.folder.glob(f"trial_*/{RESULT}")):
                log.warning(
                    "%s is missing; it is rebuilt from the trials' results", self.folder / ORACLE
                )
            return False
        try:
            state = read_json(self.folder / ORACLE)
            if state["search"] != self.fingerprint:
                raise HistoryError(f"{ORACLE} is another search's")
            ongoing = state["ongoing_trials"].values()
            oracle.trials = {
                name: self._trial(name, ongoing=name in ongoing) for name in state["start_order"]
            }
            oracle.set_state(state)
            for trial_id in oracle.end_order:
                self._read_result(oracle.trials[trial_id])
        except UNREADABLE as error:
            log.warning(
                "the state in %s cannot be used (%s); it is rebuilt from the trials' results",
                self.folder,
                error,
            )
            return False
        return True

    def _trial(self, trial_id: str, *, ongoing: bool) -> Any:
        path = self.trial_folder(trial_id) / "trial.json"
        content = read_json(path)
        if content["trial_id"] != trial_id:
            raise HistoryError(f"{path} is another trial's")
        if (
            ongoing
        ):  # perhaps it was told before the kill: the oracle does not know of it, and is told again
            content |= {
                "status": "RUNNING",
                "metrics": {"metrics": {}},
                "score": None,
                "message": None,
            }
        return keras_tuner.engine.trial.Trial.from_state(content)

    def result(self, trial: Any) -> dict[str, Any] | None:
        """What a trial returned, if it has ended and was asked for with the same values."""
        path = self.trial_folder(trial.trial_id) / RESULT
        if not path.is_file():
            return None
        try:
            return self._read_result(trial)
        except UNREADABLE as error:
            log.warning("%s cannot be used (%s); the trial runs again", path, error)
            return None

    def _read_result(self, trial: Any) -> dict[str, Any]:
        path = self.trial_folder(trial.trial_id) / RESULT
        result: dict[str, Any] = read_json(path)
        values = (
            trial.hyperparameters.values
        )  # perhaps with what the model added, when it was told before a kill
        if result["trial_id"] != trial.trial_id or not result["asked"].items() <= values.items():
            raise HistoryError(f"{path} is the result of other values")
        return result

    def keep_checkpoints(self, trial_ids: set[str]) -> None:
        """Deletes the checkpoints of all other trials."""
        for path in self.folder.glob(f"trial_*/{CHECKPOINT}"):
            if path.parent.name.removeprefix("trial_") not in trial_ids:
                path.unlink()


def _dump(content: Any) -> bytes:
    return json.dumps(
        content
    ).encode()  # not to_json: Keras Tuner reads NaN and Infinity as bare words
