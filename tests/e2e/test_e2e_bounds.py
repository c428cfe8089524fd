"""Searches within bounds: what ends one early, and what callbacks of its trials leave."""

import re
from pathlib import Path

import killing
import pytest
from e2e_samples import run_inline, told, trials, write

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
    assert done.exit_code == 0, done.err
    (entry,) = killing.entries(root := tmp_path / "results")
    rows, count = trials(tmp_path, entry), entry["search"]["trials"]["total"]
    assert 0 < count < 60
    said = f"tuner.max_seconds=1 ended it after {count} trials; tuner.max_trials={count} repeats it"
    assert (entry["status"], entry["search"]["ended"]) == ("budget", said)
    assert f"main: {said}" in done.err
    assert "main: trial data kept" in done.err
    done = run_inline(tmp_path, f"reproduce={entry['id']}", "reproduce_search=true")
    assert (done.exit_code, f"{entry['id']}: identical" in done.out) == (0, True), done
    more = ["+experiment=small", "tuner.max_seconds=600", f"tuner.max_trials={count + 1}"]
    done = run_inline(tmp_path, *more)
    assert done.exit_code == 0, done.err
    assert f"resuming after trial {count}, from" in done.err
    assert re.findall(r"main: trial \d+ \((\d+)/", done.err) == [f"{count + 1}"]
    assert not list(tmp_path.glob("results/trials/*"))
    (*_, last) = killing.entries(root)
    assert last["status"] == "complete"
    assert told(trials(tmp_path, last))[:count] == told(rows)


def test_a_search_that_is_stopped_by_hand_goes_on_to_its_refits(tmp_path: Path) -> None:
    """The same command with no time left: what had ended of the run is taken over."""
    folder = killing.lay_out(tmp_path / "user")
    two = SMALL.replace("max_trials: 60", "max_trials: 4")
    two += "pipelines: {one: {tuner: {max_trials: 1}}, two: {}}\n"
    write(folder, conf__experiment__two_yaml=two)
    place = "before:two/[^/]*/trial_0002/result.json"
    code, output = killing.finish(folder, "r", ["+experiment=two"], place, inline=True)
    assert code == -9, output
    stop = ["+experiment=two", "pipelines.two.tuner.max_seconds=0"]
    code, output = killing.finish(folder, "r", stop, inline=True)
    assert code == 0, output
    found = {entry["pipeline"]: entry for entry in killing.entries(folder / "r")}
    assert len(killing.entries(folder / "r")) == 2
    assert found["one"]["run_id"] == found["two"]["run_id"]
    assert (found["one"]["status"], found["two"]["status"]) == ("complete", "budget")
    assert [row["trial_id"] for row in killing.trials(folder / "r", found["two"])] == [
        "0000",
        "0001",
    ]


def test_what_callbacks_leave_goes_into_the_entry_or_away(tmp_path: Path) -> None:
    """Of the best trial and the refits, by its pattern; those that write to one place are named
    before the first trial, and so is what leads nowhere.
    """
    csv = "{_target_: keras.callbacks.CSVLogger, filename: "
    write(
        tmp_path,
        conf__experiment__logs_yaml=SMALL.replace("60", "2, executions_per_trial: 2")
        + f"callbacks: {{log: {csv}'${{trial.folder}}/log.csv'}}, same: {csv}same.csv}}}}\n"
        + "artefacts: ['*.csv']\n",
    )
    done = run_inline(tmp_path, "+experiment=logs", "callbacks.log.filename=${trial.ids}")
    assert done.exit_code == 2
    assert "unknown value of a trial 'ids'; did you mean 'id'?" in done.err
    assert "callbacks.log.filename=${trial.ids} on the command line" in done.err
    done = run_inline(tmp_path, "+experiment=logs")
    assert done.exit_code == 0, done.err
    assert "main: callbacks.same.filename is a single place" in done.err
    (entry,) = killing.entries(tmp_path / "results")
    best = entry["best"]["trial_id"]
    names = [f"trial-{best}-0-log.csv", f"trial-{best}-1-log.csv", "refit-0-log.csv"]
    assert {name for name in entry["artefacts"] if name.endswith(".csv")} == {*names}
    (row,) = [row for row in trials(tmp_path, entry) if row["trial_id"] == best]
    for name, curves in zip(names, row["history"], strict=False):
        lines = (tmp_path / "results" / entry["artefacts"][name]["path"]).read_text().splitlines()
        header, values = (line.split(",") for line in lines)
        assert float(dict(zip(header, values, strict=True))["val_loss"]) == pytest.approx(
            curves["val_loss"][0]
        )
    assert not list(tmp_path.glob("results/trials/*"))
