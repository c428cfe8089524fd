"""Searches within bounds: what ends one early, and what callbacks of its trials leave."""

import csv
import re
from pathlib import Path

import killing
import pytest
from e2e_samples import documents, entries, outcome, refused, run_inline, write

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

SMALL = """# @package _global_
defaults: [/task: classification, /data: iris, /tuner: random, _self_]
tuner: {max_trials: 60}
fit: {epochs: 1}
validation: {repeats: 1}
baselines: none
model:
  _target_: runner.models.mlp
  hidden: {h1: {hp: Int, min_value: 4, max_value: 64}}
  learning_rate: {hp: Float, min_value: 1e-3, max_value: 1e-1}
"""


def test_a_search_that_a_clock_ends_is_repeated_and_goes_on(tmp_path: Path) -> None:
    """Its entry says how many trials that were, and the exit code is 0. A reproduction repeats just
    these; with more time, they do not run again, and all trial data goes at the end.
    """
    write(tmp_path, conf__experiment__small_yaml=SMALL)
    done = run_inline(tmp_path, "+experiment=small", "tuner.max_seconds=1")
    [entry] = documents(tmp_path)
    rows, count = entry.trials(), entry["search"]["trials"]["total"]
    assert 0 < count < 60
    said = f"tuner.max_seconds=1 ended it after {count} trials; tuner.max_trials={count} repeats it"
    assert (entry["status"], entry["search"]["ended"]) == ("budget", said)
    assert f"main: {said}" in done.err
    assert "main: trial data kept" in done.err
    done = run_inline(tmp_path, f"reproduce={entry['id']}", "reproduce_search=true")
    assert f"{entry['id']}: identical" in done.out
    more = ["tuner.max_seconds=600", f"tuner.max_trials={count + 1}"]
    done = run_inline(tmp_path, "+experiment=small", *more)
    assert f"resuming after trial {count}, from" in done.err
    assert re.findall(r"main: trial \d+ \((\d+)/", done.err) == [f"{count + 1}"]
    assert not list(tmp_path.glob("results/trials/*"))
    last = documents(tmp_path)[-1]
    assert last["status"] == "complete"
    assert outcome(last.trials())[:count] == outcome(rows)


def test_a_search_that_is_stopped_by_hand_goes_on_to_its_refits(tmp_path: Path) -> None:
    """The same command with no time left: what had ended of the run is taken over."""
    folder = killing.lay_out(tmp_path)
    two = SMALL.replace("max_trials: 60", "max_trials: 4")
    two += "pipelines: {one: {tuner: {max_trials: 1}}, two: {}}\n"
    write(folder, conf__experiment__two_yaml=two)
    place = "before:two/[^/]*/trial_0002/result.json"
    killing.run(folder, "r", "+experiment=two", kill_at=place)
    killing.run(folder, "r", "+experiment=two", "pipelines.two.tuner.max_seconds=0")
    stored = entries(folder, "r")
    assert stored["one"]["run_id"] == stored["two"]["run_id"]
    status = {name: entry["status"] for name, entry in stored.items()}
    assert status == {"one": "complete", "two": "budget"}
    rows = stored["two"].trials()
    assert [row["trial_id"] for row in rows] == ["0000", "0001"]


def test_what_callbacks_leave_goes_into_the_entry_or_away(tmp_path: Path) -> None:
    """Of the best trial and the refits, by its pattern; those that write to one place are named
    before the first trial, and so is what leads nowhere.
    """
    logger = "{_target_: keras.callbacks.CSVLogger, filename: "
    callbacks = (
        f"callbacks: {{log: {logger}'${{trial.folder}}/log.csv'}}, same: {logger}same.csv}}}}"
    )
    experiment = SMALL.replace("60", "2, executions_per_trial: 2")
    experiment += f"{callbacks}\nartefacts: ['*.csv']\n"
    write(tmp_path, conf__experiment__logs_yaml=experiment)
    wrong = "callbacks.log.filename=${trial.ids}"
    message = refused(tmp_path, "+experiment=logs", wrong)
    assert "unknown value of a trial 'ids'; did you mean 'id'?" in message
    assert f"{wrong} on the command line" in message
    done = run_inline(tmp_path, "+experiment=logs")
    assert "main: callbacks.same.filename is a single place" in done.err
    [entry] = documents(tmp_path)
    best = entry["best"]["trial_id"]
    of_trial = [f"trial-{best}-0-log.csv", f"trial-{best}-1-log.csv"]
    names = {name for name in entry["artefacts"] if name.endswith(".csv")}
    assert names == {*of_trial, "refit-0-log.csv"}
    [curves] = [row["history"] for row in entry.trials() if row["trial_id"] == best]
    for name, curve in zip(of_trial, curves, strict=True):
        with entry.path(name).open() as file:
            [row] = csv.DictReader(file)
        assert float(row["val_loss"]) == pytest.approx(curve["val_loss"][0])
    assert not list(tmp_path.glob("results/trials/*"))
