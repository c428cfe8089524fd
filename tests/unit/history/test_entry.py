"""Entries, their names and their ranking."""

import re
from pathlib import Path
from unittest import mock

import pytest
from history_samples import Add

import history
from foundation.errors import (
    ExperimentError,
    HistoryError,
    InputError,
    IntegrityError,
    UnknownEntry,
    UntrustedCode,
)
from foundation.files import sha256
from history import registry
from history.entry import Entry, new_id, select
from history.ranking import rank


@pytest.mark.parametrize(
    "pipeline", ["mlp", "my_MLP", "1e5", "größe", "-", "a" * 300, "../x", "null"]
)
def test_ids_are_safe_whatever_the_pipeline_is_called(pipeline: str) -> None:
    """They match the pattern, are short enough for a folder's name, and no two are equal."""
    ids = {new_id(pipeline) for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*-[b-z2-9]{8}", id) and len(id) < 80 for id in ids)


def test_values_are_read_by_dotted_key() -> None:
    """Also where a key holds dots itself; missing and null give the default."""
    entry = Entry(
        {"id": "a", "best": {"values": {"model.dropout": 0.2, "x": None}}, "error": None}, Path("r")
    )
    for key, default, expected in (
        ("best.values.model.dropout", None, 0.2),
        ("best.values", None, {"model.dropout": 0.2, "x": None}),
        ("best.values.x", 1, 1),
        ("error.message", "-", "-"),
        ("validation.metrics.accuracy", None, None),
    ):
        assert entry.value(key, default) == expected
    assert (entry.metric("accuracy"), entry.repeats) == (None, 0)


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), float("nan"), float("inf"), "x", [1]],
    ids=lambda value: str(value)[:5],
)
def test_a_metric_is_a_finite_number_or_none(tmp_path: Path, value: object) -> None:
    """Whatever a document from elsewhere has in its place."""
    document = {"validation": {"metrics": {"accuracy": value, "loss": 1}}}
    entry = Entry(document, tmp_path)
    assert (entry.metric("accuracy"), entry.metric("loss")) == (None, 1.0)


def test_what_the_fingerprint_is_made_of_is_an_artefact(add: Add, root: Path) -> None:
    """In older entries it is in the document; where it is no mapping there is nothing; damaged it
    is refused.
    """
    assert add().identity() == {}
    assert Entry({"identity": {"task": "t"}}, root).identity() == {"task": "t"}
    path = root / "identity.json"
    for content, expected in ((b"[1]", {}), (b'{"task": "t"}', {"task": "t"})):
        path.write_bytes(content)
        facts = {"path": path.name, "bytes": len(content), "sha256": sha256(path)}
        entry = Entry({"artefacts": {"identity": facts}}, root)
        assert entry.identity() == expected
    path.write_bytes(b'{"task": "u"}')
    with pytest.raises(IntegrityError, match="'identity'"):
        entry.identity()


def test_an_artefact_outside_the_root_is_refused(tmp_path: Path) -> None:
    """By dots, by an absolute path or through a link; an unknown name lists those that there
    are.
    """
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "link").symlink_to(tmp_path)
    for path in ("../secret", "/etc/passwd", "link/secret"):
        entry = Entry({"id": "a", "artefacts": {"model": {"path": path}}}, tmp_path / "results")
        with pytest.raises(IntegrityError, match="points outside"):
            entry.artefact("model")
    with pytest.raises(InputError, match=r"did you mean 'model'\? \(known: model"):
        entry.artefact("modle")


def test_entries_come_oldest_first() -> None:
    """By time of creation; those of one second in the order stored."""
    years = {"b": 2022, "a": 2021, "c": 2022}
    row = {"status": "failed", "artefacts": {}}
    rows = [{**row, "id": id, "created": f"{year}-01-01"} for id, year in years.items()]
    assert [entry.id for entry in select(rows, Path("r"))] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("measured", "tied"),
    [
        ([(0.90, 0.02, 4), (0.872, 0.02, 4), (0.871, 0.02, 4)], [True, True, False]),
        ([(0.9, 0.0, 1), (0.9, 0.1, 3)], [None, None]),
    ],
)
def test_a_difference_within_noise_is_a_tie(
    measured: list[tuple[float, float, int]], tied: list[bool | None]
) -> None:
    """Two standard errors of the difference decide: here sqrt(0.02²/4 + 0.02²/4) x 2 = 0.0283. The
    noise of one repeat is unknown, also when the numbers are equal.
    """
    parts = [
        {"metrics": {"m": mean}, "deviation": {"m": deviation}, "repeats": repeats}
        for mean, deviation, repeats in measured
    ]
    entries = [Entry({"status": "complete", "validation": part}, Path("r")) for part in parts]
    places = rank(entries, "m", "max")
    assert [place.entry for place in places] == entries
    assert [place.tied for place in places] == tied


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
    for reference, message in [
        ("mlp-", f"{first.id}, {third.id}"),
        (f"x{second.id}", f"did you mean '{second.id}'"),
        *((missing, "no entry") for missing in ("@3", "@-4", "")),
    ]:
        with pytest.raises(UnknownEntry, match=message):
            catalogue.get(reference)


def test_without_a_history_the_root_is_named(root: Path) -> None:
    """With the option that names another; nothing is made."""
    with pytest.raises(UnknownEntry, match=r"among the 0 in .*--root"):
        history.open(root).get("@-1")
    assert not root.exists()


@pytest.mark.parametrize("broken", ["insert", "add"])
def test_files_of_an_entry_that_is_not_stored_stay_where_they_were(
    add: Add, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The message says so, and nothing is left of the entry."""
    refuse = mock.Mock(side_effect=HistoryError("disk full"))
    monkeypatch.setattr(f"history.store.Store.{broken}", refuse)
    with pytest.raises(HistoryError, match="disk full; its files are untouched"):
        add()
    assert len([*(tmp_path / "made").iterdir()]) == 6
    assert [*root.glob("entries/*")] == []
    assert history.open(root).entries() == []


def test_what_cannot_be_an_entry_is_refused(root: Path, tmp_path: Path) -> None:
    """Nothing is moved: neither where one file would overwrite another, nor where one is none."""
    paths = {"a": tmp_path / "a" / "file", "b": tmp_path / "b" / "file"}
    for path in paths.values():
        path.parent.mkdir()
        path.write_text("x")
    manager = registry.manager("regression", root)
    failed = {"pipeline": "mlp", "status": "failed"}
    for document, files, what in (
        (failed, paths, "share a name"),
        (failed, {"a": paths["a"].parent}, "Is a directory"),
        ({**failed, "status": "done"}, {}, "status is 'done'; it must be one of"),
        ({**failed, "search": "x"}, {}, "search is not a dict"),
    ):
        with pytest.raises(HistoryError, match=what):
            manager.add(document, files)
    assert all(path.exists() for path in paths.values())
    assert not root.exists()


def test_a_message_shows_control_characters_of_a_name_and_obeys_none() -> None:
    """Whatever it quotes, a column, a folder or another error, of any kind of error; its own lines
    stay lines.
    """
    name = "\x1b[31mred\u202e\udcff\rx"
    for error in (ExperimentError(f"a\n{name}"), UntrustedCode(name, [name])):
        assert r"\x1b[31mred\u202e\udcff\rx" in f"{error}"
        assert "\n" in str(error)
        assert str(error).replace("\n", "").isprintable()


@pytest.mark.parametrize("content", [b"5", b"[5]", b"[{}]", b'{"a": 1}', b"[[1]]", b"null"])
def test_refits_that_are_none_are_damage(tmp_path: Path, content: bytes) -> None:
    """An entry from elsewhere may hold anything there; its document says two refits."""
    entry = Entry({"id": "mlp-1", "validation": {"runs": [{}, {}]}}, tmp_path)
    (tmp_path / "history.json").write_bytes(content)
    entry.document["artefacts"] = {
        "history": {
            "path": "history.json",
            "bytes": len(content),
            "sha256": sha256(tmp_path / "history.json"),
        }
    }
    with pytest.raises(IntegrityError, match="not a list of refits"):
        entry.refits()


def test_what_is_left_out_is_named_in_letters_to_print(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the folder and the row are called."""
    root = Path("/\x1b[31m")
    assert select([{"id": "\x1b[2J"}, {"id": "b"}], root) == []
    [said] = caplog.messages
    assert said.isprintable()
    assert r"left out of the history in /\x1b[31m: '\x1b[2J', 'b'" in said
