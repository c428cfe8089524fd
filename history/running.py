"""What runs are at now, as far as the disk tells, without the runner, which writes this:

runs/<key>.open                           an open run's id
.locks/run-<key>.lock                     held by the process that is at it, whose name it has
runs/<run id>/stage/<pipeline>/           what waits to become an entry, its config first
trials/<project>/<fingerprint>/trial_*/   the trials that have ended
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from foundation import files
from history import config, ranking


@dataclass(frozen=True)
class Running:
    """A pipeline that a run is at, `by` which process; of its search, how many trials have ended,
    how many it may have, and the best score so far.
    """

    by: str
    doing: str = "preparation"
    pipeline: str = "-"
    experiment: str = "-"
    trials: int | None = None
    limit: int | None = None
    objective: str = ""
    best: float | None = None


def running(root: Path) -> list[Running]:
    """Return what runs are at."""
    rows = []
    for lock in sorted((root / ".locks").glob("run-[0-9a-f]*.lock")):
        with suppress(Exception):  # whatever cannot be read may have ended meanwhile
            rows += _of_run(root, lock)
    return rows


def _of_run(root: Path, lock: Path) -> list[Running]:
    by = files.holder(lock)
    with suppress(Timeout), FileLock(lock, timeout=0):
        return []  # nobody holds it
    opened = root / "runs" / f"{lock.stem.removeprefix('run-')}.open"
    run = root / "runs" / files.read_json(opened)["run_id"]
    configs = sorted(run.glob("stage/*/config.yaml"))
    return [_of_pipeline(root, path, by) for path in configs] or [Running(by)]


def _of_pipeline(root: Path, path: Path, by: str) -> Running:
    content = yaml.load(path.read_text(encoding="utf-8"), config.LOADER)
    [(name, sections)] = content["pipelines"].items()
    experiment = content["experiment"]
    doing = "refits" if (path.parent / "trials.json").exists() else "search"
    row = Running(by, doing, name, experiment)
    tuner = sections["tuner"]
    project = tuner["project_name"] or f"{experiment}-{name}".replace("/", "-")
    searches = Path(tuner["directory"] or root / "trials", project).glob("*/search.json")
    markers = sorted(searches, key=lambda marker: marker.parent.stat().st_mtime)
    if not markers:
        return row
    newest = markers[-1]
    objective = files.read_json(newest)["parts"]["objective"]
    direction = objective["direction"]
    scores = [files.read_json(trial)["score"] for trial in newest.parent.glob("trial_*/trial.json")]
    return replace(
        row,
        trials=len(scores),
        limit=tuner.get("max_trials") or tuner.get("hyperband_trials"),
        objective=objective["name"],
        best=max(scores, key=lambda score: ranking.merit(score, direction), default=None),
    )
