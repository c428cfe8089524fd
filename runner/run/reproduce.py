"""Runs an entry again and says whether the same came out: identical, within tolerance, or diverged,
and where first.
"""

import hashlib
import io
import itertools
import math
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import orjson

from history import registry
from history.errors import IntegrityError
from history.files import Json, JsonObject, read_json, to_json
from history.ranking import PARTS
from history.trees import differences
from runner.config.secrets import redact
from runner.errors import short
from runner.run.pipeline import ranked_by, refit_step, search_step
from runner.run.plan import plan
from runner.run.stored import Reproduction
from runner.search.state import Place, delete_search
from runner.training import environment

# Each metric of each repeat may differ by so much and be within tolerance.
RELATIVE, ABSOLUTE = 1e-2, 1e-6
OF_WEIGHTS = "weights of the stored model"
WEIGHTS = "model.weights.h5"  # in a .keras file


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    reproduces: str  # the entry's id
    kind: str  # identical, within tolerance or diverged
    compared: str  # what was
    first: str | None  # where the two differ first
    metrics: list[tuple[Json, ...]]  # part, name, mean stored and now
    differs: dict[str, tuple[object, object]]  # beside the numbers: dotted key → (then, now)

    @property
    def exit_code(self) -> int:
        return 3 if self.kind == "diverged" else 0


def reproduce(task: Reproduction, folder: Path) -> Verdict:
    """Rebuild data and model, refit with the stored hyperparameters and seeds, evaluate, compare.

    Args:
        task: the entry and its experiment, whose code may be imported.
        folder: for what is trained; nothing stays in it.

    Raises:
        InputError: the data is not there, or the config no longer works.
        IntegrityError: what was stored is damaged.
        ExperimentError: the training fails.
    """
    entry, experiment = task.entry, task.experiment
    [name] = experiment.pipelines
    planned = plan(experiment, name)
    parts, of_now = entry.identity(), redact(planned.identity.of_pipeline)
    # Older entries hold less.
    differs = differences(parts, {key: of_now.get(key) for key in parts})
    machine = environment.describe(planned.run)
    differs |= differences(entry.value("environment", {}), machine, "environment")

    then, now = JsonObject(), JsonObject()
    space, values = entry.value("search.space", []), entry.value("best.values", {})
    hyperparameters: Mapping[str, object] = {"space": space, "values": values}
    repeats = f"{entry.repeats} refit{'s' if entry.repeats != 1 else ''}"
    compared = f"every epoch and metric of {repeats}, the stored model's weights"
    if experiment.run.reproduce_search:
        # Beside all others; an interrupted one continues, and its trial data is deleted at its end.
        fingerprint = planned.identity.search_fingerprint
        beside = experiment.root / "trials" / f"reproduce-{entry.id}" / fingerprint[:16]
        place = Place(beside, fingerprint, experiment.root / ".locks")
        outcome = search_step(planned, place, {"reproduces": entry.id})
        delete_search(place)
        hyperparameters = outcome.hyperparameters
        then |= _trials(read_json(entry.verified("trials")))
        now |= _trials(orjson.loads(to_json(outcome.record.trials)))
        compared += f", and every epoch of {entry.value('search.trials.total')} trials"
    else:
        compared += "; reproduce_search=true repeats the search too"
    with tempfile.TemporaryDirectory(prefix="stage-", dir=folder) as stage:
        manager = registry.manager(planned.pipeline.manager_name, experiment.root)
        ranked = ranked_by(planned.pipeline, manager)
        again = refit_step(planned, hyperparameters, ranked, Path(stage))
        then |= {**_refits(entry.refits()), OF_WEIGHTS: weights(entry.verified("model"))}
        now |= {
            **_refits(read_json(again.files["history"])),
            OF_WEIGHTS: weights(again.files["model"]),
        }
    kind, first = compare(then, now)
    old = {part: entry.value(f"{part}.metrics", {}) for part in PARTS}
    new = {part: again.summary(part)["metrics"] for part in again.parts}
    means = [(*place, before, after) for place, before, after in pairs(old, new)]
    return Verdict(entry.id, kind, compared, first, means, differs)


def compare(then: JsonObject, now: JsonObject) -> tuple[str, str | None]:
    """Say whether two trees of numbers are the same, and where they differ first.

    Args:
        then, now: what was computed, in the order of time: the repeats' metrics by part, such as
            `repeat 1` → `test` → `accuracy`, decide; all else may differ within tolerance.
    """
    found = [(place, before, after) for place, before, after in pairs(then, now) if before != after]
    if not found:
        return "identical", None
    place, before, after = found[0]
    first = f"{', '.join(place)}: {short(before)} → {short(after)}"
    near = [is_near(before, after) for place, before, after in found if place[1] in PARTS]
    return "within tolerance" if all(near) else "diverged", first


def pairs(then: Json, now: Json, *place: str) -> Iterator[tuple[tuple[str, ...], Json, Json]]:
    """Yield each place of two trees, and both values there; what is missing on one side is None."""
    if isinstance(then, Mapping) or isinstance(now, Mapping):
        one, other = then or {}, now or {}
        for name in dict.fromkeys([*one, *other]):
            yield from pairs(one.get(name), other.get(name), *place, name)
    else:
        yield place, then, now


def is_near(then: object, now: object) -> bool:
    """Say whether a metric is what it was, within tolerance."""
    if isinstance(then, int | float) and isinstance(now, int | float):
        return math.isclose(then, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return then == now


def _trials(rows: Sequence[JsonObject]) -> JsonObject:
    return {
        f"trial {row['trial_id']}": {
            "values": row["values"],
            "status": row["status"],
            **{f"execution {n}": _by_epoch(each) for n, each in enumerate(row["history"], start=1)},
            "best_epoch": row["best_epoch"],
            "score": row["score"],
        }
        for row in rows
    }


def _refits(rows: Sequence[JsonObject]) -> JsonObject:
    return {
        f"repeat {number}": {**_by_epoch(row["history"]), **{part: row.get(part) for part in PARTS}}
        for number, row in enumerate(rows, start=1)
    }


def _by_epoch(curves: Mapping[str, Sequence[float]]) -> JsonObject:
    epochs = enumerate(itertools.zip_longest(*curves.values()), start=1)
    return {f"epoch {number}": dict(zip(curves, values, strict=True)) for number, values in epochs}


def weights(path: Path) -> dict[str, str]:
    """Return what each array of a .keras file is, its optimizer's included, by its name in the
    file: the bytes of two files of one model differ. No code of the model is loaded for it.

    Raises:
        IntegrityError: the file cannot be read, or does not hold its arrays as Keras stores them.
    """
    found: dict[str, str] = {}

    def note(name: str, node: h5py.HLObject) -> None:
        if isinstance(node, h5py.Dataset):
            # Neither in another file, nor said to be larger than what was written of it.
            if node.size and node.id.get_offset() is None:
                raise ValueError(f"{name} is not stored as Keras stores weights")
            hashed = hashlib.sha256(node[...].tobytes()).hexdigest()
            found[name] = f"{node.dtype} {node.shape} {hashed[:16]}"

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(WEIGHTS).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{WEIGHTS} is compressed, which Keras does not do")
            content = archive.read(WEIGHTS)
        with h5py.File(io.BytesIO(content), "r") as file:
            file.visititems(note)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{path} holds no weights that can be compared: {error}") from error
    return found
