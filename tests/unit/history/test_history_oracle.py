"""What a search left on disk, as Keras Tuner writes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import HistoryError
from history.oracle import best_trial, read_search
from history.records import Trial


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three started trials, two with our own result beside them, and one that was never
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
    result: dict[str, Any] = {
        "started": "2025-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "executions": [{"seed": 1, "history": {"loss": [2.0, 1.0]}}],
    }
    (tmp_path / "trial_01" / "result.json").write_text(json.dumps(result))
    (tmp_path / "trial_00" / "result.json").write_text('{"seconds": 2.0}')
    oracle = {
        "hyperparameters": {"space": [{"class_name": "Int"}], "values": {"units": 16}},
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
    scores = [(trial.trial_id, trial.score) for trial in record.trials]
    assert scores == [("02", None), ("00", None), ("01", 0.5)]
    summary = record.summary()
    assert summary["oracle"] == {"hyperband_iterations": float("inf"), "max_epochs": 9}
    assert summary["seconds"] == 3.5
    assert (record.space, record.oracle["seed"]) == ([{"class_name": "Int"}], 1)
    assert record.trials[1].message == "boom"
    assert (record.trials[0].history, record.trials[0].seconds) == ([], None)
    assert record.trials[2].row() == {
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


def test_the_direction_is_the_stated_one_and_the_earlier_of_equals_wins() -> None:
    """Infinities never win; without a completed trial there is no best."""
    trials = [
        Trial(trial_id=id, status=status, values={}, score=score)
        for id, status, score in [
            ("a", "COMPLETED", 0.2),
            ("b", "COMPLETED", 0.8),
            ("c", "COMPLETED", 0.2),
            ("d", "COMPLETED", 0.8),
            ("e", "COMPLETED", float("inf")),
            ("f", "COMPLETED", float("-inf")),
            ("g", "RUNNING", 0.9),
            ("h", "INVALID", 0.1),
            ("i", "COMPLETED", None),
        ]
    ]
    assert best_trial(trials, "min") == trials[0]
    assert best_trial(trials, "max") == trials[1]
    assert best_trial(trials[4:], "max") is None


def test_a_file_that_is_cut_off_or_strange_is_named(folder: Path) -> None:
    """Also one that is missing."""
    for name in ("trial_01/trial.json", "trial_00/result.json"):
        (folder / name).write_text('{"trial_id": "0')
        with pytest.raises(HistoryError, match=name):
            read_search(folder)
    with pytest.raises(HistoryError, match=r"oracle\.json"):
        read_search(folder / "nowhere")
