"""What a search left on disk, as Keras Tuner writes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from history.errors import HistoryError
from history.oracle import best_trial, read_search

DEFAULTS = {"units": 16}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three started trials, the second with our own result beside it, and one that was never
    started.
    """
    trials: list[dict[str, Any]] = [
        {"trial_id": "00", "status": "FAILED", "score": None, "message": "boom"},
        {"trial_id": "01", "status": "COMPLETED", "score": 0.5, "best_step": 3},
        {"trial_id": "02", "status": "COMPLETED", "score": float("nan")},
        {"trial_id": "99", "status": "COMPLETED", "score": 1.0},
    ]
    for number, trial in enumerate(trials):
        path = tmp_path / f"trial_{trial['trial_id']}"
        path.mkdir()
        values = {"units": 32 + number, "tuner/epochs": 2}
        (path / "trial.json").write_text(
            json.dumps({**trial, "hyperparameters": {"values": values}})
        )
    result = {
        "started": "2025-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "executions": [{"seed": 1, "history": {"loss": [2.0, 1.0]}}],
    }
    (tmp_path / "trial_01" / "result.json").write_text(json.dumps(result))
    oracle = {
        "hyperparameters": {"space": [{"class_name": "Int"}], "values": DEFAULTS},
        "start_order": ["02", "00", "01"],
        "hyperband_iterations": float("inf"),
        "max_epochs": 9,
        "seed": 1,
    }
    (tmp_path / "oracle.json").write_text(json.dumps(oracle))
    return tmp_path


def test_a_search_is_read_in_start_order(folder: Path) -> None:
    """Trials that were not started are left out; NaN is None; our own file adds times and
    curves.
    """
    record = read_search(folder)
    assert [trial["trial_id"] for trial in record.trials] == ["02", "00", "01"]
    assert [trial["score"] for trial in record.trials] == [None, None, 0.5]
    assert record.parameters == {"hyperband_iterations": float("inf"), "max_epochs": 9}
    assert record.space == [{"class_name": "Int"}]
    assert record.oracle["seed"] == 1
    assert record.trials[1]["message"] == "boom"
    assert record.trials[0]["history"] == []
    assert record.trials[0]["seconds"] is None
    assert record.trials[2] == {
        "trial_id": "01",
        "status": "COMPLETED",
        "score": 0.5,
        "values": {"units": 33, "tuner/epochs": 2},
        "best_epoch": 3,
        "started": "2025-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "history": [{"loss": [2.0, 1.0]}],
        "message": None,
    }


def test_the_best_trial_is_completed_and_never_the_defaults(folder: Path) -> None:
    """Neither the failed one, nor NaN, nor the values in oracle.json."""
    best = best_trial(read_search(folder).trials, "max")
    assert best is not None
    assert best["trial_id"] == "01"
    assert best["values"]["units"] != DEFAULTS["units"]


def test_the_direction_is_the_stated_one_and_the_earlier_of_equals_wins() -> None:
    """Infinities never win; without a completed trial there is no best."""
    trials = [
        {"trial_id": id, "status": status, "score": score}
        for id, status, score in [
            ("a", "COMPLETED", 0.2),
            ("b", "COMPLETED", 0.8),
            ("c", "COMPLETED", 0.2),
            ("d", "COMPLETED", 0.8),
            ("e", "COMPLETED", float("inf")),
            ("f", "COMPLETED", float("-inf")),
            ("g", "RUNNING", 0.9),
            ("h", "INVALID", 0.1),
        ]
    ]
    lowest, highest = best_trial(trials, "min"), best_trial(trials, "max")
    assert lowest is not None
    assert highest is not None
    assert (lowest["trial_id"], highest["trial_id"]) == ("a", "b")
    assert best_trial(trials[6:], "max") is None


def test_a_file_that_is_cut_off_or_strange_is_named(folder: Path) -> None:
    """Also one that is missing."""
    (folder / "trial_01" / "trial.json").write_text('{"trial_id": "0')
    with pytest.raises(HistoryError, match=r"trial_01/trial\.json"):
        read_search(folder)
    (folder / "oracle.json").write_text("{}")
    with pytest.raises(HistoryError, match="hyperparameters"):
        read_search(folder)
    with pytest.raises(HistoryError, match=r"oracle\.json"):
        read_search(folder / "nowhere")
