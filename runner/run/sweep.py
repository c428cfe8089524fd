"""The outcome of a sweep: its jobs, its configurations over their seeds, and the best of them."""

import statistics
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from foundation import files
from history import ranking

RESULT = "result.json"  # of a job, beside its output; and of the sweep
LOCK = ".job.lock"  # which a job holds while it runs
SEED = "seed"
# What the result of a job says until the job has ended, and what is known of one without a result.
BEGUN: files.JsonObject = {"exit_code": 1, "error": "did not finish", "entries": {}, "scores": {}}
MISSING = {**BEGUN, "error": "left no result"}
STATES = {BEGUN["error"]: "interrupted", MISSING["error"]: "missing"}


def came_to(folder: Path, jobs: Sequence[Sequence[str]]) -> files.JsonObject:
    """Return the outcome of a sweep, as its result.json has it.

    Args:
        folder: of its output.
        jobs: the arguments of each job that was to run; none where a sweeper makes them up.
    """
    results = {}
    for path in folder.glob(f"*/**/{RESULT}"):
        result = files.read_json(path)
        if result.get("error") == BEGUN["error"]:  # its launcher may have given it up too early
            with files.held(path.with_name(LOCK), f"job {result['job']} of the sweep"):
                result = files.read_json(path)
        results[result.get("job")] = result
    given = dict(enumerate(jobs)) or {job: results[job]["overrides"] for job in sorted(results)}
    said = {
        job: {key: value for key, _, value in (each.partition("=") for each in overrides)}
        for job, overrides in given.items()
    }
    keys = [
        key
        for key in dict.fromkeys(chain(*said.values()))
        if len({values.get(key) for values in said.values()}) > 1
    ]
    rows: list[files.JsonObject] = []
    for job, overrides in given.items():
        result = results.get(job, {})
        if result.get("overrides") != [*overrides]:  # of another sweep into the same folder
            result = {"job": job, "overrides": overrides, **MISSING}
        result["given"] = {key.lstrip("+"): said[job].get(key) for key in keys}
        by_a_clock = any(score.get("status") == "budget" for score in result["scores"].values())
        result["status"] = STATES.get(
            result["error"],
            "failed" if result["exit_code"] else "budget" if by_a_clock else "complete",
        )
        rows.append(result)
    return {
        "sweep": folder.name,
        "exit_code": max((row["exit_code"] for row in rows), default=1),
        "jobs": rows,
        "configurations": _over_seeds(rows),
    }


def _over_seeds(jobs: Sequence[files.JsonObject]) -> list[files.JsonObject]:
    """Return the pipelines of jobs that differ in their seed alone, as a row each with the score
    over the seeds; those of one metric together, best first.
    """
    groups: dict[tuple[Any, ...], dict[str | None, files.JsonObject]] = {}
    for job in jobs:
        for name, score in job["scores"].items():
            of = tuple(
                (key, value)
                for key, value in job["given"].items()
                if key != SEED
                and (not key.startswith("pipelines.") or key.startswith(f"pipelines.{name}."))
            )
            groups.setdefault((score["metric"], name, of), {})[job["given"].get(SEED)] = score
    rows: list[files.JsonObject] = []
    for (_, name, of), scores in groups.items():
        row = {
            "pipeline": name,
            "given": dict(of),
            "seeds": len(scores),
            **next(iter(scores.values())),
        }
        row.pop("status", None)  # of one job
        if len(scores) > 1:
            means = [score["validation"]["mean"] for score in scores.values()]
            row["validation"] = vars(
                ranking.Score(statistics.fmean(means), statistics.stdev(means), len(means))
            )
        rows.append(row)
    rows.sort(
        key=lambda row: (
            str(row["metric"]),
            -ranking.merit(row["validation"]["mean"], row["direction"]),
        )
    )
    for row in rows:
        best = next(each for each in rows if each["metric"] == row["metric"])
        row |= {
            "best": row is best,
            "tied": row is not best
            and ranking.indistinguishable(
                *(ranking.Score(**each["validation"]) for each in (best, row))
            ),
        }
    return rows
