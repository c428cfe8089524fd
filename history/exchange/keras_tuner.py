"""Imports the search in a Keras Tuner project folder as an entry.

All of it is data from elsewhere: nothing is run or unpickled, and no link is followed out of the
folder.
"""

import math
import re
import shutil
import tempfile
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

Metrics = dict[str, tuple[ranking.Direction, float]]  # direction and best value, by name


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
    """Store a search; return its entry, or none where an entry says the same already.

    Raises RegistryError where no history manager is of its task, HistoryError or OSError when it
    cannot be stored.
    """
    says: files.JsonObject = orjson.loads(files.to_json(project.document))
    del says["notes"]  # they depend on what was given with it
    if any(says.items() <= entry.document.items() for entry in history.entries()):
        return []
    with tempfile.TemporaryDirectory() as stage:  # since files are moved into an entry
        copies = {
            name: shutil.copyfile(source, Path(stage, source.name), follow_symlinks=False)
            for name, source in project.files.items()
        }
        copies["trials"] = Path(stage, "trials.json")
        copies["trials"].write_bytes(files.to_json([trial.row() for trial in project.trials]))
        return [registry.manager(says["task"], history.root).add(project.document, copies)]


def read_project(
    path: Path,
    task: str | None = None,
    objective: str | None = None,
    direction: ranking.Direction | None = None,
) -> Project:
    """Read the search in a Keras Tuner project folder.

    Arguments: `task`, for where the files do not tell it; `objective` and `direction`, which win
    over what the files tell. Raises InputError naming the file and what to do.
    """
    folder = path.resolve()
    try:
        record = oracle.read_search(folder, _json)
        scored = []
        tracked = []
        for trial in record.trials:
            score = trial.final_score
            if score is not None:
                scored.append(trial)
                tracked.append((score, _metrics(folder, trial.trial_id)))
    except errors.HistoryError as error:
        raise errors.InputError(
            f"{path} cannot be imported: {error}, or remove its trial from start_order in "
            "oracle.json"
        ) from error
    if not scored:
        raise errors.InputError(
            f"nothing to import: none of the {len(record.trials)} trials in {folder} is COMPLETED "
            f"with a score"
        )
    name, sense = _objective(folder, tracked, objective, direction)
    notes = ["Imported without a model file or validation: nothing was refitted."]
    given = {"task": task, "objective": objective, "direction": direction}
    if inferred := [word for word in given if not given[word]]:
        notes.append(f"Inferred from the metrics of its trials: {', '.join(inferred)}.")
    best = oracle.best_trial(scored, sense) or scored[0]
    place = folder / f"trial_{best.trial_id}"
    return Project(
        document={
            "experiment": folder.parent.name,
            "pipeline": folder.name,
            "task": task or _inferred_task(folder, tracked),
            "status": "complete",
            "search": {
                "tuner": next((TUNERS[key] for key in TUNERS if key in record.oracle), None),
                "objective": {"name": name, "direction": sense},
                **record.summary(),
            },
            "best": {"trial_id": best.trial_id, "score": best.score, "values": best.values},
            "origin": {"kind": "keras-tuner", "path": str(folder)},
            "notes": notes,
        },
        trials=record.trials,
        files={
            "oracle": folder / "oracle.json",
            **{name: place / file for name, file in ARTEFACTS.items() if _is_plain(place / file)},
        },
    )


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


def _metrics(folder: Path, trial_id: str) -> Metrics:
    """Return the metrics of a trial that has ended; the best value of each is, as for Keras Tuner,
    that of the means which the executions have at each step.
    """
    found: Metrics = {}
    with oracle.as_written(folder / f"trial_{trial_id}" / "trial.json", _json) as trial:
        for name, metric in trial["metrics"]["metrics"].items():
            means = (fmean(seen["value"]) for seen in metric["observations"])
            found[name] = (
                metric["direction"],
                {"min": min, "max": max}[metric["direction"]](
                    (mean for mean in means if not math.isnan(mean)), default=math.nan
                ),
            )
    return found


def _objective(
    folder: Path,
    tracked: list[tuple[float, Metrics]],
    name: str | None,
    direction: ranking.Direction | None,
) -> tuple[str, ranking.Direction]:
    """Return the objective: what is given, and the rest from the one metric whose best value is
    each trial's score; `tracked` holds the trials' scores and metrics.
    """
    known = {name: sense for _, metrics in tracked for name, (sense, _) in metrics.items()}
    followed = [
        name
        for name in known
        if all(name in seen and math.isclose(score, seen[name][1]) for score, seen in tracked)
    ]
    if name is None and len(followed) != 1:
        candidates = ", ".join(f"{name} {known[name]}" for name in followed or known)
        raise errors.InputError(
            f"the objective of {folder} is in none of its files and cannot be inferred from its "
            "trials; pass --objective NAME --direction min|max (candidates: "
            f"{candidates or 'none'})"
        )
    chosen = name or followed[0]
    if chosen not in known:
        raise errors.InputError(
            f"{folder}: {errors.unknown('metric', chosen, known)}; pass another --objective"
        )
    return chosen, direction or known[chosen]


def _inferred_task(folder: Path, tracked: list[tuple[float, Metrics]]) -> str:
    names = sorted({name.lower() for _, metrics in tracked for name in metrics})
    tasks = [task for task, pattern in TASKS.items() if any(map(pattern.search, names))]
    if len(tasks) != 1:
        raise errors.InputError(
            f"the task of {folder} cannot be inferred from its metrics "
            f"({', '.join(names) or 'none'}); pass --task"
        )
    return tasks[0]
