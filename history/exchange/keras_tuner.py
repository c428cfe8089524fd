"""Reads what other systems left: Keras Tuner project folders, and the JSON lists of an older
history.

All of it is data from elsewhere: nothing is run or unpickled, and no link is followed out of a
folder.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from history.errors import HistoryError, InputError, unknown
from history.files import to_json
from history.oracle import SearchRecord, best_trial, read_search
from history.ranking import Direction

LARGEST = 256 * 2**20  # bytes of a JSON file
_LIST = "best_executions.json"
_IMPORTABLE = f"what can be imported: an archive made by export, a Keras Tuner project folder (it holds oracle.json), a {_LIST}"
_DIRECTIONS: dict[str, Direction] = {"min": "min", "max": "max"}
_UNUSABLE = (
    HistoryError,
    OSError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
_TASKS = {
    "classification": re.compile(
        r"(^|_)(acc|accuracy|auc|precision|recall|f1|f1score|fbeta|crossentropy)(_|$)"
    ),
    "regression": re.compile(
        r"(^|_)(mae|mse|rmse|mape|msle|r2|(absolute|squared|percentage|logarithmic)_error)(_|$)"
    ),
}
_TIMES = {
    "preparation": "pre_processing_time",
    "search": "params_search_time",
    "validation": "validation_time",
}
_HYPERBAND = ("hyperband_iterations", "max_epochs", "min_epochs", "factor")

T = TypeVar("T")
Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Found:
    """One execution found elsewhere, as a history manager's `add` takes it.

    `document`: the keys of an entry (no id, schema_version, created, artefacts). `files`: artefact
    name to an existing file to copy, or content to write. `notes`: what a reader must know, a
    sentence each; also in the document.
    """

    document: dict[str, Any]
    files: dict[str, Path | bytes]
    notes: list[str]


def read_foreign(
    path: Path,
    *,
    task: str | None = None,
    objective: str | None = None,
    direction: Direction | None = None,
) -> list[Found]:
    """Read the search in a Keras Tuner project folder, or all executions in an older history's JSON
    list.

    Arguments: `path`, the project's folder or one that holds a single project, or the list or its
    folder; `task`, for where the files do not tell it; `objective` and `direction`, which win over
    what the files tell. Returns at least one; none unless all could be read. Raises InputError
    naming the file and what to do.
    """
    try:
        place = path.resolve(strict=True)
        if project := _project_folder(place):
            found = [_project(project, task, objective, direction)]
        else:
            found = _executions(place / _LIST if place.is_dir() else place, task)
        for one in found:
            to_json(one.document)  # what JSON cannot say shows here, before anything is stored
    except _UNUSABLE as error:
        raise InputError(
            f"{path} cannot be imported: {type(error).__name__}, {error}; {_IMPORTABLE}"
        ) from error
    return found


def _project_folder(place: Path) -> Path | None:
    """The Keras Tuner project in a folder, or None where there is a list of executions instead."""
    if os.path.lexists(place / "oracle.json"):
        return place
    if not place.is_dir() or os.path.lexists(place / _LIST):
        return None
    inner = [
        folder for folder in sorted(place.iterdir()) if folder.is_dir() and not folder.is_symlink()
    ]
    projects = [folder for folder in inner if os.path.lexists(folder / "oracle.json")]
    if len(projects) == 1:
        return projects[0]
    if projects:
        raise InputError(
            f"{place} holds several projects; name one of {', '.join(map(str, projects))}"
        )
    raise InputError(f"{place} holds neither oracle.json nor {_LIST}; {_IMPORTABLE}")


def _json(path: Path, remedy: str) -> Any:
    try:
        size = path.lstat().st_size
        if not _is_plain(path):
            raise InputError(
                f"{path} is no file or lies behind a link, and is not read; put the file itself there"
            )
        if size > LARGEST:
            raise InputError(
                f"{path} has {size >> 20} MB; JSON above {LARGEST >> 20} MB is not imported"
            )
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path} as JSON ({error}); {remedy}") from error


def _is_plain(path: Path) -> bool:
    """Whether there is a file and no link leads to it, for a path below a folder that is
    resolved.
    """
    return path.is_file() and path.resolve() == path


def _field(record: object, key: str, kind: type[T], where: object) -> T:
    value = record.get(key) if isinstance(record, Mapping) else None
    if not isinstance(value, kind) or value == "":
        raise InputError(
            f"{where}: {key!r} must be a {kind.__name__}; restore it, or import something else"
        )
    return value


def _infer_task(metrics: Iterable[str], where: object, notes: list[str]) -> str:
    names = sorted({name.lower() for name in metrics})
    tasks = [task for task, pattern in _TASKS.items() if any(map(pattern.search, names))]
    if len(tasks) != 1:
        raise InputError(
            f"the metrics of {where} ({', '.join(names) or 'none'}) do not tell its task; pass --task"
        )
    notes.append(f"Task inferred from the names of its metrics: {tasks[0]}.")
    return tasks[0]


def _project(
    project: Path, task: str | None, objective: str | None, direction: Direction | None
) -> Found:
    trials, told = _checked_trials(project), _marker(project)
    scored = [trial for trial in trials if best_trial([trial], "max")]
    if not scored:
        raise InputError(
            f"nothing to import: none of the {len(trials)} trials in {project} is COMPLETED with a score"
        )
    if told["task"] and task not in (None, told["task"]):
        raise InputError(
            f"{project / 'search.json'} says that the task is {told['task']}; leave out --task {task}"
        )
    notes = [
        "It holds no trained model file and no validation: nothing was refitted.",
        "Its best values are those of the best COMPLETED trial; oracle.json has the defaults of the space.",
    ]
    if objective in (None, told["objective.name"]):
        objective, direction = (
            told["objective.name"],
            direction or _DIRECTIONS.get(told["objective.direction"] or ""),
        )
    name, sense = _objective(project, scored, objective, direction, notes)
    metrics = (metric for trial in scored for metric in _best_values(trial))
    record = read_search(project)
    best = best_trial(record.trials, sense) or {}
    document: dict[str, Any] = {
        "experiment": told["experiment"] or project.parent.name or project.name,
        "pipeline": told["pipeline"] or project.name,
        "task": told["task"] or task or _infer_task(metrics, project, notes),
        "status": "complete",
        "search": {
            "tuner": told["tuner.kind"] or _infer_tuner(record, notes),
            "objective": {"name": name, "direction": sense},
            **record.summary(),
        },
        "best": {key: best[key] for key in ("trial_id", "score", "values")},
        "origin": {"kind": "keras-tuner", "path": str(project)},
        "notes": notes,
    }
    total, *ended = document["search"]["trials"].values()
    if running := total - sum(ended):
        notes.append(f"Trials that had not ended: {running} of {total}.")
    files: dict[str, Path | bytes] = {
        "trials": to_json(record.trials),
        "oracle": project / "oracle.json",
    }
    trained = {"weights": "checkpoint.weights.h5", "build_config": "build_config.json"}
    paths = {
        artefact: project / f"trial_{best['trial_id']}" / file for artefact, file in trained.items()
    }
    files |= {artefact: path for artefact, path in paths.items() if _is_plain(path)}
    if "weights" not in files:
        notes.append(
            f"Its best trial's weights are not there, or are a link: {paths['weights'].name}."
        )
    if strays := len(list(project.glob("trial_*/trial.json"))) - len(trials):
        notes.append(f"Trial folders that oracle.json does not name are left out: {strays}.")
    return Found(document, files, notes)


def _infer_tuner(record: SearchRecord, notes: list[str]) -> str | None:
    for key, tuner in {"brackets": "hyperband", "alpha": "bayesian"}.items():
        if key in record.oracle:
            return tuner
    notes.append("Its tuner is in no file: a random search, a grid search or one of another kind.")
    return None


def _checked_trials(project: Path) -> list[dict[str, Any]]:
    """The started trials, each as its trial.json has it, once all that `read_search` opens was
    found sound.
    """
    path = project / "oracle.json"
    oracle = _json(path, "restore it")
    _field(_field(oracle, "hyperparameters", dict, path), "space", list, path)
    order = _field(oracle, "start_order", list, path)
    strange = [
        trial_id for trial_id in order if not re.fullmatch("[A-Za-z0-9_-]{1,64}", str(trial_id))
    ]
    if strange or len({*map(str, order)}) < len(order):
        raise InputError(
            f"{path}: start_order must name each trial once, by a plain id {strange[:1]}; restore it"
        )
    return [_checked_trial(project, str(trial_id)) for trial_id in order]


def _checked_trial(project: Path, trial_id: str) -> dict[str, Any]:
    path, ours = (project / f"trial_{trial_id}" / file for file in ("trial.json", "result.json"))
    remedy = f"restore it, or take {trial_id!r} out of start_order in {project / 'oracle.json'}"
    trial: dict[str, Any] = _json(path, remedy)
    if os.path.lexists(ours):
        _json(ours, "restore or delete it")
    try:
        usual = trial["trial_id"] == trial_id and isinstance(trial["status"], str)
        usual = usual and isinstance(trial["score"], int | float | None)
        usual = usual and isinstance(trial["hyperparameters"]["values"], dict)
        best_trial([trial], "max"), _best_values(trial)
    except _UNUSABLE:
        usual = False
    if not usual:
        raise InputError(f"{path} is not what Keras Tuner writes for trial {trial_id!r}; {remedy}")
    return trial


def _marker(project: Path) -> dict[str, str | None]:
    """What our own searches write beside the oracle; only None where another program's search
    is.
    """
    path = project / "search.json"
    marker = _json(path, "restore or delete it") if os.path.lexists(path) else {}
    ours = marker if isinstance(marker, dict) and "fingerprint" in marker else {}
    keys = (
        "experiment",
        "pipeline",
        "parts.task",
        "parts.tuner.kind",
        "parts.objective.name",
        "parts.objective.direction",
    )
    return {key.removeprefix("parts."): _text(ours, *key.split(".")) for key in keys}


def _text(node: object, *keys: str) -> str | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, str) and node else None


def _best_values(trial: Mapping[str, Any]) -> dict[str, float]:
    """Each metric's best value as Keras Tuner computes it: of the means that the executions have at
    each step.
    """
    best = {}
    for name, metric in trial["metrics"]["metrics"].items():
        choose = {"min": min, "max": max}[metric["direction"]]
        means = [fmean(seen["value"]) for seen in metric["observations"]]
        best[name] = choose((mean for mean in means if not math.isnan(mean)), default=math.nan)
    return best


def _objective(
    project: Path,
    scored: list[dict[str, Any]],
    name: str | None,
    direction: Direction | None,
    notes: list[str],
) -> tuple[str, Direction]:
    """The objective: what is given of it, the rest from the metric whose best value is each trial's
    score.
    """
    known: dict[str, Direction] = {
        m: way["direction"] for t in scored for m, way in t["metrics"]["metrics"].items()
    }
    values = [(trial["score"], _best_values(trial)) for trial in scored]
    options = [
        m
        for m in known
        if all(math.isclose(score, best.get(m, math.nan)) for score, best in values)
    ]
    if name is None and len(options) != 1:
        candidates = ", ".join(f"{metric} {known[metric]}" for metric in options or known)
        raise InputError(
            f"the objective of {project} is in no file, and its trials do not tell it; pass --objective NAME "
            f"--direction min|max (candidates: {candidates or 'none'})"
        )
    chosen = name or options[0]
    if chosen not in known:
        raise InputError(f"{project}: {unknown('metric', chosen, known)}; pass another --objective")
    sense = direction or known[chosen]
    if inferred := [
        word for word, given in {"objective": name, "direction": direction}.items() if not given
    ]:
        notes.append(
            f"{' and '.join(inferred).capitalize()} inferred from its trials: {chosen} {sense}; "
            f"where Keras Tuner had guessed the direction from the metric's name, it may be wrong."
        )
    if chosen not in options:
        notes.append(f"The scores of its trials are not the values of {chosen}.")
    return chosen, sense


def _executions(path: Path, task: str | None) -> list[Found]:
    items = _json(path, f"restore it; {_IMPORTABLE}")
    if not isinstance(items, list) or not items:
        raise InputError(f"{path} holds no list of executions; {_IMPORTABLE}")
    return [_execution(path, index, item, task) for index, item in enumerate(items)]


def _execution(path: Path, index: int, item: object, task: str | None) -> Found:
    where = f"{path}, item {index}"
    record = _innermost(item)
    structure = _field(record, "neural_structure", dict, where)
    notes = [
        "Its values are the defaults of the search space, not those of the best trial: see search.defaults.",
        "Its metrics are means over the epochs of one training, not comparable to those of a trained model.",
    ]
    metrics, deviation = _measured(_field(record, "history", dict, where), where, notes)
    timings = {name: _seconds(record.get(key), key, notes) for name, key in _TIMES.items()}
    files: dict[str, Path | bytes] = {"source": to_json(item)}
    model = path.parent / "models" / f"model_{index + 1}.keras"
    if _is_plain(model):
        files["model"] = model
    else:
        notes.append(f"It holds no trained model: models/{model.name} is not there, or is a link.")
    document = {
        "experiment": path.parent.name or path.stem,
        "pipeline": _field(record, "model", str, where),
        "task": task or _infer_task(metrics, where, notes),
        "status": "complete",
        "search": {
            "tuner": "hyperband" if "hyperband_iterations" in record else None,
            "space": _field(structure, "space", list, f"{where}, neural_structure"),
            "oracle": {key: record[key] for key in _HYPERBAND if key in record},
            "defaults": _field(structure, "values", dict, f"{where}, neural_structure"),
            "seconds": timings["search"],
        },
        "validation": {"metrics": metrics, "deviation": deviation, "repeats": 1, "over": "epochs"},
        "timings": timings,
        "origin": {"kind": "best-executions", "path": str(path), "index": index},
        "notes": notes,
    }
    return Found(document, files, notes)


def _innermost(item: object) -> dict[str, Any]:
    """The record in the records that an item may be wrapped in, with an outer's times where it
    lacks its own.
    """
    record: dict[str, Any] = item if isinstance(item, dict) else {}
    while isinstance(inner := record.get("history"), dict) and isinstance(
        inner.get("history"), dict
    ):
        record = inner | {key: record.get(key) for key in _TIMES.values() if inner.get(key) is None}
    return record


def _measured(history: Mapping[str, Any], where: str, notes: list[str]) -> tuple[Numbers, Numbers]:
    metrics = {
        key: _number(history, key, where, notes) for key in history if key.startswith("mean_")
    }
    if not metrics:
        raise InputError(
            f"{where}: 'history' holds no mean_<metric>; restore it, or import something else"
        )
    deviation: Numbers = {}
    for name in metrics:
        spread = f"standard_deviation_{name.removeprefix('mean_')}"
        if spread in history:
            deviation[name] = _number(history, spread, where, notes)
            if deviation[name] and deviation[name] == metrics[name]:
                del deviation[name]
                notes.append(
                    f"Its {spread} equals the mean, which was stored in its place: it is left out."
                )
    return metrics, deviation


def _number(history: Mapping[str, Any], key: str, where: str, notes: list[str]) -> float | None:
    value = history[key]
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise InputError(
            f"{where}: 'history.{key}' must be a number; restore it, or import something else"
        )
    if value is None or not math.isfinite(value):
        notes.append(f"Its {key} is no finite number.")
        return None
    return float(value)


def _seconds(text: object, key: str, notes: list[str]) -> float | None:
    match = re.fullmatch(
        r"([0-9]{1,6}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,9})?)",
        text if isinstance(text, str) else "",
    )
    if match is None:
        notes.append(f"Its {key} is no duration: {text!r:.40}.")
        return None
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
