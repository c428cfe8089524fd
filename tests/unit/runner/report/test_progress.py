"""What a run shows while it goes on: lines, a display, and signs of life."""

import io
import logging
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from runner.config.schema import Run
from runner.report import log, progress
from runner.report.progress import Display, brief, pairs
from runner.search import loop
from runner.training import ledger
from runner.workers import tasks


class Workers:
    """Two workers, of which one may be at something."""

    def __init__(self, *busy: Any) -> None:
        self.busy = dict(enumerate(busy))


def display(*busy: Any, names: tuple[str, ...] = ("mlp", "cnn"), **own: Any) -> Display:
    return Display(Run(**own), Workers(*busy), "digits", names)


def ended(number: int, score: float | None, best: float | None, **own: Any) -> loop.Progress:
    """A trial that took 1.25 s, told by a search."""
    values = {"model.hidden.h1": 64, "model.learning_rate": 0.0032, **own.pop("values", {})}
    result = ledger.TrialResult(
        trial_id=f"{number:04}",
        asked=values,
        hyperparameters={},
        status="COMPLETED" if score is not None else "FAILED",
        message="Traceback\nValueError: no luck",
        started="",
        seconds=1.25,
    )
    return loop.Progress(result, score, best, **{"ran": True, "end": float("inf"), **own})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (64, "64"),
        (0.0032, "3.2e-3"),
        (0.1, "0.1"),
        (0.16666, "0.167"),
        (0.0, "0"),
        (-1e-4, "-1.0e-4"),
        (123456.0, "1.2e5"),
        (1e-12, "1.0e-12"),
        (True, "True"),
        ("relu", "relu"),
        ("a" * 30, "a" * 17 + "..."),
        ("\x1b[2J", r"\x1b[2J"),
    ],
)
def test_a_value_is_told_in_few_letters_all_of_which_can_be_printed(
    value: object, shown: str
) -> None:
    assert brief(value) == shown


def test_hyperparameters_go_by_the_last_part_of_their_names_where_it_is_theirs_alone() -> None:
    """Of the tuner's own, only the epochs say something of the trial."""
    values = {"model.h1": 8, "encoder.units": 2, "decoder.units": 4, "model.learning_rate": 0.01}
    own = {"tuner/epochs": 3, "tuner/initial_epoch": 0, "tuner/bracket": 1}
    told = "h1=8 encoder.units=2 decoder.units=4 lr=0.01 epochs=3"
    assert pairs({**values, **own}) == told
    assert pairs({"model.learning_rate.regression": 0.03}) == "lr=0.03"
    assert pairs({}) == ""


def test_a_trials_line_has_its_id_how_many_have_ended_its_score_and_its_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Trials of earlier starts have no line, and count; one that failed says why."""
    caplog.set_level(logging.INFO)
    shown = display()
    shown.at("mlp", "trial", 10)
    shown.trial("val_mse", ended(0, 0.198, 0.198, ran=False))
    shown.trial("val_mse", ended(1, 0.2312, 0.198))
    shown.trial("val_mse", ended(2, None, 0.198))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "mlp: trial 0001 (2/10)  val_mse 0.2312 (best 0.198)  h1=64 lr=3.2e-3  1.2 s"),
        ("WARNING", "mlp: trial 0002 (3/10)  failed: ValueError: no luck  h1=64 lr=3.2e-3  1.2 s"),
    ]
    assert dict(shown.rows())["best"] == "trial 0000  val_mse 0.198  h1=64 lr=3.2e-3"


@pytest.mark.parametrize(
    ("mode", "levels"), [("lines", {"INFO", "WARNING"}), ("none", {"WARNING"})]
)
def test_without_progress_only_failures_are_told(
    caplog: pytest.LogCaptureFixture, mode: str, levels: set[str]
) -> None:
    caplog.set_level(logging.INFO)
    shown = display(progress=mode)
    shown.at("mlp", "trial")
    shown.trial("val_loss", ended(0, None, None))
    shown.trial("val_loss", ended(1, 1.0, 1.0))
    assert {record.levelname for record in caplog.records} == levels


def test_the_time_left_goes_by_what_this_start_has_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Hyperband, whose trials differ in length, by epochs; a clock ends it before."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    shown = display()
    shown.at("mlp", "trial", 10)
    assert shown.remaining() == "known after the first trial"
    now = 150.0
    shown.trial("val_loss", ended(0, 1.0, 1.0, ran=False))
    now = 154.0
    shown.trial("val_loss", ended(1, 1.0, 1.0))
    assert shown.remaining() == "about 0:00:32: 8 more trials, one every 4 s so far"
    now = 156.0
    assert shown.remaining().startswith("about 0:00:30: 8 more")
    shown.trial("val_loss", ended(2, 1.0, 1.0, end=166.0))
    assert shown.remaining() == "about 0:00:10: tuner.max_seconds"
    shown.at("cnn", "trial", 17, epochs=30)
    now = 160.0
    gone_on = {"tuner/epochs": 4, "tuner/initial_epoch": 2}
    shown.trial("val_loss", ended(0, 1.0, 1.0, values=gone_on))
    assert shown.remaining() == "about 0:00:56: 28 more epochs, one every 2 s so far"
    shown.at("cnn", "trial")  # nobody knows how many
    shown.trial("val_loss", ended(0, 1.0, 1.0))
    assert shown.remaining() == ""


def test_the_display_has_a_row_for_each_worker_and_fits_the_terminal(tmp_path: Path) -> None:
    """With the epoch that a training writes down in its folder, wherever it runs."""
    place = ledger.SearchFolder(tmp_path, "f", tmp_path)
    place.write("epoch", b"3/10", "0012")
    values = {"model.h1": 64, "model.activation": "[red]" + "x" * 99}
    given = (0, 0, 0, place, "0012", {"values": values})
    since = time.monotonic() - 7
    shown = display((tasks.trial, given, since), None, (tasks.preflight, (), since))
    shown.at("cnn", "trial", 30)
    shown.trial("val_acc", ended(11, 0.5, 0.5))
    out = io.StringIO()
    Console(file=out, width=60).print(shown)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert lines[0] == "digits    cnn (2 of 2): 1/30 trials"
    assert lines[1] == "best      trial 0011  val_acc 0.5  h1=64 lr=3.2e-3"
    assert lines[3] == "worker 1  trial 0012  epoch 3/10  7 s  h1=64 activation=[re…"
    assert lines[4:] == ["worker 2  -", "worker 3  trying the default model  7 s"]


def test_one_pipeline_is_not_counted_and_a_stage_of_the_run_has_a_name() -> None:
    shown = display(names=("main",))
    assert shown.rows() == [("digits", "preparing")]
    shown.at("main", "refit", 3)
    assert shown.rows()[0] == ("digits", "main: 0/3 refits")


def test_a_run_without_a_terminal_gives_signs_of_life(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is drawn; it ends with the run."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "ALIVE", 0.02)
    with progress.shown(Run(), Workers(None), "digits", ["mlp"]):
        Display.now.at("mlp", "trial", 4)
        time.sleep(0.1)
    assert "digits: mlp: 0/4 trials; left: known after the first trial" in caplog.text
    count = len(caplog.records)
    time.sleep(0.05)
    assert len(caplog.records) == count


def test_what_is_logged_goes_to_stderr_as_it_is_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it stands above what is drawn there."""
    handler, drawn = log.Console(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", drawn)
    handler.emit(logging.makeLogRecord({"msg": "a trial"}))
    assert drawn.getvalue() == "a trial\n"
