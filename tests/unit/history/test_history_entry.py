"""Entries, their names and their ranking."""

import re
from pathlib import Path

import pytest
from history_samples import Add

import history
from history.entry import Entry, new_id, select
from history.errors import HistoryError, InputError, IntegrityError, UnknownEntry
from history.files import sha256
from history.ranking import rank


@pytest.mark.parametrize(
    "pipeline", ["mlp", "my_MLP", "1e5", "größe", "-", "a" * 300, "../x", "null"]
)
def test_ids_are_safe_whatever_the_pipeline_is_called(pipeline: str) -> None:
    """They match the pattern, are short enough for a folder's name, and no two are equal."""
    ids = {new_id(pipeline) for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", id) and len(id) < 80 for id in ids)


def test_an_id_begins_with_the_pipelines_name() -> None:
    """Eight characters follow, none a vowel or a look-alike."""
    assert re.fullmatch(r"mlp-[bcdfghjkmnpqrstvwxz2-9]{8}", new_id("mlp"))


def test_values_are_read_by_dotted_key() -> None:
    """Also where a key holds dots itself; missing and null give the default."""
    entry = Entry(
        {"id": "a", "best": {"values": {"model.dropout": 0.2, "x": None}}, "error": None}, Path("r")
    )
    assert entry.value("best.values.model.dropout") == 0.2
    assert entry.value("best.values") == {"model.dropout": 0.2, "x": None}
    assert entry.value("best.values.x", 1) == 1
    assert entry.value("error.message", "-") == "-"
    assert entry.value("validation.metrics.accuracy") is None
    assert (entry.metric("accuracy"), entry.deviation("accuracy"), entry.repeats) == (None, None, 0)


def test_what_the_fingerprint_is_made_of_is_an_artefact(add: Add, root: Path) -> None:
    """In older entries it is in the document; where it is no mapping there is nothing; damaged it
    is refused.
    """
    entry = add()
    assert entry.identity() == {}
    assert Entry({"identity": {"task": "t"}}, root).identity() == {"task": "t"}
    path = entry.artefact("model").with_name("identity.json")
    for content, expected in ((b'{"task": "t"}', {"task": "t"}), (b"[1]", {})):
        path.write_bytes(content)
        facts = {"identity": {"path": f"entries/{entry.id}/identity.json", "bytes": len(content)}}
        facts["identity"]["sha256"] = sha256(path)
        assert Entry({"artefacts": facts}, root).identity() == expected
    path.write_bytes(b"[2]")
    with pytest.raises(IntegrityError, match="'identity'"):
        Entry({"artefacts": facts}, root).identity()


def test_an_artefact_outside_the_root_is_refused(tmp_path: Path) -> None:
    """By dots, by an absolute path or through a link; an unknown name lists those that there
    are.
    """
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "link").symlink_to(tmp_path)
    for path in ("../secret", "/etc/passwd", "link/secret"):
        entry = Entry({"id": "a", "artefacts": {"model": {"path": path}}}, tmp_path / "results")
        with pytest.raises(IntegrityError, match="leads out"):
            entry.artefact("model")
    with pytest.raises(InputError, match=r"did you mean 'model'\? \(known: model"):
        entry.artefact("modle")


def test_entries_come_oldest_first() -> None:
    """By time of creation; those of one second in the order stored."""
    documents = [
        {"id": id, "created": created} for id, created in (("b", "2"), ("a", "1"), ("c", "2"))
    ]
    assert [entry.id for entry in select(documents, Path("r"))] == ["a", "b", "c"]


def measured(
    id: str, mean: float | None, deviation: float, repeats: int, status: str = "complete"
) -> Entry:
    validation = {"metrics": {"m": mean}, "deviation": {"m": deviation}, "repeats": repeats}
    return Entry({"id": id, "status": status, "validation": validation}, Path("r"))


def test_a_difference_within_noise_is_a_tie() -> None:
    """Two standard errors of the difference decide: here sqrt(0.02²/4 + 0.02²/4) x 2 = 0.0283."""
    entries = [
        measured("best", 0.90, 0.02, 4),
        measured("near", 0.872, 0.02, 4),
        measured("far", 0.871, 0.02, 4),
    ]
    assert [(place.entry.id, place.tied) for place in rank(entries, "m", "max")] == [
        ("best", True),
        ("near", True),
        ("far", False),
    ]


def test_without_repeats_nothing_is_called_a_tie() -> None:
    """The noise of one repeat is unknown, also when the numbers are equal."""
    entries = [measured("a", 0.9, 0.0, 1), measured("b", 0.9, 0.1, 3)]
    assert [place.tied for place in rank(entries, "m", "max")] == [None, None]


def test_what_has_no_value_comes_last_in_stored_order() -> None:
    """Failed, missing and NaN alike; the direction decides about the others."""
    entries = [
        measured("failed", 0.0, 0.0, 2, status="failed"),
        measured("two", 2.0, 0.0, 2),
        measured("nan", float("nan"), 0.0, 2),
        measured("one", 1.0, 0.0, 2, status="budget"),
        Entry({"id": "bare", "status": "complete"}, Path("r")),
    ]
    assert [place.entry.id for place in rank(entries, "m", "min")] == [
        "one",
        "two",
        "failed",
        "nan",
        "bare",
    ]


def test_an_entry_is_named_by_id_prefix_or_position(add: Add, root: Path) -> None:
    """An exact id wins over those that it begins; what is ambiguous lists its candidates."""
    first, second = add(pipeline="mlp"), add(pipeline="cnn")
    catalogue = history.open(root)
    for reference, expected in [
        (first.id, first),
        ("cnn", second),
        ("@0", first),
        ("@-1", second),
        ("@1", second),
    ]:
        assert catalogue.get(reference).id == expected.id
    third = add(pipeline="mlp")
    with pytest.raises(UnknownEntry, match=f"{first.id}, {third.id}"):
        catalogue.get("mlp-")
    with pytest.raises(UnknownEntry, match=f"did you mean '{second.id}'"):
        catalogue.get(f"x{second.id}")
    for reference in ("@3", "@-4", ""):
        with pytest.raises(UnknownEntry):
            catalogue.get(reference)


def test_without_a_history_the_root_is_named(root: Path) -> None:
    """With the option that names another; nothing is made."""
    with pytest.raises(UnknownEntry, match=r"results holds no history.*--root"):
        history.open(root).get("@-1")
    assert not root.exists()


def test_a_failed_insert_says_where_the_files_are(
    add: Add, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the entry's folder, complete, and no document acknowledges them."""

    def refuse(self: object, document: object) -> None:
        raise HistoryError("disk full")

    monkeypatch.setattr("history.store.TinyDBStore.insert", refuse)
    with pytest.raises(HistoryError, match="disk full") as caught:
        add()
    [folder] = (root / "entries").iterdir()
    for path in folder.iterdir():
        assert path.name == "entry.json" or str(path) in str(caught.value)
    assert history.open(root).entries() == []


def test_a_failed_move_says_where_each_file_is(
    add: Add, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved ones in the unfinished folder, the others where they were."""
    import shutil

    move = shutil.move

    def once(source: Path, target: Path) -> object:
        if source.name == "config.bin":
            raise OSError("disk full")
        return move(source, target)

    monkeypatch.setattr(shutil, "move", once)
    with pytest.raises(HistoryError, match="disk full") as caught:
        add()
    [part] = (root / "entries").iterdir()
    assert part.name.startswith(".mlp-")
    assert str(part / "model.bin") in str(caught.value)
    assert str(tmp_path / "made" / "config.bin") in str(caught.value)


def test_two_files_of_one_name_are_refused(root: Path, tmp_path: Path) -> None:
    """One would overwrite the other in the entry's folder; nothing is moved."""
    from history import registry
    from history.store import open_store

    paths = {"a": tmp_path / "a" / "file", "b": tmp_path / "b" / "file"}
    for path in paths.values():
        path.parent.mkdir()
        path.write_text("x")
    manager = registry.manager("regression", root, open_store("tinydb", root))
    with pytest.raises(HistoryError, match="share a name"):
        manager.add({"pipeline": "mlp", "status": "failed"}, paths)
    assert all(path.exists() for path in paths.values())
