"""What runs are at now, as far as the disk tells, without the runner, which writes this:

runs/<key>.open                           an open run's id
.locks/run-<key>.lock                     held by the process that is at it, whose name it has
runs/<run id>/stage/<pipeline>/           what waits to become an entry, its config first
trials/<project>/<fingerprint>/trial_*/   the trials that have ended
"""

from contextlib import suppress
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from foundation import files
from history import config, ranking


def running(root: Path) -> list[files.JsonObject]:
    """Return a row for each pipeline that a run is at: `pipeline`, `experiment`, `doing`; of its
    search the number of `trials` and the `limit`, the `objective` and the `best` score; and `by`
    whom.
    """
    found: list[files.JsonObject] = []
    for lock in sorted((root / ".locks").glob("run-[0-9a-f]*.lock")):
        with suppress(Exception):  # whatever cannot be read may have ended meanwhile
            by, opened = files.holder(lock), f"{lock.stem.removeprefix('run-')}.open"
            with suppress(Timeout), FileLock(lock, timeout=0):
                continue  # nobody holds it
            run = root / "runs" / files.read_json(root / "runs" / opened)["run_id"]
            rows = [_pipeline(root, path) for path in sorted(run.glob("stage/*/config.yaml"))]
            found += [{**row, "by": by} for row in rows or [{"doing": "preparation"}]]
    return found


def _pipeline(root: Path, path: Path) -> files.JsonObject:
    content = yaml.load(path.read_text(encoding="utf-8"), config.LOADER)
    ((name, sections),) = content["pipelines"].items()
    tuner, experiment = sections["tuner"], content["experiment"]
    searches = Path(
        tuner["directory"] or root / "trials",
        tuner["project_name"] or f"{experiment}-{name}".replace("/", "-"),
    ).glob("*/search.json")
    row = {
        "pipeline": name,
        "experiment": experiment,
        "doing": "refits" if (path.parent / "trials.json").exists() else "search",
    }
    for marker in sorted(searches, key=lambda marker: marker.parent.stat().st_mtime)[-1:]:
        objective = files.read_json(marker)["parts"]["objective"]
        trials = [files.read_json(trial) for trial in marker.parent.glob("trial_*/trial.json")]
        merits = [ranking.merit(trial["score"], objective["direction"]) for trial in trials]
        row |= {
            "trials": len(trials),
            "limit": tuner.get("max_trials") or tuner.get("hyperband_trials"),
            "objective": objective["name"],
            "best": trials[merits.index(max(merits))]["score"] if trials else None,
        }
    return row
