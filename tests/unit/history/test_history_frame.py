"""Entries as one table: CSV and DataFrame."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from history_samples import Add

import history
from foundation.files import to_json
from history.entry import Entry
from history.view.rows import EntryRow, to_csv


def rows(*documents: dict[str, Any]) -> list[dict[str, str]]:
    """Return what a reader of the CSV of these documents gets."""
    text = to_csv([EntryRow(Entry(document, Path("r"))) for document in documents]).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_nested_keys_become_dotted_columns() -> None:
    """`id` and `created` first, sections together; what an entry lacks is empty, a list is JSON."""
    first = {
        "task": "t",
        "best": {"values": {"model.dropout": 0.1}},
        "id": "a",
        "overrides": ["x=1", 'y="2"'],
    }
    second: dict[str, Any] = {
        "id": "b",
        "error": {"message": "two\nlines\rand, a comma"},
        "best": {"values": {"lr": 1e-05}, "score": None},
    }
    one, two = rows(first, second)
    assert list(one) == [
        *(
            "id",
            "created",
            "task",
            "best.values.model.dropout",
            "best.values.lr",
            "best.score",
            "overrides",
        ),
        "error.message",
    ]
    assert one == {
        **dict.fromkeys(one, ""),
        "id": "a",
        "task": "t",
        "best.values.model.dropout": "0.1",
        "overrides": '["x=1","y=\\"2\\""]',
    }
    assert (two["error.message"], two["best.values.lr"]) == (second["error"]["message"], "1e-05")


def test_what_is_too_large_for_a_cell_is_left_out() -> None:
    """The search space, the single refits, and what the fingerprint is made of."""
    document = {
        "id": "a",
        "search": {"space": [{"name": "x"}], "tuner": "random"},
        "validation": {"runs": [{"seed": 1}], "repeats": 1},
        "identity": {"task": "t"},
    }
    assert list(rows(document)[0]) == ["id", "created", "search.tuner", "validation.repeats"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-1.5e-3", "-1.5e-3"),
        ("x=1", "x=1"),
        (-2, "-2"),
    ],
)
def test_a_spreadsheet_runs_nothing_of_it(text: object, cell: str) -> None:
    """What would be a formula gets an apostrophe, also as a column's name; numbers stay numbers."""
    assert rows({"id": "a", "=x": text})[0]["'=x"] == cell


def test_without_entries_there_is_a_header(root: Path) -> None:
    """So that a reader finds the columns that every entry has."""
    assert to_csv([]) == b"id,created\r\n"
    assert list(history.open(root).to_frame().columns) == ["id", "created"]


def test_a_frame_has_the_columns_of_the_csv(
    add: Add, failed: Callable[[], Entry], root: Path
) -> None:
    """A row per entry; `created` is a time in UTC; numbers are numbers, and NaN where there is
    none.
    """
    entry, broken = add(), failed()
    entries = history.open(root).entries()
    frame = history.open(root).to_frame()
    assert list(frame.columns) == next(
        csv.reader(io.StringIO(to_csv([*map(EntryRow, entries)]).decode()))
    )
    assert list(frame["id"]) == [entry.id, broken.id]
    assert str(frame["created"].dt.tz) == "UTC"
    assert frame["created"][0] == pandas.Timestamp(entry.created)
    assert frame["validation.metrics.accuracy"][0] == 0.9722
    assert pandas.isna(frame["validation.metrics.accuracy"][1])


def test_a_time_that_pandas_cannot_read_is_missing(add: Add, root: Path) -> None:
    """An imported document may hold any that ISO 8601 knows."""
    document = add().document
    history.open(root).store.insert({**document, "id": "other", "created": "9999-W01-1"})
    frame = history.open(root).to_frame()
    assert list(frame["created"].isna()) == [False, True]


def test_the_trials_of_an_entry_are_a_frame(add: Add) -> None:
    """A column for each hyperparameter, of whichever trial has it; of an entry without trials, an
    empty one.
    """
    common = {"status": "COMPLETED", "seconds": 1.5, "history": [{"loss": [0.1]}]}
    trials = [
        {**common, "trial_id": "0000", "score": 0.5, "values": {"model.dropout": 0.1}},
        {**common, "trial_id": "0001", "score": None, "values": {"model.dropout": 0.2, "lr": 1}},
    ]
    trials[0]["started"] = "2026-11-30T10:26:09.305+00:00"
    entry = add(contents={"trials": to_json(trials)})
    frame = history.open(entry.root).get(entry.id).trials()
    assert list(frame["values.model.dropout"]) == [0.1, 0.2]
    assert list(frame["values.lr"].isna()) == [True, False]
    assert frame["started"][0] == pandas.Timestamp("2026-11-30 10:26:09.305", tz="UTC")
    assert frame["score"].dtype == float
    assert "history" not in frame
    assert Entry({"id": "x"}, entry.root).trials().empty


def test_a_history_is_opened_where_runs_leave_it(
    add: Add, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder `results` of the current one."""
    entry = add()
    monkeypatch.chdir(root.parent)
    assert history.open().get(entry.id) == entry
