"""Imports the search in a Keras Tuner project folder as an entry.

All of it is data from elsewhere: nothing is run or unpickled, and no link is followed out of the
folder.
"""

import math
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import orjson

from foundation import errors, files
from history import Entry, History, oracle, ranking, registry
from history.records import Trial

LARGEST = 256 * 2**20  # bytes of a JSON file
TASKS = {
    "classification": re.compile(
        r"(^|_)(acc|accuracy|auc|precision|recall|f1|f1score|fbeta|crossentropy)(_|$)"
    ),
    "regression": re.compile(
        r"(^|_)(mae|mse|rmse|mape|msle|r2|(absolute|squared|percentage|logarithmic)_error)(_|$)"
    ),
}
TUNERS = {"brackets": "hyperband", "alpha": "bayesian"}  # a key of oracle.json → whose it is
ARTEFACTS = {"weights": "checkpoint.weights.h5", "build_config": "build_config.json"}  # of a trial

Directions = dict[str, ranking.Direction]  # of metrics, by name
Tracked = list[tuple[float, dict[str, float]]]  # of each trial with a score, that and its metrics


@dataclass(frozen=True)
class Project:
    """A search as a history manager's `add` takes it.

    `document`: the keys of an entry but those that `add` gives; its `notes` say what a reader must
    know, a sentence each. `trials`: those of the search. `files`: artefact name → file.
    """

    document: files.JsonObject
    trials: list[Trial]
    files: dict[str, Path]


def import_project(history: History, project: Project) -> list[Entry]:
    """Store a search; return its entry, or none if the history has it already.

    Raises RegistryError where no history manager is of its task, HistoryError or OSError when it
    cannot be stored.
    """
    content: files.JsonObject = orjson.loads(files.to_json(project.document))
    del content["notes"]  # they depend on the arguments of the import
    if any(content.items() <= entry.document.items() for entry in history.entries()):
        return []
    manager = registry.manager(content["task"], history.root)
    with tempfile.TemporaryDirectory() as stage:  # since files are moved into an entry
        copies = {"trials": Path(stage, "trials.json")}
        copies["trials"].write_bytes(files.to_json([trial.row() for trial in project.trials]))
        for name, source in project.files.items():
            copies[name] = Path(stage, source.name)
            shutil.copyfile(source, copies[name], follow_symlinks=False)
        return [manager.add(project.document, copies)]


def read_project(
    path: Path,
    task: str | None = None,
    objective: str | None = None,
    direction: ranking.Direction | None = None,
) -> Project:
    """Read the search in a Keras Tuner project folder.

    Arguments: `task`, where it cannot be inferred from the files; `objective` and `direction`,
    which win over those of the files. Raises InputError naming the file and what to do.
    """
    folder = path.resolve()
    tracked: Tracked = []
    directions: Directions = {}
    try:
        record = oracle.read_search(folder, _json)
        for trial in record.trials:
            if trial.final_score is not None:
                bests = _metrics(folder, trial.trial_id, directions)
                tracked.append((trial.final_score, bests))
    except errors.HistoryError as error:
        raise errors.InputError(
            f"{path} cannot be imported: {error}, or remove its trial from start_order in "
            "oracle.json"
        ) from error
    if not tracked:
        raise errors.InputError(
            f"nothing to import: none of the {len(record.trials)} trials in {folder} is COMPLETED "
            f"with a score"
        )
    name = _objective(folder, tracked, directions, objective)
    chosen_direction = direction or directions[name]
    best = oracle.best_trial(record.trials, chosen_direction)
    assert best is not None  # as there are scores
    notes = ["Imported without a model file or validation: nothing was refitted."]
    arguments = {"task": task, "objective": objective, "direction": direction}
    inferred = [name for name, value in arguments.items() if not value]
    if inferred:
        notes.append(f"Inferred from the metrics of its trials: {', '.join(inferred)}.")
    document = {
        "experiment": folder.parent.name,
        "pipeline": folder.name,
        "task": task or _inferred_task(folder, directions),
        "status": "complete",
        "search": {
            "tuner": next((TUNERS[key] for key in TUNERS if key in record.oracle), None),
            "objective": {"name": name, "direction": chosen_direction},
            **record.summary(),
        },
        "best": {"trial_id": best.trial_id, "score": best.score, "values": best.values},
        "origin": {"kind": "keras-tuner", "path": str(folder)},
        "notes": notes,
    }
    artefacts = {"oracle": folder / "oracle.json"}
    for name, file in ARTEFACTS.items():
        source = folder / f"trial_{best.trial_id}" / file
        if _is_plain(source):
            artefacts[name] = source
    return Project(document, record.trials, artefacts)


def _json(path: Path) -> files.Json:
    """Return what a JSON file of a project holds, below a folder that is resolved."""
    if not _is_plain(path) or path.stat().st_size > LARGEST:
        raise errors.HistoryError(
            f"{path}, part of every Keras Tuner project folder, is missing, behind a link, or "
            f"larger than {LARGEST >> 20} MB; restore it"
        )
    return files.read_json(path)


def _is_plain(path: Path) -> bool:
    """Say whether there is a file and no link leads to it, below a folder that is resolved."""
    return path.is_file() and path.resolve() == path


def _metrics(folder: Path, trial_id: str, directions: Directions) -> dict[str, float]:
    """Return the best value of each metric of a trial that has ended, and add their directions.

    As for Keras Tuner, it is the best of the means over the executions at each step.
    """
    metrics = {}
    with oracle.as_written(folder / f"trial_{trial_id}" / "trial.json", _json) as trial:
        for name, metric in trial["metrics"]["metrics"].items():
            directions[name] = metric["direction"]
            better = {"min": min, "max": max}[metric["direction"]]
            means = [fmean(step["value"]) for step in metric["observations"]]
            numbers = [mean for mean in means if not math.isnan(mean)]
            metrics[name] = better(numbers, default=math.nan)
    return metrics


def _objective(folder: Path, tracked: Tracked, directions: Directions, name: str | None) -> str:
    """Return the objective: the one that was named or, without a name, the one metric whose best
    value is each trial's score.
    """
    if name is None:
        followed = [metric for metric in directions if _is_score(metric, tracked)]
        if len(followed) != 1:
            candidates = [f"{metric} {directions[metric]}" for metric in followed or directions]
            raise errors.InputError(
                f"the objective of {folder} is in none of its files and cannot be inferred from "
                "its trials; pass --objective NAME --direction min|max (candidates: "
                f"{', '.join(candidates) or 'none'})"
            )
        return followed[0]
    if name not in directions:
        raise errors.InputError(
            f"{folder}: {errors.unknown('metric', name, directions)}; pass another --objective"
        )
    return name


def _is_score(name: str, tracked: Tracked) -> bool:
    """Say whether the best value of a metric is the score of each trial."""
    return all(math.isclose(score, metrics.get(name, math.nan)) for score, metrics in tracked)


def _inferred_task(folder: Path, metrics: Iterable[str]) -> str:
    names = sorted({name.lower() for name in metrics})
    tasks = [task for task, pattern in TASKS.items() if any(map(pattern.search, names))]
    if len(tasks) != 1:
        raise errors.InputError(
            f"the task of {folder} cannot be inferred from its metrics "
            f"({', '.join(names) or 'none'}); pass --task"
        )
    return tasks[0]
