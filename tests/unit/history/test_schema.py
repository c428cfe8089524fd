"""What earlier releases wrote is read as what this one writes."""

import re
import shutil
from pathlib import Path

import pytest
from history_samples import tree

import history
from foundation.errors import IntegrityError
from history.catalogue import History
from history.config import experiment_yaml, stored_config
from history.doctor import mend
from history.schema import SCHEMA_VERSION, read_document
from history.store import Store
from history.view.commands import main

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
    """Those before today's have to be there."""
    assert {f"schema-{version}" for version in range(1, SCHEMA_VERSION)} <= {
        path.name for path in FROZEN
    }


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
            assert manager.rank([entry])[0].mean is not None
            assert entry.metric(manager.ranking, of="deviation") is not None
            assert entry.value("best.values")
    for command in (["list"], ["list", "--json"], *(["show", entry.id] for entry in entries)):
        assert main(["--root", str(frozen.root), *command]) == 0
        assert capsys.readouterr().err == ""
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


def document(**keys: object) -> dict[str, object]:
    created = "2026-01-01T00:00:00+00:00"
    return {"id": "mlp-1", "created": created, "status": "complete", "artefacts": {}, **keys}


def test_an_older_document_is_brought_up_to_date() -> None:
    """Step by step, the one that is given staying as it is; one without a version is of the
    first.
    """
    today = document(schema_version=SCHEMA_VERSION, origin={"kind": "archive"})
    assert read_document(today, "it") is today
    older = document(schema_version=1, seed=0, data={"columns": ["a", "b"], "source": {}})
    before = dict(older)
    upgraded = read_document(older, "it")
    assert upgraded["data"] == {"columns": {"a": "number", "b": "number"}, "source": {}}
    assert (upgraded["schema_version"], upgraded["origin"]) == (SCHEMA_VERSION, {"kind": "run"})
    assert older == before
    del older["schema_version"]
    assert read_document(older, "it") == upgraded


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([1], "is not the document of an entry"),
        (document(id=5), "has no valid id"),
        (document(status="done"), "status is 'done'"),
        (document(status=["complete"]), "status is"),
        (document(created=5), "created is not an ISO 8601 time: 5"),
        (document(created="2026-01-01\nhooks: {}"), "created is not an ISO 8601 time"),
        (document(manager={}), "manager is not a str"),
        (document(search="x"), "search is not a dict"),
        (document(search={"objective": "val_loss"}), "search.objective is not a dict"),
        (document(validation={"metrics": [1]}), "validation.metrics is not a dict"),
        (document(environment={"git": 5}), "environment.git is not a dict"),
        (document(artefacts=[1]), "artefacts is not a dict"),
        (document(notes="x"), "notes is not a list"),
        (document(artefacts={"model": 5}), "artefacts.model has no path"),
        (document(artefacts={"model": {"path": "p", "bytes": "1"}}), "artefacts.model has no"),
    ],
)
def test_what_is_no_document_is_refused(content: object, what: str) -> None:
    """In one sentence that begins with where it was: those who read an entry rely on its shape."""
    with pytest.raises(IntegrityError, match=f"^here .*{re.escape(what)}"):
        read_document(content, "here")


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, -1, "1", None, 1.5, True, []])
def test_a_document_of_a_release_to_come_is_named_and_left_out(
    root: Path, version: object, caplog: pytest.LogCaptureFixture
) -> None:
    """With its id, what can be read, and what to do; the others are there, and nothing on disk is
    changed.
    """
    Store(root).insert(document(id="old"))
    Store(root).insert(document(schema_version=version))
    before = tree(root)
    assert [entry.id for entry in history.open(root).entries()] == ["old"]
    assert [entry.id for entry in history.open(root).entries()] == ["old"]
    [said] = caplog.messages
    assert f"entry 'mlp-1' has the schema version {version!r}; this release reads 1 to" in said
    assert "install the release that wrote it" in said
    assert tree(root) == before
