"""The outcome of a sweep: its jobs, its configurations over their seeds, and the best of them."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from foundation import files
from foundation.files import JsonObject
from history import ranking

RESULT = "result.json"  # of a job, beside its output, and of the sweep
LOCK = ".job.lock"  # held by a job while it runs
SEED = "seed"
# The result of a job before it has ended, and that of a job without one.
BEGUN: JsonObject = {"exit_code": 1, "error": "did not finish", "entries": {}, "scores": {}}
MISSING = BEGUN | {"error": "left no result"}


def came_to(folder: Path, jobs: Sequence[Sequence[str]]) -> JsonObject:
    """Return the outcome of a sweep, as its result.json has it.

    Args:
        folder: of its output.
        jobs: the arguments of each job that was to run; none if a sweeper plugin chooses them.
    """
    results = _results(folder)
    arguments = dict(enumerate(jobs)) or {job: results[job]["overrides"] for job in sorted(results)}
    varied = _varied(arguments)
    rows = []
    for job, overrides in arguments.items():
        row = results.get(job, {})
        if row.get("overrides") != list(overrides):  # from another sweep into the same folder
            row = {"job": job, "overrides": overrides} | MISSING
        row["given"] = varied[job]
        row["status"] = _status(row)
        rows.append(row)
    return {
        "sweep": folder.name,
        "exit_code": max((row["exit_code"] for row in rows), default=1),
        "jobs": rows,
        "configurations": _configurations(rows),
    }


def _results(folder: Path) -> dict[int, JsonObject]:
    """Return the results of the jobs by job number."""
    results = {}
    for path in folder.glob(f"*/**/{RESULT}"):
        result = files.read_json(path)
        if result.get("error") == BEGUN["error"]:  # it may outlive its launcher
            with files.held(path.with_name(LOCK), f"job {result['job']} of the sweep"):
                result = files.read_json(path)
        results[result.get("job")] = result
    return results


def _varied(arguments: Mapping[int, Sequence[str]]) -> dict[int, dict[str, str | None]]:
    """Return the arguments that differ between jobs, by job and key."""
    common = set.intersection(*map(set, arguments.values() or [()]))
    own: dict[int, dict[str, str]] = {}
    for job, overrides in arguments.items():
        varied = [override.partition("=") for override in overrides if override not in common]
        own[job] = {key.lstrip("+"): value for key, _, value in varied}
    keys = dict.fromkeys(chain(*own.values()))
    return {job: {key: values.get(key) for key in keys} for job, values in own.items()}


def _status(job: JsonObject) -> str:
    """Return the status of a job from its result."""
    if job["error"] == BEGUN["error"]:
        return "interrupted"
    if job["error"] == MISSING["error"]:
        return "missing"
    if job["exit_code"]:
        return "failed"
    statuses = [score.get("status") for score in job["scores"].values()]
    return "budget" if "budget" in statuses else "complete"


def _configurations(jobs: Sequence[JsonObject]) -> list[JsonObject]:
    """Return a row for each configuration: a pipeline in all jobs that differ only in their seed,
    with its score over the seeds. Rows are grouped by metric, best first.
    """
    by_seed: dict[tuple[Any, ...], dict[str | None, JsonObject]] = {}
    for job in jobs:
        given = job["given"]
        for name, score in job["scores"].items():
            own = [(key, given[key]) for key in given if _concerns(key, name)]
            scores = by_seed.setdefault((score["metric"], name, tuple(own)), {})
            scores[given.get(SEED)] = score
    rows = []
    for (_, name, own), scores in by_seed.items():
        row = {"pipeline": name, "given": dict(own), "seeds": len(scores)}
        row |= next(iter(scores.values()))
        row.pop("status", None)  # of one job
        if len(scores) > 1:
            means = [score["validation"]["mean"] for score in scores.values()]
            over_seeds = ranking.Score(statistics.fmean(means), statistics.stdev(means), len(means))
            row["validation"] = vars(over_seeds)
        rows.append(row)
    rows.sort(
        key=lambda row: (
            row["metric"],
            -ranking.merit(row["validation"]["mean"], row["direction"]),
        )
    )
    leaders: dict[str, JsonObject] = {}
    for row in rows:
        leader = leaders.setdefault(row["metric"], row)
        best, score = (ranking.Score(**each["validation"]) for each in (leader, row))
        row["best"] = row is leader
        row["tied"] = row is not leader and ranking.indistinguishable(best, score)
    return rows


def _concerns(key: str, pipeline: str) -> bool:
    """Say whether an argument is part of the configuration of a pipeline."""
    if key.startswith("pipelines."):
        return key.startswith(f"pipelines.{pipeline}.")
    return key != SEED
