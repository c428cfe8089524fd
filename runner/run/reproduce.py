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
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import orjson

from foundation import errors, files, trees
from foundation.secrets import redact
from history import Entry, oracle, ranking
from runner.errors import short
from runner.report import progress
from runner.run import pipeline, plan, stored
from runner.search import loop, state
from runner.training import environment
from runner.workers import executors, start, tasks

# Each metric of each repeat may differ by so much and be within tolerance.
RELATIVE, ABSOLUTE = 1e-2, 1e-6
OF_WEIGHTS = "weights of the stored model"
WEIGHTS = "model.weights.h5"  # in a .keras file
DEEPEST = 100  # levels of groups in it

# What is compared beside the numbers, by the key of an identity that stands for it.
BESIDE = {
    "model": "the model's settings",
    "data": "the data's rows",
    "code": "all modules of the code",
    "files": "the files of fingerprint.files",
    "environment": "packages and machine",
}


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    reproduces: str  # the entry's id
    compared: str  # what was
    kind: str  # identical, within tolerance or diverged
    first: str | None  # where the two differ first
    apart: list[str]  # metrics that only one of the two has: they decide nothing
    metrics: list[tuple[str, str, float | None, float | None]]  # part, name, mean stored and now
    same: list[str]  # what is as it was, of all that was compared beside the numbers
    differs: dict[str, tuple[object, object]]  # what is not: dotted key → (then, now)

    @property
    def exit_code(self) -> int:
        return 3 if self.kind == "diverged" else 0


def reproduce(task: stored.Reproduction, folder: Path) -> Verdict:
    """Rebuild data and model, refit with the stored hyperparameters and seeds, evaluate, compare.

    Args:
        task: the entry and its experiment, whose code may be imported.
        folder: for what is trained; nothing stays in it.

    Raises:
        InputError: the data is not there, or the config no longer works.
        IntegrityError: what was stored is damaged.
        ExperimentError: the training fails.
    """
    entry, experiment, now = task.entry, task.experiment, files.JsonObject()
    search, (settings,) = experiment.run.reproduce_search, experiment.pipelines.values()
    own = settings.validation.weights == "trial"
    with (
        tempfile.TemporaryDirectory(prefix="stage-", dir=folder) as stage,
        start.start(experiment.run) as workers,
        progress.shown(experiment.run, workers, entry.id, experiment.pipelines),
    ):
        place = state.SearchFolder(Path(stage, "search"), "", Path(stage))
        then, outcome = _stored(entry, workers, place, search=search, own=own)
        (planned,) = plan.plan_all(experiment, workers).values()
        if isinstance(planned, Exception):
            raise planned
        if search:
            # Beside all others; an interrupted one continues, and its trial data is deleted at its
            # end.
            fingerprint = planned.identity.search_fingerprint
            place = state.SearchFolder(
                experiment.root / "trials" / f"reproduce-{entry.id}" / fingerprint[:16],
                fingerprint,
                experiment.root / ".locks",
            )
            if entry.status == "budget":
                planned = planned.of(len([key for key in then if key.startswith("trial ")]))
            planned = replace(planned, place=place)
            outcome = pipeline.search_step(planned, {"reproduces": entry.id}, workers)
            now |= _trials(orjson.loads(files.to_json(outcome.record.trials)))
        again = pipeline.refit_step(
            planned,
            outcome,
            place,
            plan.ranked_by(planned.pipeline),
            Path(stage),
            workers,
        )
        now |= {
            **_refits(files.read_json(again.files["history"])),
            "their mean": again.ensemble,
            OF_WEIGHTS: weights(again.files["model"]),
        }
        if search:
            state.delete_search(place)
        devices = workers.submit(environment.devices, experiment.run).result()
    means = {part: again.summary(part)["metrics"] for part in again.parts}
    evaluations = {"validation": entry.validation, "test": entry.test}
    refits = f"{entry.repeats} refit{'s' * (entry.repeats != 1)}"
    return Verdict(
        entry.id,
        "every epoch and metric of "
        f"{'the best trial, which was kept' if own else refits}"
        f"{' and of their mean' if again.ensemble else ''}, the stored model's weights"
        + (
            f", and every epoch of {entry.search.trials.total} trials"
            if search
            else "; reproduce_search=true repeats the search too"
        ),
        *compare(then, now),
        [
            (part, name, entry.metric(name, part), means.get(part, {}).get(name))
            for part in ranking.PARTS
            for name in {**evaluations[part].metrics, **means.get(part, {})}
        ],
        *besides(
            {**entry.identity(), "environment": entry.environment},
            {
                **redact(planned.identity.of_pipeline),
                "environment": environment.describe(planned.run, devices),
            },
        ),
    )


def besides(
    old: files.JsonObject, new: files.JsonObject
) -> tuple[list[str], dict[str, tuple[object, object]]]:
    """Return what is the same of two identities and environments, in words, and what differs.

    Args:
        old: as stored. Of an older release, it holds less, and other things: what only one of the
            two has is neither.
        new: of now.
    """
    known = [key for key in old if key in new]
    return (
        [word for key, word in BESIDE.items() if old.get(key) and old[key] == new.get(key)],
        trees.differences({key: old[key] for key in known}, {key: new[key] for key in known}),
    )


def _stored(
    entry: Entry, workers: executors.Workers, place: state.SearchFolder, *, search: bool, own: bool
) -> tuple[files.JsonObject, loop.Outcome]:
    """Return the numbers that an entry holds, and the result of its search. It may be from
    elsewhere.

    Args:
        entry: the entry.
        workers: that read hyperparameters.
        place: where trials can be made again.
        search: the trials' numbers are wanted.
        own: the best trial's weights are.

    Raises:
        IntegrityError: that is not what a run stores.
    """
    try:
        rows = files.read_json(entry.verified("trials")) if search or own else []
        outcome = loop.Outcome(
            oracle.SearchRecord({}, entry.search.space, rows),
            {"values": {}, **(entry.document.get("best") or {})},
            {},
        )
        workers.submit(tasks.readable, outcome.hyperparameters).result()
        # checkpoints are then made again
        for row in [row for row in rows if own and oracle.TRIAL_ID.fullmatch(row["trial_id"])]:
            result = state.TrialResult(
                trial_id=row["trial_id"],
                asked=row["values"],
                hyperparameters={"space": outcome.record.space, "values": row["values"]},
                status=row["status"],
                started="",
                seconds=0.0,
            )
            place.write(state.RESULT, vars(result), row["trial_id"])
        return {
            **_trials(rows if search else []),
            **_refits(entry.refits()),
            "their mean": entry.document.get("ensemble"),
            OF_WEIGHTS: weights(entry.verified("model")),
        }, outcome
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise errors.IntegrityError(
            f"entry {entry.id} does not contain what a run stores: {type(error).__name__}: {error}"
        ) from error


def compare(then: files.JsonObject, now: files.JsonObject) -> tuple[str, str | None, list[str]]:
    """Say whether two trees of numbers are the same, where they differ first, and which metrics of
    the repeats only one of them has: these decide nothing, unless none is left.

    Args:
        then, now: what was computed, in the order of time: the repeats' metrics by part, such as
            `repeat 1` → `test` → `accuracy`, decide; all else may differ within tolerance.
    """
    places = [{place for place, *_ in pairs(tree, tree)} for tree in (then, now)]
    shared = {place[:-1] for place in places[0] & places[1] if place[0].startswith("repeat ")}
    apart = {place for place in places[0] ^ places[1] if place[:-1] in shared}
    found = [each for each in pairs(then, now) if each[1] != each[2] and each[0] not in apart]
    return (
        "identical"
        if not found
        else "within tolerance"
        if all(is_near(*values) for place, *values in found if place[1] in ranking.PARTS)
        else "diverged",
        next((f"{', '.join(at)}: {short(old)} → {short(new)}" for at, old, new in found), None),
        sorted({place[-1] for place in apart}),
    )


def pairs(
    then: files.Json, now: files.Json, *place: str
) -> Iterator[tuple[tuple[str, ...], files.Json, files.Json]]:
    """Yield each place of two trees, and both values there; what is missing on one side is None."""
    if isinstance(then, Mapping) or isinstance(now, Mapping):
        one, other = (tree if isinstance(tree, Mapping) else {} for tree in (then, now))
        for name in dict.fromkeys([*one, *other]):
            yield from pairs(one.get(name), other.get(name), *place, name)
    else:
        yield place, then, now


def is_near(then: files.Json, now: files.Json) -> bool:
    """Say whether a metric that differs is within tolerance of what it was."""
    return (
        isinstance(then, float)  # an integer may be too large for it
        and isinstance(now, float)
        and math.isclose(then, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    )


def _trials(rows: Sequence[files.JsonObject]) -> files.JsonObject:
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


def _refits(rows: Sequence[files.JsonObject]) -> files.JsonObject:
    return {
        f"repeat {number}": {
            **_by_epoch(row["history"]),
            **{part: row.get(part) for part in ranking.PARTS},
        }
        for number, row in enumerate(rows, start=1)
    }


def _by_epoch(curves: Mapping[str, Sequence[float]]) -> files.JsonObject:
    return {
        f"epoch {number}": dict(zip(curves, values, strict=True))
        for number, values in enumerate(itertools.zip_longest(*curves.values()), start=1)
    }


def weights(path: Path) -> dict[str, str]:
    """Return what each array of a .keras file is, its optimizer's included, by its name in the
    file: the bytes of two files of one model differ. No code of the model is loaded for it.

    Raises:
        IntegrityError: the file cannot be read, or does not hold its arrays as Keras stores them.
    """
    arrays: dict[str, h5py.Dataset] = {}

    def note(name: str, node: h5py.HLObject) -> None:
        if name.count("/") > DEEPEST:
            raise ValueError(f"{name[:60]}... is nested too deeply")
        if isinstance(node, h5py.Dataset):
            arrays[name] = node

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(WEIGHTS).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{WEIGHTS} is compressed, which Keras does not do")
            content = archive.read(WEIGHTS)
        with h5py.File(io.BytesIO(content), "r") as file:
            file.visititems(note)
            # Plain numbers, neither in another file nor said to be more than was written of them,
            # nor the same bytes again and again.
            odd = [
                name
                for name, array in arrays.items()
                if array.size != 0 and (array.id.get_offset() is None or array.dtype.hasobject)
            ]
            if odd or sum(array.nbytes for array in arrays.values()) > len(content):
                raise ValueError(
                    f"{', '.join(odd) or 'it all'} is not stored as Keras stores weights"
                )
            return {
                name: f"{array.dtype} {array.shape} {hashlib.sha256(array[...]).hexdigest()[:16]}"
                for name, array in arrays.items()
            }
    except Exception as error:  # a parser of foreign bytes has many
        raise errors.IntegrityError(
            f"{path} has no weights that can be compared: {error}"
        ) from error
