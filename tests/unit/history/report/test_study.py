"""The trials of an entry as a study of Optuna's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from history_samples import Add, Cli
from report_samples import SPACE

from history.entry import Entry

optuna = pytest.importorskip("optuna")

from history.report.study import study  # noqa: E402


def trial(number: int, score: float | None, status: str = "COMPLETED", **values: object) -> object:
    return {
        "trial_id": f"{number:04}",
        "status": status,
        "score": score,
        "values": {"seed": 3, "tuner/epochs": 2, **values},
        "started": f"2026-07-0{number + 1}T10:00:00+00:00",
        "seconds": 1.5,
        "history": [{"val_accuracy": [0.1, None, score]}],
    }


def entry(add: Add, *rows: object) -> Entry:
    search = {"objective": {"name": "val_accuracy", "direction": "max"}, "space": SPACE}
    return add(contents={"trials": json.dumps(rows).encode()}, search=search)


def with_trials(add: Add, *rows: object) -> Any:
    return study(entry(add, *rows))


def test_a_study_has_the_trials_with_their_values_and_conditions(add: Add) -> None:
    """What a condition rules out, what never varies and the tuner's own values are no parameters;
    a default outside the range widens it.
    """
    found = with_trials(
        add,
        trial(0, 0.5, optimizer="sgd", momentum=0.3, rate=1e-3, width=16, bias=True),
        trial(1, 0.9, optimizer="adam", momentum=0.3, rate=5e-2, width=7, bias=False),
        trial(2, None, "FAILED", optimizer="adam", rate=1e-3, width=16, bias=False),
        trial(3, None, optimizer="adam", rate=1e-3, width=16, bias=False),
    )
    assert [each.state.name for each in found.trials] == ["COMPLETE", "COMPLETE", "FAIL", "FAIL"]
    first, second, *_ = found.trials
    assert set(first.params) == {"optimizer", "momentum", "rate", "width", "bias"}
    assert set(second.params) == {"optimizer", "rate", "width", "bias"}
    assert found.best_trial.user_attrs == {"trial_id": "0001", "tuner/epochs": 2}
    assert first.distributions["rate"] == optuna.distributions.FloatDistribution(
        1e-4, 0.05, log=True
    )
    assert first.distributions["width"].low == 7
    assert first.intermediate_values == {0: 0.1, 2: 0.5}
    assert first.duration is not None
    assert first.duration.total_seconds() == 1.5


def test_an_entry_without_trials_is_an_empty_study(failed: Callable[[], Entry]) -> None:
    assert study(failed()).trials == []


def test_an_exported_study_is_the_same_when_optuna_loads_it(
    add: Add, cli: Cli, tmp_path: Path
) -> None:
    """Values, states, distributions, scores by epoch; a second export replaces the first, and one
    of several entries, which would be several studies, is refused.
    """
    made = entry(
        add,
        trial(0, 0.5, optimizer="sgd", momentum=0.3, rate=1e-3, width=16, bias=True),
        trial(1, None, "FAILED", optimizer="adam", rate=5e-2, width=7, bias=False),
    )
    file = tmp_path / "study.log"
    file.write_text("an older one")
    assert cli("export", made.id, "--optuna", file).out == ""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    loaded, known = optuna.load_study(study_name=made.id, storage=storage), study(made)
    assert loaded.direction == known.direction
    for got, was in zip(loaded.trials, known.trials, strict=True):
        for part in ("state", "value", "params", "distributions", "intermediate_values"):
            assert getattr(got, part) == getattr(was, part)
        assert got.user_attrs == was.user_attrs
        assert got.datetime_start.astimezone() == was.datetime_start  # it loads local times
    entry(add)
    assert "name one ID" in cli("export", "--optuna", file, exit_code=2).err
