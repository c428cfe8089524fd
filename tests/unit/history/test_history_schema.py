"""What earlier releases wrote is read as what this one writes."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from history_trees import tree

import history
from history import schema
from history.__main__ import main
from history.catalogue import History
from history.doctor import mend
from history.errors import HistoryError
from history.exchange.config import experiment_yaml, stored_config
from history.schema import SCHEMA_VERSION, upgrade
from history.store import TinyDBStore

FROZEN = sorted((Path(__file__).parents[2] / "fixtures").glob("schema-*"))


@pytest.fixture(params=FROZEN, ids=lambda path: path.name)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    """A copy of a history as the release of that schema wrote it: a pipeline of each task, and a
    failed one.
    """
    root = tmp_path / "results"
    shutil.copytree(request.param, root)
    return history.open(root)


def test_every_schema_that_was_ever_written_is_frozen() -> None:
    """Those before today's have to be there, and a step leads from each to the next."""
    assert {f"schema-{version}" for version in range(1, SCHEMA_VERSION)} <= {
        path.name for path in FROZEN
    }
    assert [*schema._STEPS] == [*range(1, SCHEMA_VERSION)]


def test_a_frozen_history_opens_and_stays_as_it_is(
    frozen: History, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lists, verifies, ranks and reports; every entry is found by its names; reading writes
    nothing.
    """
    before = tree(frozen.root)
    entries = frozen.entries()
    assert sorted((entry.task, entry.status) for entry in entries) == [
        ("classification", "complete"),
        ("classification", "failed"),
        ("regression", "complete"),
    ]
    for position, entry in enumerate(entries):
        assert entry.document["schema_version"] == SCHEMA_VERSION
        assert not entry.imported
        for reference in (entry.id, entry.id[:-2], f"@{position}"):
            assert frozen.get(reference) == entry
        manager = frozen.manager_of(entry)
        manager.verify(entry)
        if entry.status == "complete":
            assert len(manager.report(entry).rows) > 2
            [first, *_] = manager.rank([entry])
            assert first.mean is not None
            assert entry.deviation(manager.ranking) is not None
            assert entry.value("best.values")
    for command in (["list"], ["list", "--json"], *(["show", entry.id] for entry in entries)):
        assert main(["--root", str(frozen.root), *command]) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        assert entries[0].id in shown.out or command[0] == "show"
    assert tree(frozen.root) == before


def test_the_experiment_of_a_frozen_entry_can_be_written(frozen: History) -> None:
    """Its config is what was stored, and makes an experiment file of the same pipeline."""
    before = tree(frozen.root)
    for entry in frozen.entries():
        root, name, sections = stored_config(entry)
        assert (name, sections["task"]["kind"]) == (entry.pipeline, entry.task)
        assert root["seed"] == entry.value("seed")
        text = experiment_yaml(entry)
        assert text.startswith("# @package _global_\n")
        assert f"  {entry.pipeline}:\n" in text
        assert "paths:" not in text
        assert "stratify" not in text
    assert tree(frozen.root) == before


def test_a_frozen_history_can_be_mended_and_added_to(frozen: History) -> None:
    """What is on disk of the old entries stays as it was written, also beside new ones."""
    before = tree(frozen.root)
    rows = {row["id"]: row for row in frozen.store.all()}
    assert mend(frozen)[1] == []
    manager = frozen.manager_of(frozen.get("@0"))
    new = manager.add({"pipeline": "mlp", "status": "failed"}, {})
    after = tree(frozen.root)
    assert {path: after[path] for path in before if path != "history.json"} == {
        path: content for path, content in before.items() if path != "history.json"
    }
    assert {row["id"]: row for row in frozen.store.all()} == {**rows, new.id: new.document}
    for entry in frozen.entries():
        frozen.manager_of(entry).verify(entry)


def test_an_older_document_is_brought_up_to_date() -> None:
    """Step by step, the one that is given staying as it is; one without a version is of the
    first.
    """
    older: dict[str, Any] = {"id": "mlp-1", "schema_version": 1, "seed": 0}
    assert upgrade(older) == {**older, "schema_version": SCHEMA_VERSION, "origin": {"kind": "run"}}
    assert older == {"id": "mlp-1", "schema_version": 1, "seed": 0}
    assert upgrade({"id": "mlp-1"}) == {
        "id": "mlp-1",
        "schema_version": SCHEMA_VERSION,
        "origin": {"kind": "run"},
    }
    columns = {"id": "mlp-1", "data": {"columns": ["a", "b"], "source": {}}}
    assert upgrade(columns)["data"] == {"columns": {"a": "number", "b": "number"}, "source": {}}
    today = {"schema_version": SCHEMA_VERSION, "origin": {"kind": "archive"}}
    assert upgrade(today) is today


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, -1, "1", None, 1.5, []])
def test_a_document_of_a_release_to_come_is_refused(root: Path, version: object) -> None:
    """With its id, what can be read, and what to do; nothing on disk is changed by the attempt."""
    TinyDBStore(root).insert({"id": "mlp-1", "schema_version": version})
    before = tree(root)
    with pytest.raises(
        HistoryError, match=rf"'mlp-1' .* reads 1 to {SCHEMA_VERSION}: install"
    ) as caught:
        history.open(root).entries()
    assert f"schema version {version!r}" in str(caught.value)
    assert tree(root) == before
