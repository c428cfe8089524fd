"""A search on disk: what each trial returned, and Keras Tuner's own files, each written atomically.

    <tuner.directory>/<project_name>/<fingerprint>/
        search.json              our marker: whose search this is; only marked folders are deleted
        trial_<id>/result.json   what the trial returned: once it is there, the trial has ended
        trial_<id>/checkpoint.weights.h5
        trial_<id>/trial.json    the trial as Keras Tuner has it
        oracle.json              the oracle as Keras Tuner has it

A search is resumed from the results alone: oracles are deterministic, so that a new one that is
told them asks for what comes next. A trial whose result is lost or damaged runs again, to the same
result. Keras Tuner's files are for whoever reads such a folder; nothing here reads them. All are
written by the json module: NaN comes back as NaN, a bare word, as Keras Tuner reads it.
"""

import contextlib
import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from history.errors import HistoryError
from history.files import TEMPORARY, held, make_folder, read_json, to_json, write_atomic
from runner.errors import InputError, short

if TYPE_CHECKING:
    import keras_tuner

log = logging.getLogger("runner")

MARKER = "search.json"
ORACLE = "oracle.json"
RESULT = "result.json"
TRIAL = "trial.json"
CHECKPOINT = "checkpoint.weights.h5"

Values = dict[str, int | float | str | bool]  # of hyperparameters, by name


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a trial's executions came to."""

    status: Literal["COMPLETED", "FAILED"]
    metrics: dict[str, float] = field(default_factory=dict)  # at the best epoch, mean of executions
    best_step: int = 0  # that epoch, from 0
    message: str | None = None  # why it failed
    # for each training its seed, and its history: the value of each metric after each epoch
    executions: list[dict[str, object]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class TrialResult(Trained):
    """What a trial returned."""

    trial_id: str
    asked: Values  # the values that were asked for
    hyperparameters: dict[str, object]  # Keras Tuner's config of them, with what the model added
    started: str  # ISO 8601
    seconds: float

    def answers(self, trial: "keras_tuner.engine.trial.Trial") -> bool:
        """Say whether it is the result of a trial as it is asked for now; if not, log that."""
        same = (self.trial_id, self.asked) == (trial.trial_id, trial.hyperparameters.values)
        if not same:
            what = "the result of trial %s is one of other values; the trial runs again"
            log.warning(what, trial.trial_id)
        return same

    def write(self, folder: Path) -> None:
        """Write it to the trial's folder; raises OSError."""
        make_folder(folder)
        write_atomic(folder / RESULT, json.dumps(dataclasses.asdict(self)).encode())


def read_marker(folder: Path) -> dict[str, object] | None:
    """Return what a search's marker says, at least its fingerprint; None where there is no marker
    or it cannot be read.
    """
    with contextlib.suppress(HistoryError):
        marker = read_json(folder / MARKER)
        return marker if isinstance(marker, dict) and "fingerprint" in marker else None
    return None


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

    def mark(self, content: Mapping[str, object]) -> None:
        """Make the folder, with its marker, unless it is there.

        Raises:
            InputError: the folder is marked as another search's.
        """
        path, found = self.folder / MARKER, read_marker(self.folder)
        if found is None:
            make_folder(self.folder)
            write_atomic(path, to_json({"fingerprint": self.fingerprint, **content}, indent=True))
        elif found["fingerprint"] != self.fingerprint:
            raise InputError(f"{self.folder} belongs to another search ({path}); move it away")

    def trial(self, trial_id: str) -> Path:
        """Return the folder of a trial."""
        return self.folder / f"trial_{trial_id}"

    def checkpoint(self, trial_id: str) -> Path:
        return self.trial(trial_id) / CHECKPOINT

    def results(self) -> dict[str, TrialResult]:
        """Return what stands in the folders of trials that have ended, by the trial's id."""
        found = {}
        for path in sorted(self.folder.glob(f"trial_*/{RESULT}")):
            try:
                found[path.parent.name.removeprefix("trial_")] = TrialResult(**read_json(path))
            except (HistoryError, TypeError) as error:
                log.warning("%s cannot be used (%s); the trial runs again", path, error)
        return found

    def save_trial(self, trial: "keras_tuner.engine.trial.Trial") -> None:
        """Write a trial that has been told, unless it is there."""
        path, content = self.trial(trial.trial_id) / TRIAL, json.dumps(trial.get_state()).encode()
        if not path.is_file() or path.read_bytes() != content:
            write_atomic(path, content)

    def save_oracle(self, oracle: "keras_tuner.Oracle") -> None:
        """Write an oracle, for whoever reads the folder."""
        state = json.dumps({"search": self.fingerprint, **oracle.get_state()})
        write_atomic(self.folder / ORACLE, state.encode())


def delete_search(place: Place) -> int:
    """Delete what a search wrote: its own files, by their names, and the folders that are then
    empty. Whatever else lies there is kept, and named in the log, as is a folder that cannot be
    deleted: one that is reached through a link, does not carry this search's marker, or is in use.

    A kill in between leaves a search that is still marked, whose lost trials would run again.

    Returns:
        The bytes freed.
    """
    folder, freed = place.folder, 0
    try:
        with held(place.lock, f"the search in {folder}", timeout=0):
            marker = read_marker(folder) or {"fingerprint": None}
            is_mine = marker["fingerprint"] == place.fingerprint and folder.resolve() == folder
            if not is_mine and any(folder.glob("*")):
                raise HistoryError("it is reached by a link, or lacks this search's marker")
            for path in _own_files(folder):
                for found in (*path.parent.glob(f".{path.name}.*{TEMPORARY}"), path):
                    if found.is_file() and found.resolve() == found:
                        freed += found.stat().st_size
                        found.unlink()
                with contextlib.suppress(OSError):  # something else is in it
                    path.parent.rmdir()
    except HistoryError as error:
        log.warning("trial data kept in %s: %s", folder, error)
        return 0
    if folder.exists():
        others = ", ".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
        log.warning("kept in %s, because no search wrote it: %s", folder, short(others))
    for parent in (folder.parent, folder.parent.parent):
        with contextlib.suppress(OSError):  # other searches are in it
            parent.rmdir()
    return freed


def _own_files(folder: Path) -> Iterator[Path]:
    """Yield the files that a search writes in the order in which they may go: without its
    checkpoint, a trial has to run again; without its marker, the folder is nobody's.
    """
    yield folder / ORACLE
    for trial in sorted(folder.glob("trial_*")):
        yield from (trial / RESULT, trial / TRIAL, trial / CHECKPOINT)
    yield folder / MARKER
