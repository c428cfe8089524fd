"""Compares two executions of a pipeline: their numbers and stored weights, and what these were
computed from.
"""

import hashlib
import io
import itertools
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py

from foundation import errors, trees
from foundation.files import Json, JsonObject
from history import ranking
from history.records import Trial
from runner.errors import short

# A metric of a repeat is within tolerance if it differs by no more than this.
RELATIVE = 1e-2
ABSOLUTE = 1e-6
WEIGHTS = "model.weights.h5"  # in a .keras file
DEEPEST = 100  # levels of groups in it

# Keys of an identity, and what they stand for in a verdict.
CAUSES = {
    "model": "the model's settings",
    "data": "the data's rows",
    "code": "all modules of the code",
    "files": "the files of fingerprint.files",
    "environment": "packages and machine",
}


def of_trials(trials: Sequence[Trial]) -> JsonObject:
    """Return the numbers of a search in chronological order."""
    numbers = {}
    for trial in trials:
        executions = {
            f"execution {number}": _by_epoch(curves)
            for number, curves in enumerate(trial.history, start=1)
        }
        numbers[f"trial {trial.trial_id}"] = {
            "values": trial.values,
            "status": trial.status,
            **executions,
            "best_epoch": trial.best_epoch,
            "score": trial.score,
        }
    return numbers


def of_refits(refits: Sequence[JsonObject], mean: Json, model: Path) -> JsonObject:
    """Return the numbers of a validation in chronological order.

    Args:
        refits: a row for each, as in Entry.refits.
        mean: the metrics of the refits' mean, by part, if it is the stored model.
        model: the file of the stored model.

    Raises:
        IntegrityError: the model's weights cannot be read.
    """
    numbers: JsonObject = {}
    for number, row in enumerate(refits, start=1):
        metrics = {part: row.get(part) for part in ranking.PARTS}
        numbers[f"repeat {number}"] = _by_epoch(row["history"]) | metrics
    numbers["their mean"] = mean
    numbers["weights of the stored model"] = weights(model)
    return numbers


def _by_epoch(curves: Mapping[str, Sequence[float | None]]) -> JsonObject:
    return {
        f"epoch {number}": dict(zip(curves, values, strict=True))
        for number, values in enumerate(itertools.zip_longest(*curves.values()), start=1)
    }


def compare(then: JsonObject, now: JsonObject) -> tuple[str, str | None, list[str]]:
    """Compare two trees of numbers in chronological order. The repeats' metrics by part, such as
    `repeat 1` → `test` → `accuracy`, decide whether a difference is within tolerance.

    Returns:
        Whether they are identical, within tolerance or diverged; the first difference; and the
        metrics of repeats that only one tree has, which are ignored unless no other is left.
    """
    of_then = {path for path, _, _ in pairs(then, then)}
    of_now = {path for path, _, _ in pairs(now, now)}
    compared = {path[:-1] for path in of_then & of_now if path[0].startswith("repeat ")}
    differences = []
    apart = set()
    for path, old, new in pairs(then, now):
        is_in_both = path in of_then and path in of_now
        if not is_in_both and path[:-1] in compared:
            apart.add(path[-1])
        elif old != new:
            differences.append((path, old, new))
    if not differences:
        return "identical", None, sorted(apart)
    path, old, new = differences[0]
    first = f"{', '.join(path)}: {short(old)} → {short(new)}"
    for path, old, new in differences:
        if path[1] in ranking.PARTS and not is_near(old, new):
            return "diverged", first, sorted(apart)
    return "within tolerance", first, sorted(apart)


def pairs(then: Json, now: Json, *path: str) -> Iterator[tuple[tuple[str, ...], Json, Json]]:
    """Yield each path of two trees with both values; a missing value is None."""
    if not isinstance(then, Mapping) and not isinstance(now, Mapping):
        yield path, then, now
        return
    old = then if isinstance(then, Mapping) else {}
    new = now if isinstance(now, Mapping) else {}
    for name in dict.fromkeys([*old, *new]):
        yield from pairs(old.get(name), new.get(name), *path, name)


def is_near(then: Json, now: Json) -> bool:
    """Say whether a metric is within tolerance of its stored value."""
    return (
        isinstance(then, float)  # an integer may be too large for one
        and isinstance(now, float)
        and math.isclose(then, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    )


def compare_causes(
    old: JsonObject, new: JsonObject
) -> tuple[list[str], dict[str, tuple[object, object]]]:
    """Return what is the same in two identities and environments, in words, and the keys that
    differ. Keys that only one of them has, because of another release, are neither.
    """
    common_old = {key: value for key, value in old.items() if key in new}
    common_new = {key: new[key] for key in common_old}
    same = [word for key, word in CAUSES.items() if old.get(key) and old[key] == new.get(key)]
    return same, trees.differences(common_old, common_new)


def weights(path: Path) -> dict[str, str]:
    """Return the type, shape and hash of each array of a .keras file, including the optimizer's, by
    its name. The files themselves differ even if they hold the same model. No code of the model is
    loaded.

    Raises:
        IntegrityError: the file cannot be read, or does not hold its arrays as Keras stores them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(WEIGHTS).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{WEIGHTS} is compressed, which Keras does not do")
            content = archive.read(WEIGHTS)
        with h5py.File(io.BytesIO(content), "r") as file:
            hashes = {}
            for name, array in _arrays(file, len(content)).items():
                digest = hashlib.sha256(array[...]).hexdigest()
                hashes[name] = f"{array.dtype} {array.shape} {digest[:16]}"
            return hashes
    except Exception as error:  # parsers of untrusted bytes raise many
        raise errors.IntegrityError(
            f"{path} has no weights that can be compared: {error}"
        ) from error


def _arrays(file: h5py.File, most: int) -> dict[str, h5py.Dataset]:
    """Return the arrays of an untrusted file of weights by name.

    Args:
        file: of the weights.
        most: bytes that all arrays together may take, so that none repeats the bytes of another.

    Raises:
        ValueError: they are not plain numbers, or are not stored in the file itself and in full.
    """
    arrays: dict[str, h5py.Dataset] = {}

    def note(name: str, node: h5py.HLObject) -> None:
        if name.count("/") > DEEPEST:
            raise ValueError(f"{name[:60]}... is nested too deeply")
        if isinstance(node, h5py.Dataset):
            arrays[name] = node

    file.visititems(note)
    odd = [
        name
        for name, array in arrays.items()
        if array.size != 0 and (array.id.get_offset() is None or array.dtype.hasobject)
    ]
    if odd or sum(array.nbytes for array in arrays.values()) > most:
        raise ValueError(f"{', '.join(odd) or 'it all'} is not stored as Keras stores weights")
    return arrays
