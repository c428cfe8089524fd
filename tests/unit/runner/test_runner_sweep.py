"""What a sweep came to: all its jobs, their scores over seeds, and the best."""

import threading
import time
from pathlib import Path
from typing import Any

import joblib
import pytest
from omegaconf import OmegaConf

from foundation import files
from history.view.terminal import render
from runner import cli
from runner.report import terminal
from runner.run import sweep


def leave(folder: Path, job: int, arguments: list[str], **result: Any) -> None:
    """What a job leaves beside its output."""
    path = folder / str(job) / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    ended: dict[str, Any] = {"exit_code": 0, "error": None, "entries": {}, "scores": {}}
    path.write_bytes(files.to_json({"job": job, "overrides": arguments, **ended, **result}))


def score(mean: float, deviation: float | None = None, repeats: int = 1) -> dict[str, Any]:
    """A score of the pipeline `mlp` by an error, which is the better the smaller it is."""
    measured = {"mean": mean, "deviation": deviation, "repeats": repeats}
    return {"mlp": {"metric": "rmse", "direction": "min", "validation": measured}}


def jobs(**values: list[str]) -> list[list[str]]:
    """The arguments of jobs, key by key."""
    said = [[f"{key}={value}" for value in each] for key, each in values.items()]
    return [list(job) for job in zip(*said, strict=True)]


def shown(result: dict[str, Any], width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    return render(terminal.sweep(result)).splitlines()


def test_every_job_is_told_by_what_differs_and_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that left nothing are missing; of what all have in common nothing is said."""
    given = jobs(experiment=["mine"] * 6, seed=["0"] * 6, rate=["1", "2", "3", "4", "5", "6"])
    leave(tmp_path, 0, given[0], scores=score(2.0), taken_over=True)
    leave(tmp_path, 1, given[1], exit_code=1, error="no luck today\nat all")
    leave(tmp_path, 2, given[2], **sweep.BEGUN)
    leave(tmp_path, 3, ["rate=another sweep into the same folder"])
    leave(tmp_path, 5, given[5], scores={"mlp": {**score(3.0)["mlp"], "status": "budget"}})
    result = sweep.came_to(tmp_path, given)
    assert [job["status"] for job in result["jobs"]] == [
        *("complete", "failed", "interrupted", "missing", "missing", "budget"),
    ]
    assert [job["given"] for job in result["jobs"]] == [{"rate": str(n)} for n in range(1, 7)]
    assert result["exit_code"] == 1
    _, header, _, *rows, best = shown(result, 200, monkeypatch)
    assert header.split() == ["job", "rate", "mlp", "rmse", "status"]
    assert [row.split(maxsplit=3)[1:] for row in rows[:6]] == [
        ["1", "2.0000", "complete (taken over)"],
        ["2", "-", "failed: no luck today"],
        ["3", "-", "interrupted"],
        ["4", "-", "missing"],
        ["5", "-", "missing"],
        ["6", "3.0000", "budget"],
    ]
    assert best.startswith("best by rmse: mlp rate=1, 2.0000; the noise is unknown")
    assert max(map(len, shown(result, 40, monkeypatch))) <= 40


def test_jobs_that_differ_in_their_seed_alone_are_one_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its mean ± deviation over the seeds that have a score, best first by the metric's own
    direction; what is within noise of the best is said. Two jobs of one seed count once.
    """
    given = jobs(seed=["1", "2", "3", "1", "2", "3", "3", "1"], rate=[*"aaabbbbc"])
    for job, mean in enumerate([1.0, 2.0, 3.0, 1.4, 2.4, 9.0, 9.0]):
        failed = {"exit_code": 1, "error": "no"} if mean == 9.0 else {"scores": score(mean)}
        leave(tmp_path, job, given[job], **failed)
    leave(tmp_path, 7, given[7], scores=score(30.0, deviation=0.1, repeats=4))
    found = sweep.came_to(tmp_path, given)["configurations"]
    assert [(row["given"]["rate"], row["seeds"], row["best"], row["tied"]) for row in found] == [
        ("b", 2, True, False),
        ("a", 3, False, True),
        ("c", 1, False, False),
    ]
    assert found[1]["validation"] == {"mean": 2.0, "deviation": 1.0, "repeats": 3}
    lines = shown(sweep.came_to(tmp_path, given), 200, monkeypatch)
    assert lines[-4].split() == ["mlp", "b", "rmse", "1.9000", "±", "0.7071", "2"]
    assert lines[-3].split() == ["mlp", "a", "rmse", "2.0000", "±", "1.0000", "(tied)", "3"]
    assert lines[-1].endswith(
        "mlp rate=b, 1.9000 ± 0.7071 over 2 seeds; within noise of it: mlp rate=a"
    )


def test_a_pipeline_is_told_by_what_concerns_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What differs in another pipeline alone makes no configuration of this one."""
    given = jobs(**{"pipelines.cnn.fit.epochs": ["1", "2", "1", "2"], "seed": [*"1122"]})
    for job, overrides in enumerate(given):
        scores = {"cnn": score(5.0 + job)["mlp"], **score(1.0 + job // 2)}
        leave(tmp_path, job, overrides, scores=scores)
    result = sweep.came_to(tmp_path, given)
    assert [(row["pipeline"], row["given"]) for row in result["configurations"]] == [
        ("mlp", {}),
        ("cnn", {"pipelines.cnn.fit.epochs": "1"}),
        ("cnn", {"pipelines.cnn.fit.epochs": "2"}),
    ]
    assert shown(result, 200, monkeypatch)[-4].split()[:3] == ["mlp", "-", "rmse"]


def test_where_the_noise_is_unknown_nothing_is_called_a_tie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = jobs(rate=["a", "b"])
    for job in (0, 1):
        leave(tmp_path, job, given[job], scores=score(float(job)))
    lines = shown(sweep.came_to(tmp_path, given), 200, monkeypatch)
    assert lines[-1].startswith("best by rmse: mlp rate=a, 0.0000; the noise is unknown")


def test_a_job_that_outlives_its_launcher_is_waited_for(tmp_path: Path) -> None:
    """It holds a lock as long as it runs; the lock of one that was killed is free."""
    [given] = jobs(seed=["1"])
    leave(tmp_path, 0, given, **sweep.BEGUN)

    def end() -> None:
        with files.held(tmp_path / "0" / sweep.LOCK, "this job"):
            begun.set()
            time.sleep(0.3)
            leave(tmp_path, 0, given, scores=score(1.0))

    begun, job = threading.Event(), threading.Thread(target=end)
    job.start()
    begun.wait()
    [row] = sweep.came_to(tmp_path, [given])["jobs"]
    job.join()
    assert row["status"] == "complete"


def test_jobs_that_run_at_once_on_a_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that `executor.workers=auto` is not so many for each of them."""
    cores = joblib.cpu_count()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", str(cores))  # to be put back
    for launcher, jobs, share in (
        ("basic", 9, cores),
        ("joblib", 1, cores),
        ("joblib", 9 * cores, 1),
        ("submitit_slurm", 9, 1),  # as it was set before; elsewhere, others count
    ):
        choices = {"runtime": {"choices": {"hydra/launcher": launcher}}, "launcher": {"n_jobs": -1}}
        about = OmegaConf.create(choices)
        cli._share_cores(about, jobs)
        assert joblib.cpu_count() == share
        assert about.launcher.n_jobs == (min(jobs, cores) if launcher == "joblib" else -1)
