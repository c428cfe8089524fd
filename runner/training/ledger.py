"""A search on disk: what each trial returned, and Keras Tuner's own files, each written atomically.

    <tuner.directory>/<project_name>/<fingerprint>/
        search.json              our marker: whose search this is; only marked folders are deleted
        trial_<id>/result.json   what the trial returned: once it is there, the trial has ended
        trial_<id>/fold_<number>.json  what each of its folds returned, as soon as it had ended
        trial_<id>/checkpoint.weights.h5
        trial_<id>/trial.json    the trial as Keras Tuner has it
        trial_<id>/callbacks/<n>/  what the callbacks of its trainings have left
        trial_<id>/epoch         while it trains: how far it is
        oracle.json              the oracle as Keras Tuner has it

A search is resumed from the results alone: oracles are deterministic, so that a new one that is
told them asks for what comes next. A trial whose result is lost or damaged runs again, to the same
result. Checkpoints are deleted as soon as no trial can need them (loop.py); one that is needed and
is not as its trial's result states, by size and hash, is made again (trial.py). Keras
Tuner's files are for whoever reads such a folder; nothing here reads them. All are written by the
json module: NaN comes back as NaN, a bare word, as Keras Tuner reads it.
"""

import errno
import glob
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from foundation import errors, files
from runner.config.schema import CALLBACKS, EPOCH
from runner.errors import InputError

log = logging.getLogger("runner")

MARKER = "search.json"
ORACLE = "oracle.json"
RESULT = "result.json"
TRIAL = "trial.json"
CHECKPOINT = "checkpoint.weights.h5"
FOLD = "fold_{}.json"

SHOWN = 20  # of what a purge has kept

FileStamp = dict[str, int | str]  # of a file: bytes and sha256
Values = dict[str, int | float | str | bool]  # of hyperparameters, by name


@dataclass(frozen=True)
class Proposal:
    """A trial that an oracle asks for."""

    trial_id: str
    hyperparameters: dict[str, Any]  # Keras Tuner's config of them: space and values

    @property
    def parent(self) -> str | None:
        """The trial whose checkpoint it goes on from."""
        return self.hyperparameters["values"].get("tuner/trial_id")  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Scored:
    """What an oracle made of a trial that it was told."""

    trial: dict[str, object]  # as Keras Tuner has it
    score: float | None  # None: it failed
    needed: tuple[str, ...] = ()  # trials whose checkpoints later ones may go on from


@dataclass(frozen=True)
class Size:
    """Of a pipeline's default model, with its search space, as Keras Tuner's config; how many
    checkpoints a search keeps at once, beside those of the trials that run; and how many trials and
    epochs the tuner's own schedule has, where it has one.
    """

    parameters: int
    bytes: int
    space: Mapping[str, Any]
    kept: int = 1
    trials: int | None = None
    epochs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The results of a trial's executions."""

    status: Literal["COMPLETED", "FAILED"]
    metrics: dict[str, float] = field(default_factory=dict)  # at the best epoch, mean of executions
    best_step: int = 0  # that epoch, from 0
    message: str | None = None  # why it failed
    # it failed for want of memory, or its worker died: another start tries it again
    again: bool = False
    # for each training its seed, and its history: the value of each metric after each epoch; and of
    # folds the metrics of its best epoch
    executions: list[dict[str, Any]] = field(default_factory=list)
    # the file that it began from, and its own: size and hash, by the trial's id
    checkpoints: dict[str, FileStamp] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why it failed, in a line."""
        return (self.message or "unknown").strip().splitlines()[-1]


@dataclass(frozen=True, kw_only=True)
class TrialResult(Trained):
    """What a trial returned."""

    trial_id: str
    asked: Values  # the values that were asked for
    hyperparameters: dict[str, object]  # Keras Tuner's config of them, with what the model added
    started: str  # ISO 8601
    seconds: float

    def answers(self, proposal: Proposal, search: "SearchFolder") -> bool:
        """Say whether it stands for a trial as it is asked for now, and went on from what its
        parent has left; if not, log why. Its own checkpoint may be gone: see trial.ended.
        """
        faults = []
        if self.again:
            faults.append("it ran out of memory, or its worker died")
        if self.asked != proposal.hyperparameters["values"]:
            faults.append("its result belongs to other values")
        for name, stamp in self.checkpoints.items():
            parent = search.result(name) if name != self.trial_id else None
            if parent is not None and parent.checkpoints.get(name) != stamp:
                faults.append(f"trial {name}, which it continued, was made differently")
        if faults:
            log.warning("trial %s runs again: %s", self.trial_id, "; ".join(faults))
        return not faults


def read_marker(folder: Path) -> dict[str, object]:
    """Return what a search's marker says, at least its fingerprint; nothing where there is no
    marker or it cannot be read.
    """
    marker = files.mapping_in(folder / MARKER)
    return marker if "fingerprint" in marker else {}


def tried(folder: Path, fingerprint: str) -> Size | None:
    """Return what a search's marker says of the default model, if it was tried before the search
    for a pipeline with this fingerprint: it need not be tried again.
    """
    tried: Any = read_marker(folder).get("tried")
    return Size(**tried["size"]) if tried and tried["fingerprint"] == fingerprint else None


@dataclass(frozen=True)
class SearchFolder:
    """The folder of a search, the fingerprint that marks it, and the folder of its lock, which must
    outlive the search's.
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
        marker = read_marker(self.folder)
        if not marker:
            self.write(MARKER, {"fingerprint": self.fingerprint, **content})
        elif marker["fingerprint"] != self.fingerprint:
            raise InputError(f"{self.folder} belongs to another search; move it away")

    def trial(self, trial_id: str) -> Path:
        """Return the folder of a trial."""
        return self.folder / f"trial_{trial_id}"

    def trial_ids(self) -> list[str]:
        """Return the ids of the trials that have a folder, in their order."""
        ids = [path.name.removeprefix("trial_") for path in self.folder.glob("trial_*")]
        return sorted(filter(str.isdecimal, ids))

    def checkpoint(self, trial_id: str) -> Path:
        return self.trial(trial_id) / CHECKPOINT

    def stated(self, trial_id: str) -> FileStamp:
        """Return what a result states of a checkpoint: its size and hash; nothing where there is
        none that can be read.
        """
        with suppress(OSError):
            path = self.checkpoint(trial_id)
            return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
        return {}

    def result(self, trial_id: str) -> TrialResult | None:
        """Return what stands in a trial's folder, if it has ended."""
        path = self.trial(trial_id) / RESULT
        try:
            return TrialResult(**files.read_json(path)) if path.exists() else None
        except (errors.HistoryError, TypeError) as error:
            log.warning("%s cannot be used (%s); the trial runs again", path, error)
            return None

    def fold(self, trial_id: str, number: int, known: Mapping[str, object]) -> dict[str, Any]:
        """Return what a fold of a trial returned, if it has ended, of the same values and seed."""
        fold = files.mapping_in(self.trial(trial_id) / FOLD.format(number))
        return fold if known.items() <= fold.items() else {}

    def results(self) -> dict[str, TrialResult]:
        """Return the results of the trials that have ended, by the trial's id."""
        results = map(self.result, self.trial_ids())
        return {result.trial_id: result for result in results if result}

    def write(self, name: str, content: object, trial_id: str | None = None) -> None:
        """Write a file of the search, or of a trial, unless it is there as it is to be; what is not
        bytes as JSON. Raises OSError.
        """
        path = (self.folder if trial_id is None else self.trial(trial_id)) / name
        if not isinstance(content, bytes):
            content = json.dumps(files.clean(content)).encode()
        if not path.is_file() or path.read_bytes() != content:
            files.make_folder(path.parent)
            files.write_atomic(path, content)


def delete_search(search: SearchFolder) -> int:
    """Delete what a search wrote: its own files, by their names, and the folders that are then
    empty. Whatever else lies there is kept, and named in the log, as is a folder that cannot be
    deleted: one that is reached through a link or a mount, does not carry this search's marker, or
    is in use.

    A kill in between leaves a search that is still marked, whose lost trials would run again.

    Returns:
        The bytes freed.
    """
    folder, freed = search.folder, 0
    try:
        with files.held(search.lock, f"the search in {folder}", timeout=0):
            is_own = (
                folder.resolve() == folder
                and _is_plain(folder)
                and read_marker(folder).get("fingerprint") == search.fingerprint
            )
            if not is_own and folder.exists():
                raise errors.HistoryError("it is a link, a mount, or lacks this search's marker")
            for path in _own_files(search):
                freed += _delete(path)
    except errors.HistoryError as error:
        log.warning("trial data kept in %s: %s", folder, error)
        return 0
    if folder.exists():
        kept = sorted(str(path.relative_to(folder)) for path in islice(folder.rglob("*"), SHOWN))
        log.warning(
            "kept in %s, because no search wrote it, or it cannot be deleted: %s",
            folder,
            ", ".join(kept),
        )
    for parent in (folder.parent, folder.parent.parent):
        with suppress(OSError):  # other searches are in it
            parent.rmdir()
    return freed


def _delete(path: Path) -> int:
    """Delete a file, what a kill has left of writing it, and its folder if that is then empty;
    return the bytes freed.
    """
    freed = 0
    with suppress(OSError):  # it may not be deleted, or more is in its folder
        torn = path.parent.glob(f".{glob.escape(path.name)}.*{files.TEMPORARY}")
        for file in (*torn, path):
            if file.is_file() and not file.is_symlink():
                size = file.stat().st_size
                file.unlink()
                freed += size
        path.parent.rmdir()
    return freed


def _own_files(search: SearchFolder) -> Iterator[Path]:
    """Yield the files that a search writes in the order in which they may go: without its
    checkpoint, a trial has to run again; without its marker, the folder is nobody's.
    """
    yield search.folder / ORACLE
    for trial in map(search.trial, search.trial_ids()):
        if _is_plain(trial):
            yield trial / RESULT
            yield from trial.glob(FOLD.format("*"))
            yield trial / TRIAL
            yield trial / EPOCH
            yield from _below(trial / CALLBACKS)
            yield trial / CHECKPOINT
    yield search.folder / MARKER


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, the inner ones first; none behind a link or mount."""
    if _is_plain(folder):
        for path in folder.iterdir():
            yield from _below(path)
            yield path


def _is_plain(folder: Path) -> bool:
    """Say whether it is a folder with something in it, and no link or mount; one that is empty
    goes. How the system refuses to delete it tells even `mount --bind`, which nothing else does.
    """
    try:
        folder.rmdir()
    except OSError as error:
        return error.errno in (errno.ENOTEMPTY, errno.EEXIST)
    return False
