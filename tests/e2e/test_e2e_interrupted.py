"""Interrupted runs: stopped at once, and resumed as if nothing had been."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e_samples import Done, entries, finish, run, start, stop, told, trials, wait_until, write

pytestmark = pytest.mark.e2e

CODE = """
import time

import keras


class Slow(keras.callbacks.Callback):
    '''Gives a signal the time to arrive within a trial.'''

    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.1)


def build(num_classes, units, rate):
    model = keras.Sequential(
        [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(num_classes, activation="softmax")]
    )
    model.compile(optimizer=keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /data: iris, _self_]
fit: {epochs: 3}
callbacks: {slow: {_target_: my_code.Slow}}
model:
  _target_: my_code.build
  units: {hp: Int, min_value: 4, max_value: 8, step: 2}
  rate: {hp: Float, min_value: 1e-3, max_value: 1e-1, sampling: log}
pipelines:
  main: {tuner: {kind: TUNER, BUDGET}}
"""
BUDGETS = {
    "random": "max_trials: 5",
    "grid": "max_trials: 5",
}
WAYS = {  # asked to stop; kills, for every tuner, are in test_killed.py
    "random": (signal.SIGTERM, 143),
    "grid": (signal.SIGINT, 130),
}


def place(folder: Path, tuner: str) -> Path:
    write(
        folder,
        my_code_py=CODE,
        conf__experiment__slow_yaml=EXPERIMENT.replace("TUNER", tuner).replace(
            "BUDGET", BUDGETS[tuner]
        ),
    )
    return folder


class Story:
    """One run that was left alone, and one that was interrupted twice within its search."""

    def __init__(self, tuner: str, folder: Path) -> None:
        self.number, self.exit_code = WAYS[tuner]
        self.alone, self.folder = (
            place(folder / "alone", tuner),
            place(folder / "interrupted", tuner),
        )
        undisturbed = start(self.alone, "+experiment=slow")
        self.stops: list[Done] = []
        self.trials_after_stop: list[int] = []
        self.entries_after_stop: list[bool] = []
        self.started: dict[str, str] = {}  # of the trials that had ended before an interruption
        for count in (2, 4):
            self._interrupt(count)
        self.resumed = run(self.folder, "+experiment=slow")
        self.undisturbed = finish(undisturbed)

    def results(self) -> dict[str, dict[str, Any]]:
        paths = self.folder.glob("results/trials/slow-main/*/trial_*/result.json")
        return {
            path.parent.name.removeprefix("trial_"): json.loads(path.read_text()) for path in paths
        }

    def _interrupt(self, count: int) -> None:
        process = start(self.folder, "+experiment=slow")
        wait_until(lambda: len(self.results()) >= count, process)
        self.stops.append(stop(process, self.number))
        self.trials_after_stop.append(len(self.results()) - count)
        self.entries_after_stop.append((self.folder / "results" / "history.json").exists())
        for trial_id, result in self.results().items():
            assert self.started.setdefault(trial_id, result["started"]) == result["started"]


@pytest.fixture(scope="module", params=WAYS)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(request.param, tmp_path_factory.mktemp(request.param))


def test_a_signal_ends_a_search_at_once_and_leaves_no_entry(story: Story) -> None:
    """With the exit code of the signal; asked nicely, it says that the same command resumes."""
    for done in story.stops:
        assert (done.exit_code, done.out) == (story.exit_code, "")
        assert "Traceback" not in done.err
        if story.exit_code > 0:
            assert "the same command goes on from there" in done.err.splitlines()[-1]
    assert story.entries_after_stop == [False, False]
    assert max(story.trials_after_stop) <= 1  # one may end while the signal is on its way


def test_the_same_command_finishes_the_search(story: Story) -> None:
    """One complete entry, and no trial data left."""
    assert (story.resumed.exit_code, story.undisturbed.exit_code) == (0, 0), story.resumed.err
    assert {name: entry["status"] for name, entry in entries(story.folder).items()} == {
        "main": "complete"
    }
    assert not (story.folder / "results" / "trials").exists()
    assert "going on after trial" in story.resumed.err


def test_trials_that_had_ended_are_not_run_again(story: Story) -> None:
    """They are those of the first start, at its time."""
    rows = {row["trial_id"]: row for row in trials(story.folder, entries(story.folder)["main"])}
    assert len(story.started) >= 4
    assert {trial_id: rows[trial_id]["started"] for trial_id in story.started} == story.started


def test_a_resumed_run_equals_an_uninterrupted_one(story: Story) -> None:
    """The same trials, values, scores and epochs, the same best, the same weights after the
    refit.
    """
    import keras

    mine, its = (entries(folder)["main"] for folder in (story.folder, story.alone))
    assert told(trials(story.folder, mine)) == told(trials(story.alone, its))
    assert mine["best"] == its["best"]
    assert mine["validation"]["metrics"] == its["validation"]["metrics"]
    weights, same = (
        keras.models.load_model(
            folder / "results" / entry["artefacts"]["model"]["path"]
        ).get_weights()
        for folder, entry in ((story.folder, mine), (story.alone, its))
    )
    assert len(weights) == 4
    assert all(np.array_equal(a, b) for a, b in zip(weights, same, strict=True))


def test_a_raised_budget_continues_the_same_search(tmp_path: Path) -> None:
    """The first trials are taken over, the ids go on."""
    place(tmp_path, "random")
    first = run(tmp_path, "+experiment=slow", "tuner.max_trials=1", "hooks=none")
    again = run(tmp_path, "+experiment=slow", "tuner.max_trials=2", "hooks=none")
    assert (first.exit_code, again.exit_code) == (0, 0)
    [search] = (
        path for path in (tmp_path / "results" / "trials" / "slow-main").iterdir() if path.is_dir()
    )
    assert len(list(search.glob("trial_*"))) == 2
    assert "going on after trial 1," in again.err
