"""Runs an entry again and says whether the same came out: identical, within tolerance, or diverged,
and where first.
"""

import functools
import io
import logging
import math
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rich.console import Group
from rich.text import Text

from history import registry
from history.entry import Entry
from history.files import read_json
from history.store import open_store
from history.view.compare import differences
from history.view.text import number, printable, text_table
from runner.config.secrets import redact
from runner.data.dataset import Array
from runner.errors import short
from runner.hooks.purge import delete_search
from runner.run.pipeline import say_refit, say_trial
from runner.run.plan import Plan, plan
from runner.run.stored import Reproduction
from runner.search.loop import Outcome, search
from runner.search.state import Place
from runner.training import environment
from runner.training.build import bench
from runner.training.refit import Ranking, Validated, validate

log = logging.getLogger("runner")

RELATIVE, ABSOLUTE = (
    1e-2,
    1e-6,
)  # each metric of each repeat may differ by so much and be within tolerance


@dataclass
class Verdict:
    """What came of it: `kind` is identical, within tolerance or diverged; `first`, where the two
    differ first; `metrics`, (part, metric, stored, now) of the means; `differs`, what else does:
    dotted key → (then, now).
    """

    kind: str
    first: str | None
    metrics: list[tuple[str, str, Any, Any]] = field(default_factory=list)
    differs: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return 3 if self.kind == "diverged" else 0


def reproduce(task: Reproduction, folder: Path) -> Verdict:
    """Rebuilds data and model, refits with the stored hyperparameters and seeds, evaluates and
    compares.

    Args:
        task: the entry and its experiment, whose code may be imported.
        folder: for what is trained; nothing stays in it.

    Raises:
        InputError: the data is not there, or the config no longer works.
        ExperimentError: the training fails.
    """
    experiment, name, entry = task.experiment, task.pipeline, task.entry
    pipeline = experiment.pipelines[name]
    planned = plan(experiment, name)
    differs = _surroundings(task, planned)
    for key, (then, now) in differs.items():
        if key.startswith(("data.", "sources.")):
            log.warning("%s: %s was %s, and is now %s", name, key, then, now)
    found: list[str | None] = []
    hyperparameters = {
        "space": entry.value("search.space", []),
        "values": entry.value("best.values", {}),
    }
    if task.search:
        outcome = _search_again(task, planned)
        found.append(_first_of_trials(read_json(entry.verified("trials")), outcome.record.trials))
        hyperparameters = outcome.hyperparameters
    manager = registry.manager(
        pipeline.manager_name, experiment.root, open_store("tinydb", experiment.root)
    )
    metric = pipeline.task.rank_by or manager.ranking
    stage = folder / "stage"
    stage.mkdir(parents=True, exist_ok=True)
    try:
        ranking = Ranking(metric, manager.metrics[metric])
        notify = functools.partial(say_refit, name, metric, task.run.progress)
        validated = validate(
            task.run, pipeline, bench(pipeline)[0], hyperparameters, ranking, stage, notify
        )
        found += [
            _first_of_refits(entry, validated),
            _weights(entry.verified("model"), validated.files["model"]),
        ]
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    first = next((where for where in found if where is not None), None)
    kind = (
        "identical"
        if first is None
        else "within tolerance"
        if _is_near(entry, validated)
        else "diverged"
    )
    return Verdict(kind, first, _means(entry, validated), differs)


def page(task: Reproduction, verdict: Verdict) -> Group:
    """The verdict as a run shows it."""
    rows = [
        (part, name, *map(number, (then, now, _gap(then, now))))
        for part, name, then, now in verdict.metrics
    ]
    lines = [Text(f"{task.entry.id}: {verdict.kind}", style="bold"), Text(_what_was_compared(task))]
    if verdict.first:
        lines.append(Text(printable(f"first difference: {verdict.first}")))
    what = (
        "what differs from then"
        if verdict.differs
        else "environment, data and code are those of then"
    )
    lines.append(Text(what))
    lines += [
        Text(printable(f"  {key}: {short(a)} → {short(b)}"))
        for key, (a, b) in verdict.differs.items()
    ]
    return Group(text_table(("part", "metric", "stored", "now", "difference"), rows), *lines)


def _what_was_compared(task: Reproduction) -> str:
    refits = f"every epoch and metric of {task.entry.repeats} refit{'s'[task.entry.repeats == 1 :]}"
    told = f"compared: {refits}, the stored model's weights"
    if task.search:
        return f"{told}, and every epoch of {task.entry.value('search.trials.total')} trials"
    return f"{told}; reproduce_search=true repeats the search too"


def _surroundings(task: Reproduction, planned: Plan) -> dict[str, tuple[Any, Any]]:
    """What differs from then beside the numbers: the config, data, source files, versions, the
    machine.
    """
    then = task.entry.identity()
    now = {
        key: value for key, value in redact(planned.identity).items() if key in then
    }  # older entries hold less
    found = differences({key: then[key] for key in now}, now)
    return found | differences(
        dict(task.entry.value("environment", {})), environment.describe(task.run), "environment"
    )


def _search_again(task: Reproduction, planned: Plan) -> Outcome:
    """The whole search, beside all others; an interrupted one goes on, and its trial data is
    deleted at its end.
    """
    name, root = task.pipeline, task.experiment.root
    place = Place(
        root / "trials" / f"reproduce-{task.entry.id}" / planned.place.folder.name[:16],
        planned.place.fingerprint,
        root / ".locks",
    )
    marker = {"experiment": task.experiment.name, "pipeline": name, "reproduces": task.entry.id}
    pipeline = task.experiment.pipelines[name]
    notify = functools.partial(say_trial, name, pipeline.objective.name, task.run.progress)
    outcome = search(task.run, pipeline, place, marker, notify)
    delete_search(place)
    return outcome


def _first_of_trials(
    stored: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> str | None:
    for old, new in zip(stored, now, strict=False):
        where = f"trial {old['trial_id']}"
        for key in ("trial_id", "values", "status"):
            if not _same(old.get(key), new.get(key)):
                return f"{where}, {key}: {short(old.get(key))} → {short(new.get(key))}"
        for execution, (then, found) in enumerate(
            zip(old["history"], new["history"], strict=False), start=1
        ):
            if different := _first_of_curves(then, found):
                return f"{where}, execution {execution}, {different}"
        for key in ("best_epoch", "score"):
            if not _same(old.get(key), new.get(key)):
                return f"{where}, {key}: {short(old.get(key))} → {short(new.get(key))}"
    if len(stored) != len(now):
        return f"the number of trials: {len(stored)} → {len(now)}"
    return None


def _first_of_refits(entry: Entry, validated: Validated) -> str | None:
    """Where the repeats differ first: repeat, epoch and metric of the training; then of the
    evaluation.
    """
    stored, refits = entry.refits(), read_json(validated.files["history"])
    for repeat, (old, new) in enumerate(zip(stored, refits, strict=False), start=1):
        if different := _first_of_curves(old["history"], new["history"]):
            return f"repeat {repeat}, {different}"
        for part, metric, then, now in _by_part(old, new):
            if not _same(then, now):
                return f"repeat {repeat}, {part} {metric}: {short(then)} → {short(now)}"
    if len(stored) != len(refits):
        return f"the number of repeats: {len(stored)} → {len(refits)}"
    return None


def _first_of_curves(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Where the metrics of a training differ first, epoch by epoch."""
    for epoch in range(max((len(values) for values in (*old.values(), *new.values())), default=0)):
        for name in dict.fromkeys([*old, *new]):
            then, now = (curves.get(name, [])[epoch : epoch + 1] for curves in (old, new))
            if not _same(then, now):
                return (
                    f"epoch {epoch + 1}, {name}: {short(*then or [None])} → {short(*now or [None])}"
                )
    return None


def _by_part(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    for part in ("validation", "test"):
        stored, found = old.get(part, {}), new.get(part, {})
        for metric in dict.fromkeys([*stored, *found]):
            yield part, metric, stored.get(metric), found.get(metric)


def _is_near(entry: Entry, validated: Validated) -> bool:
    """Whether every metric of every repeat is within tolerance."""
    stored = entry.refits()
    if len(stored) != len(validated.runs):
        return False
    pairs = [
        (a, b)
        for old, new in zip(stored, validated.runs, strict=True)
        for _, _, a, b in _by_part(old, new)
    ]
    return all(
        _same(a, b) or (_gap(a, b) or math.inf) <= max(RELATIVE * abs(a), ABSOLUTE)
        for a, b in pairs
    )


def _weights(stored: Path, now: Path) -> str | None:
    """Compares arrays: the bytes of two files of one model differ."""
    old, new = _arrays(stored), _arrays(now)
    for name in dict.fromkeys([*old, *new]):
        if name not in old or name not in new:
            return f"weights of the stored model: {name} is in one model only"
        if old[name].shape != new[name].shape or old[name].tobytes() != new[name].tobytes():
            return f"weights of the stored model: {name}"
    return None


def _arrays(path: Path) -> dict[str, Array]:
    """Every array in a .keras file, its optimizer's included, by name; no code of the model is
    loaded for it.
    """
    found: dict[str, Array] = {}

    def keep(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = np.asarray(node[()])

    with (
        zipfile.ZipFile(path) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file,
    ):
        file.visititems(keep)
    return found


def _means(entry: Entry, validated: Validated) -> list[tuple[str, str, Any, Any]]:
    rows: list[tuple[str, str, Any, Any]] = []
    for part in ("validation", "test"):
        stored = entry.value(f"{part}.metrics", {})
        now = validated.summary(part)["metrics"] if part in validated.runs[0] else {}
        rows += [
            (part, name, stored.get(name), now.get(name)) for name in dict.fromkeys([*stored, *now])
        ]
    return rows


def _same(then: Any, now: Any) -> bool:
    return bool(_nan_is_none(then) == _nan_is_none(now))


def _nan_is_none(value: Any) -> Any:
    """A value as strict JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _nan_is_none(item) for key, item in value.items()}
    return [_nan_is_none(item) for item in value] if isinstance(value, (list, tuple)) else value


def _gap(then: Any, now: Any) -> float | None:
    if isinstance(then, (int, float)) and isinstance(now, (int, float)):
        return abs(now - then)
    return None
