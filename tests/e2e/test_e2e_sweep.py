"""A sweep goes on until all its jobs have ended well; until then, what has ended is taken over."""

import json
from pathlib import Path
from typing import Any

import pytest
from e2e_samples import Done, history, run, run_both, run_inline, start, write

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


HERE = ["-m", "+experiment=mine", "seed=1,2,3"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local"]
LOSES = [  # a launcher, the seeds, and where the trials are: in workers of each job, or in the job
    pytest.param([*JOBLIB, "executor=inline"], 3, id="joblib"),
    pytest.param(SUBMITIT, 2, id="submitit"),
]


def rows(done: Done) -> list[list[str]]:
    """Of the table of jobs: job, seed, score, status."""
    _, _, table = done.out.partition("jobs of the sweep")
    found = [line.split(maxsplit=3) for line in table.splitlines()[3:]]
    return [row for row in found if row and row[0].isdecimal()]


def statuses(done: Done) -> list[str]:
    return [row[3] for row in rows(done)]


def came_to(folder: Path) -> dict[str, Any]:
    """The result.json of the one sweep."""
    [path] = folder.glob("results/sweeps/*/result.json")
    result: dict[str, Any] = json.loads(path.read_bytes())
    return result


def test_a_sweep_that_is_killed_or_fails_does_not_repeat_what_has_ended(tmp_path: Path) -> None:
    """Each job is stored once, and its hooks run once, in a sweep of one id; then the same command
    is a new sweep.
    """
    write(tmp_path, my_code_py=CODE, conf__experiment__mine_yaml=EXPERIMENT)
    (tmp_path / "kills").touch()
    (tmp_path / "fails").touch()
    assert run_inline(tmp_path, *HERE).exit_code == -9
    [first] = history(tmp_path, "list")
    done = run_inline(tmp_path, *HERE)
    assert done.exit_code == 1, done.err
    taken, *others = statuses(done)
    assert (taken, others) == ("complete (taken over)", ["complete", "failed: main: not today"])
    (tmp_path / "fails").unlink()
    done = run_inline(tmp_path, *HERE)
    assert done.exit_code == 0, done.err
    assert ["(taken over)" in status for status in statuses(done)] == [True, True, False]
    stored = history(tmp_path, "list", "--status", "complete")
    assert [entry["seed"] for entry in stored] == [1, 2, 3]
    assert stored[0] == first
    noted = (tmp_path / "noted").read_text().split()
    assert [noted.count(entry["run_id"]) for entry in stored] == [1, 1, 2]  # after a failure too
    assert not list(tmp_path.glob("results/runs/*.open"))
    sweep = came_to(tmp_path)
    assert [job["entries"]["main"] for job in sweep["jobs"]] == [each["id"] for each in stored]
    assert history(tmp_path, "list", "--sweep", sweep["sweep"], "--status", "complete") == stored
    done = run_inline(tmp_path, *HERE)
    assert "(taken over)" not in done.out
    assert len(history(tmp_path, "list", "--status", "complete")) == 6
    assert len(list(tmp_path.glob("results/sweeps/*"))) == 2


@pytest.mark.parametrize(("launcher", "seeds"), LOSES)
@pytest.mark.nightly
def test_a_sweep_of_a_launcher_that_loses_a_job_ends_in_a_table_and_goes_on(
    tmp_path: Path, launcher: list[str], seeds: int
) -> None:
    """Of all jobs, whatever became of them; what was read from the environment is in no file. The
    seeds are one configuration.
    """
    write(tmp_path, my_code_py=CODE, conf__experiment__mine_yaml=EXPERIMENT)
    command = [*HERE[:2], f"seed={','.join('123'[:seeds])}", *launcher]
    command += ["+validation.callbacks.fault.word=${oc.env:SECRET}"]
    (tmp_path / "kills").touch()
    done = run(tmp_path, *command, SECRET="a-word-of-mine")
    assert done.exit_code == 1
    assert "the launcher failed: " in done.err
    assert "Traceback" not in done.err
    jobs = came_to(tmp_path)["jobs"]
    assert jobs[1]["status"] == "interrupted"
    assert {job["status"] for job in jobs} <= {"complete", "interrupted", "missing"}
    before = {id for job in jobs for id in job["entries"].values()}
    done = run(tmp_path, *command, SECRET="a-word-of-mine")
    assert done.exit_code == 0, done.err
    stored = history(tmp_path, "list")
    assert sorted(entry["seed"] for entry in stored) == [1, 2, 3][:seeds]
    assert before <= {entry["id"] for entry in stored}
    sweep = came_to(tmp_path)
    assert {entry["sweep"] for entry in stored} == {sweep["sweep"]}
    [configuration] = sweep["configurations"]
    scores = [entry["validation"]["metrics"]["accuracy"] for entry in stored]
    assert configuration["validation"]["mean"] == pytest.approx(sum(scores) / seeds)
    assert (configuration["seeds"], configuration["given"]) == (seeds, {})
    assert "best by accuracy: main, " in done.out
    files = [path for path in tmp_path.glob("results/**/*") if path.is_file()]
    assert not [path for path in files if b"a-word-of-mine" in path.read_bytes()]
    assert not [path for path in files if path.suffix in (".lock", ".open")]


@pytest.mark.nightly
def test_of_two_identical_sweeps_at_once_the_second_takes_over(tmp_path: Path) -> None:
    """It waits, trains nothing, and ends in the same table."""
    write(tmp_path, my_code_py=CODE, conf__experiment__mine_yaml=EXPERIMENT)
    command = ["-m", "+experiment=mine", "seed=1,2", *JOBLIB]
    one, other = run_both(start(tmp_path, *command), start(tmp_path, *command))
    assert (one.exit_code, other.exit_code) == (0, 0), (one.err, other.err)
    assert rows(one) == rows(other)
    assert sorted("this sweep is in use by process" in done.err for done in (one, other)) == [
        *(False, True),
    ]
    assert len(history(tmp_path, "list")) == 2
    assert not list(tmp_path.glob("results/runs/*.open"))


@pytest.mark.nightly
def test_with_json_stdout_holds_the_result_and_nothing_else(tmp_path: Path) -> None:
    """Of a sweep or a run, whatever its code prints, in workers or here; all else is on stderr.
    Where nothing is started, there is no result.
    """
    noisy = CODE.replace("def note(run):", 'def note(run):\n    print("a word", end="")')
    write(tmp_path, my_code_py=noisy, conf__experiment__mine_yaml=EXPERIMENT)
    done = run(tmp_path, "-m", "+experiment=mine", "seed=1,2", "--json")
    assert done.exit_code == 0, done.err
    assert json.loads(done.out) == came_to(tmp_path)
    assert "jobs of the sweep" in done.err
    done = run_inline(tmp_path, "+experiment=mine", "--json")
    assert done.exit_code == 0, done.err
    [path] = tmp_path.glob("results/runs/*/result.json")
    assert json.loads(done.out) == json.loads(path.read_bytes())
    assert "a word" in done.err
    done = run(tmp_path, "+experiment=mine", "seed=no", "--json")
    assert (done.exit_code, done.out) == (2, "")
    done = run(tmp_path, "+experiment=mine", "--cfg", "job", "--json")
    assert (done.exit_code, done.out) == (2, "")
    assert "unrecognized arguments: --json" in done.err


@pytest.mark.nightly
def test_a_pipeline_that_two_jobs_of_a_sweep_share_is_trained_once(tmp_path: Path) -> None:
    """By the first; the other takes over its entry. With fresh=true, nothing is taken over."""
    text = EXPERIMENT + "pipelines: {same: {}, other: {}}\n"
    write(tmp_path, my_code_py=CODE, conf__experiment__mine_yaml=text)
    command = ["-m", "+experiment=mine", "pipelines.other.fit.batch_size=16,32"]
    done = run_inline(tmp_path, *command)
    assert done.exit_code == 0, done.err
    stored = history(tmp_path, "list")
    assert sorted(entry["pipeline"] for entry in stored) == ["other", "other", "same"]
    [sweep] = (tmp_path / "results" / "sweeps").iterdir()
    assert {entry["sweep"] for entry in stored} == {sweep.name}
    [same] = history(tmp_path, "list", "--pipeline", "same")
    assert f"same: taken over from the history: {same['id']}" in done.err
    done = run_inline(tmp_path, *command, "fresh=true")
    assert "taken over" not in done.err
    assert len(history(tmp_path, "list")) == 7
