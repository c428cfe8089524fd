"""A sweep goes on until all its jobs have ended well; until then, what has ended is taken over."""

import json
import signal
import statistics
from pathlib import Path
from typing import Any

import pytest
from e2e_samples import Done, complete, documents, finish, history, run, run_inline, start, write

pytestmark = pytest.mark.e2e

CODE = """
import multiprocessing
import os
import signal
from pathlib import Path

import keras


class Fault(keras.callbacks.Callback):
    def __init__(self, seed, word=None):
        self.seed = seed

    def on_train_end(self, logs=None):
        if self.seed == 2 and Path("kills").exists():
            Path("kills").unlink()
            job = multiprocessing.current_process().name.startswith("Loky")
            parent = None if job else multiprocessing.parent_process()
            os.kill(parent.pid if parent else os.getpid(), signal.SIGKILL)
        if self.seed == 3 and Path("fails").exists():
            raise RuntimeError("not today")


def build(num_classes):
    model = keras.Sequential([keras.layers.Dense(num_classes, "softmax")])
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


def note(run):
    with Path("noted").open("a") as file:
        file.write(f"{run.run_id}\\n")
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /data: iris, /tuner: random, _self_]
model: {_target_: my_code.build}
fit: {epochs: 1}
tuner: {max_trials: 1}
baselines: none
validation: {repeats: 1, callbacks: {fault: {_target_: my_code.Fault, seed: "${seed}"}}}
hooks: {note: {_target_: my_code.note}}
"""


COMMAND = ["-m", "+experiment=mine"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, my_code_py=CODE, conf__experiment__mine_yaml=EXPERIMENT)
    return tmp_path


def rows(done: Done) -> list[list[str]]:
    """Of the table of jobs: job, seed, score, status."""
    _, _, table = done.out.partition("jobs of the sweep")
    lines = [line.split(maxsplit=3) for line in table.splitlines()[3:]]
    return [row for row in lines if row and row[0].isdecimal()]


def came_to(folder: Path) -> dict[str, Any]:
    """The result.json of the one sweep."""
    [path] = folder.glob("results/sweeps/*/result.json")
    result: dict[str, Any] = json.loads(path.read_bytes())
    return result


def test_a_sweep_that_is_killed_or_fails_does_not_repeat_what_has_ended(folder: Path) -> None:
    """Each job is stored once, and its hooks run once, in a sweep of one id; then the same command
    is a new sweep.
    """
    command = [*COMMAND, "seed=1,2,3"]
    (folder / "kills").touch()
    (folder / "fails").touch()
    run_inline(folder, *command, exit_code=-signal.SIGKILL)
    [first] = documents(folder)
    done = run_inline(folder, *command, exit_code=1)
    statuses = [status for *_, status in rows(done)]
    assert statuses == ["complete (taken over)", "complete", "failed: main: not today"]
    (folder / "fails").unlink()
    done = run_inline(folder, *command)
    assert ["(taken over)" in status for *_, status in rows(done)] == [True, True, False]
    stored = complete(folder)
    assert [entry["seed"] for entry in stored] == [1, 2, 3]
    assert stored[0] == first
    noted = (folder / "noted").read_text().split()
    assert [noted.count(entry["run_id"]) for entry in stored] == [1, 1, 2]  # after a failure too
    assert not list(folder.glob("results/runs/*.open"))
    sweep = came_to(folder)
    assert [job["entries"]["main"] for job in sweep["jobs"]] == [entry["id"] for entry in stored]
    assert history(folder, "list", "--sweep", sweep["sweep"], "--status", "complete") == stored
    done = run_inline(folder, *command)
    assert "(taken over)" not in done.out
    assert len(complete(folder)) == 6
    assert len(list(folder.glob("results/sweeps/*"))) == 2


@pytest.mark.parametrize(
    ("launcher", "seeds"),  # the trials are in the job, or in workers of it
    [([*JOBLIB, "executor=inline"], [1, 2, 3]), (SUBMITIT, [1, 2])],
    ids=["joblib", "submitit"],
)
@pytest.mark.nightly
def test_a_sweep_of_a_launcher_that_loses_a_job_ends_in_a_table_and_goes_on(
    folder: Path, launcher: list[str], seeds: list[int]
) -> None:
    """Of all jobs, whatever became of them; what was read from the environment is in no file. The
    seeds are one configuration.
    """
    secret, word = "a-word-of-mine", "+validation.callbacks.fault.word=${oc.env:SECRET}"
    command = [*COMMAND, f"seed={','.join(map(str, seeds))}", *launcher, word]
    (folder / "kills").touch()
    done = run(folder, *command, SECRET=secret, exit_code=1)
    assert "the launcher failed: " in done.err
    assert "Traceback" not in done.err
    jobs = came_to(folder)["jobs"]
    assert jobs[1]["status"] == "interrupted"
    assert {job["status"] for job in jobs} <= {"complete", "interrupted", "missing"}
    before = {id for job in jobs for id in job["entries"].values()}
    done = run(folder, *command, SECRET=secret)
    stored = documents(folder)
    assert sorted(entry["seed"] for entry in stored) == seeds
    assert before <= {entry["id"] for entry in stored}
    sweep = came_to(folder)
    assert {entry["sweep"] for entry in stored} == {sweep["sweep"]}
    [configuration] = sweep["configurations"]
    scores = [entry["validation"]["metrics"]["accuracy"] for entry in stored]
    assert configuration["validation"]["mean"] == pytest.approx(statistics.fmean(scores))
    assert (configuration["seeds"], configuration["given"]) == (len(seeds), {})
    assert "best by accuracy: main, " in done.out
    files = [path for path in folder.glob("results/**/*") if path.is_file()]
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert not [path for path in files if path.suffix in (".lock", ".open")]


@pytest.mark.nightly
def test_of_two_identical_sweeps_at_once_the_second_takes_over(folder: Path) -> None:
    """It waits, trains nothing, and ends in the same table."""
    started = [start(folder, *COMMAND, "seed=1,2", *JOBLIB) for _ in range(2)]
    one, other = map(finish, started)
    assert rows(one) == rows(other)
    waited = ["this sweep is in use by process" in done.err for done in (one, other)]
    assert sorted(waited) == [False, True]
    assert len(documents(folder)) == 2
    assert not list(folder.glob("results/runs/*.open"))


@pytest.mark.nightly
def test_with_json_stdout_holds_the_result_and_nothing_else(folder: Path) -> None:
    """Of a sweep or a run, whatever its code prints, in workers or here; all else is on stderr.
    Where nothing is started, there is no result.
    """
    noisy = CODE.replace("def note(run):", 'def note(run):\n    print("a word", end="")')
    write(folder, my_code_py=noisy)
    done = run(folder, *COMMAND, "seed=1,2", "--json")
    assert json.loads(done.out) == came_to(folder)
    assert "jobs of the sweep" in done.err
    done = run_inline(folder, "+experiment=mine", "--json")
    [path] = folder.glob("results/runs/*/result.json")
    assert json.loads(done.out) == json.loads(path.read_bytes())
    assert "a word" in done.err
    assert run(folder, "+experiment=mine", "seed=no", "--json", exit_code=2).out == ""
    done = run(folder, "+experiment=mine", "--cfg", "job", "--json", exit_code=2)
    assert done.out == ""
    assert "unrecognized arguments: --json" in done.err


@pytest.mark.nightly
def test_a_pipeline_that_two_jobs_of_a_sweep_share_is_trained_once(folder: Path) -> None:
    """By the first; the other takes over its entry. With fresh=true, nothing is taken over."""
    two = EXPERIMENT + "pipelines: {same: {}, other: {}}\n"
    write(folder, conf__experiment__mine_yaml=two)
    command = [*COMMAND, "pipelines.other.fit.batch_size=16,32"]
    done = run_inline(folder, *command)
    stored = documents(folder)
    assert [entry["pipeline"] for entry in stored] == ["same", "other", "other"]
    [sweep] = (folder / "results" / "sweeps").iterdir()
    assert {entry["sweep"] for entry in stored} == {sweep.name}
    assert f"same: taken over from the history: {stored[0]['id']}" in done.err
    done = run_inline(folder, *command, "fresh=true")
    assert "taken over" not in done.err
    assert len(documents(folder)) == 7
