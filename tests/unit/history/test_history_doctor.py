"""The doctor finds what is wrong with a history, changes nothing by looking, and mends what needs
no guess.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from history_samples import Add
from history_trees import tree

import history
from history.catalogue import History
from history.doctor import Finding, examine, mend, repair
from history.entry import Entry
from history.errors import HistoryError, UnknownEntry
from history.store import DurableTinyDB, TinyDBStore


@pytest.fixture
def entries(add: Add) -> list[Entry]:
    """Three entries, of which the generation before knows two."""
    return [add("classification"), add("regression", 2.0), add("regression", 1.0)]


@pytest.fixture
def catalogue(root: Path) -> History:
    return history.open(root)


def ids(catalogue: History) -> set[str]:
    return {entry.id for entry in catalogue.entries()}


def looked_at(catalogue: History) -> list[Finding]:
    """What the doctor finds, having changed nothing."""
    before = tree(catalogue.root)
    found = examine(catalogue)
    assert tree(catalogue.root) == before
    assert all((finding.repair is None) == (finding.do is None) for finding in found)
    return found


def is_sound(catalogue: History, entries: list[Entry]) -> None:
    assert looked_at(catalogue) == []
    assert ids(catalogue) == {entry.id for entry in entries}
    for entry in catalogue.entries():
        catalogue.manager_of(entry).verify(entry)
    for entry in entries:
        assert catalogue.get(entry.id).document == entry.document


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def test_a_sound_history_has_nothing_wrong(
    catalogue: History, entries: list[Entry], failed: Callable[[], Entry]
) -> None:
    """Whatever the tasks and statuses; mending it changes nothing."""
    is_sound(catalogue, [*entries, failed()])
    before = tree(catalogue.root)
    assert mend(catalogue) == ([], [])
    assert tree(catalogue.root) == before


def test_no_history_has_nothing_wrong(catalogue: History) -> None:
    """And none is made by looking."""
    assert mend(catalogue) == ([], [])
    assert not catalogue.root.exists()


# The database


def test_a_damaged_database_is_restored_with_all_whole_entries(
    catalogue: History, entries: list[Entry]
) -> None:
    """The generation before lacks the last entry, which its folder gives back; the damaged file is
    kept.
    """
    path = catalogue.root / "history.json"
    cut(path)
    damaged = path.read_bytes()
    [finding] = looked_at(catalogue)
    assert "history.json is not JSON" in finding.what
    assert "restore the generation before" in str(finding.repair)
    repaired, remaining = mend(catalogue)
    assert [str(finding.repair).split(",")[0] for finding in repaired] == [
        "restore the generation before",
        "put back in the database",
    ]
    assert remaining == []
    is_sound(catalogue, entries)
    [aside] = catalogue.root.glob("history.json.damaged-*")
    assert aside.read_bytes() == damaged


@pytest.mark.parametrize("previous", ["missing", "damaged", "empty"])
def test_without_a_readable_generation_before_it_is_built_from_the_folders(
    catalogue: History, entries: list[Entry], previous: str
) -> None:
    """In the order of creation; both files are kept aside."""
    before = catalogue.root / "history.previous.json"
    if previous == "missing":
        before.unlink()
    else:
        before.write_bytes(b"{}" if previous == "empty" else b"{")
    cut(catalogue.root / "history.json")
    [finding] = looked_at(catalogue)
    assert "build it anew from the 3 whole folders" in str(finding.repair)
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)
    assert len([*catalogue.root.glob("*.damaged-*")]) == (1 if previous == "missing" else 2)


def test_a_missing_database_is_restored(catalogue: History, entries: list[Entry]) -> None:
    """From the generation before and the folders or, where both are gone, from the folders
    alone.
    """
    (catalogue.root / "history.json").unlink()
    [finding] = looked_at(catalogue)
    assert "is missing, but the generation before it is there" in finding.what
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)
    for path in catalogue.root.glob("*.json"):
        path.unlink()
    [finding] = looked_at(catalogue)
    assert all(entry.id in finding.what for entry in entries)
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)


def test_a_database_is_not_given_up_where_no_folder_can_replace_it(
    catalogue: History, entries: list[Entry]
) -> None:
    """The folders of an older release hold no document: neither the file nor a folder is
    touched.
    """
    for entry in entries:
        (catalogue.root / "entries" / entry.id / "entry.json").unlink()
    (catalogue.root / "history.previous.json").unlink()
    cut(catalogue.root / "history.json")
    before = tree(catalogue.root)
    repaired, [finding] = mend(catalogue)
    assert (repaired, finding.repair) == ([], None)
    assert "none of the 3 folders in entries/ is whole" in finding.what
    assert tree(catalogue.root) == before


def test_a_removed_entry_that_comes_back_without_a_folder_is_found(
    catalogue: History, entries: list[Entry]
) -> None:
    """An older generation brings only its document back; it is named, and can be removed again."""
    catalogue.remove(entries[0])
    cut(catalogue.root / "history.json")
    _, [finding] = mend(catalogue)
    assert f"its folder {catalogue.root / 'entries' / entries[0].id} is missing" in finding.what
    catalogue.remove(catalogue.get(entries[0].id))
    is_sound(catalogue, entries[1:])


def test_a_write_that_did_not_end_is_cleaned_up(catalogue: History, entries: list[Entry]) -> None:
    """Its temporary file is deleted, also a second name of the database itself."""
    half, link = (catalogue.root / f".history.json.{name}.tmp" for name in ("0" * 16, "1" * 16))
    half.write_bytes(b'{"entries')
    link.hardlink_to(catalogue.root / "history.json")
    assert [finding.repair for finding in looked_at(catalogue)] == ["delete it", "delete it"]
    assert mend(catalogue)[1] == []
    assert not half.exists()
    assert not link.exists()
    is_sound(catalogue, entries)


def test_rows_without_an_id_are_taken_out(catalogue: History, entries: list[Entry]) -> None:
    """Nobody can name them, and nothing can be listed with them; a copy of the file stays."""
    DurableTinyDB(catalogue.root / "history.json").table("entries").insert_multiple(
        [{"name": "x"}, {"id": 5}]
    )
    DurableTinyDB(catalogue.root / "history.json").table("notes").insert({"text": "kept"})
    before = (catalogue.root / "history.json").read_bytes()
    with pytest.raises(HistoryError, match="rows without an id"):
        catalogue.entries()
    [finding] = looked_at(catalogue)
    assert "take these rows out" in str(finding.repair)
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)
    [aside] = catalogue.root.glob("history.json.damaged-*")
    assert aside.read_bytes() == before
    assert DurableTinyDB(catalogue.root / "history.json").table("notes").all() == [{"text": "kept"}]


def change(catalogue: History, entry: Entry, **keys: Any) -> None:
    """Change a document as somebody's own TinyDB may do it."""
    table = DurableTinyDB(catalogue.root / "history.json").table("entries")
    table.update(keys, lambda row: bool(row["id"] == entry.id))


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"artefacts": 5}, "its document cannot be read"),
        ({"artefacts": {"model": 5}}, "its document cannot be read"),
        ({"artefacts": {"model": {"path": "entries"}}}, "artefact 'model' .* is missing"),
        ({"artefacts": {"model": {"path": "../x", "bytes": 1, "sha256": ""}}}, "leads out of"),
        ({"schema_version": 99}, "schema version 99; this release reads"),
        ({"schema_version": "new"}, "schema version 'new'"),
        ({"id": "../escape"}, "'../escape' is no id of an entry"),
    ],
)
def test_a_document_that_cannot_be_read_is_named_and_left(
    catalogue: History, entries: list[Entry], keys: Mapping[str, Any], what: str
) -> None:
    """What it should say is anybody's guess; the others are not affected."""
    change(catalogue, entries[1], **keys)
    if "id" in keys:
        shutil.rmtree(catalogue.root / "entries" / entries[1].id)
    before = tree(catalogue.root)
    found = looked_at(catalogue)
    assert [finding.repair for finding in found] == [None]
    assert re.search(what, found[0].what)
    assert mend(catalogue) == ([], found)
    assert tree(catalogue.root) == before


def test_an_id_that_is_there_twice_is_named(catalogue: History, entries: list[Entry]) -> None:
    """Which of the two is right, nobody knows."""
    DurableTinyDB(catalogue.root / "history.json").table("entries").insert(
        {**entries[0].document, "seed": 7}
    )
    assert [finding.what for finding in looked_at(catalogue)] == [
        f"{entries[0].id} is in the database 2 times"
    ]
    assert mend(catalogue)[0] == []
    catalogue.remove(entries[0])
    is_sound(catalogue, entries[1:])


def test_copies_of_a_row_are_taken_out(catalogue: History, entries: list[Entry]) -> None:
    """Whichever stays says the same; a copy of the file stays."""
    DurableTinyDB(catalogue.root / "history.json").table("entries").insert_multiple(
        [entries[0].document] * 2
    )
    before = (catalogue.root / "history.json").read_bytes()
    [finding] = looked_at(catalogue)
    assert (finding.what, str(finding.repair)[:19]) == (
        f"{entries[0].id} is in the database 3 times",
        "take the copies out",
    )
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)
    [aside] = catalogue.root.glob("history.json.damaged-*")
    assert aside.read_bytes() == before


def test_a_damaged_generation_before_is_found_while_the_database_is_sound(
    catalogue: History, entries: list[Entry]
) -> None:
    """Later it may be needed; its content stays aside, and the next change makes another."""
    previous = catalogue.root / "history.previous.json"
    cut(previous)
    [finding] = looked_at(catalogue)
    assert "history.previous.json, the generation before, cannot be read" in finding.what
    assert mend(catalogue) == ([finding], [])
    assert not previous.exists()
    assert len([*catalogue.root.glob("history.previous.json.damaged-*")]) == 1
    is_sound(catalogue, entries)


# The folders


@pytest.mark.parametrize("damage", ["changed", "missing", "cut", "a folder"])
def test_a_damaged_artefact_is_named_and_left(
    catalogue: History, entries: list[Entry], damage: str
) -> None:
    """Nothing can bring its content back, and the rest of the entry is still good."""
    path = entries[0].artefact("model")
    if damage == "changed":
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    elif damage == "cut":
        path.write_bytes(b"")
    else:
        path.unlink()
        if damage == "a folder":
            path.mkdir()
    before = tree(catalogue.root)
    [finding] = looked_at(catalogue)
    assert f"artefact 'model' of entry {entries[0].id}" in finding.what
    assert mend(catalogue) == ([], [finding])
    assert tree(catalogue.root) == before


def test_what_a_kill_left_of_folders_is_deleted(catalogue: History, entries: list[Entry]) -> None:
    """Half of a new entry, and what was not yet deleted of a removed one: none of it is of an
    entry.
    """
    parent = catalogue.root / "entries"
    for name in (".mlp-22222222.part", ".mlp-33333333.removed", f".{entries[0].id}.removed"):
        (parent / name / "deep").mkdir(parents=True)
        (parent / name / "model.keras").write_bytes(b"half")
    assert [finding.repair for finding in looked_at(catalogue)] == ["delete it"] * 3
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)


def test_an_entry_is_removed_beside_what_a_kill_left_of_its_namesake(
    catalogue: History, entries: list[Entry]
) -> None:
    """One that was removed, and then imported again."""
    leftover = catalogue.root / "entries" / f".{entries[0].id}.removed"
    leftover.mkdir()
    (leftover / "model.keras").write_bytes(b"half")
    catalogue.remove(entries[0])
    is_sound(catalogue, entries[1:])


def test_a_removal_that_did_not_end_is_undone(catalogue: History, entries: list[Entry]) -> None:
    """As long as its document is there, so is its folder."""
    folder = catalogue.root / "entries" / entries[1].id
    folder.rename(folder.with_name(f".{entries[1].id}.removed"))
    [finding] = looked_at(catalogue)
    assert (finding.what, finding.repair) == (
        f"{entries[1].id}: its removal did not end",
        "put its folder back",
    )
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)


def test_a_whole_folder_without_a_document_is_put_back(
    catalogue: History, entries: list[Entry]
) -> None:
    """All of them in one step; as each was written, whatever schema it has."""
    store = TinyDBStore(catalogue.root)
    for entry in entries:
        store.remove(entry.id)
    path = catalogue.root / "entries" / entries[0].id / "entry.json"
    older = {**json.loads(path.read_bytes()), "schema_version": 1}
    del older["origin"]
    path.write_text(json.dumps(older))
    [finding] = looked_at(catalogue)
    assert finding.repair == "put back in the database"
    assert mend(catalogue) == ([finding], [])
    is_sound(catalogue, entries)
    assert store.get(entries[0].id) == older


def test_a_folder_without_a_document_that_is_not_whole_is_left(
    catalogue: History, entries: list[Entry]
) -> None:
    """It may be all that is left of an entry: of an older release, of a newer one, or of one that
    was damaged.
    """
    store, parent = TinyDBStore(catalogue.root), catalogue.root / "entries"
    for entry in entries:
        store.remove(entry.id)
    entries[0].artefact("model").write_bytes(b"changed")
    (parent / entries[1].id / "entry.json").unlink()
    newer = parent / entries[2].id / "entry.json"
    newer.write_bytes(newer.read_bytes().replace(b'"schema_version": 2', b'"schema_version": 99'))
    shutil.copytree(parent / entries[2].id, parent / "mlp-22222222")
    before = tree(catalogue.root)
    found = looked_at(catalogue)
    reasons = ("not what was stored", "never written", "99")
    why = {str(parent / entry.id): reason for entry, reason in zip(entries, reasons, strict=True)}
    why[str(parent / "mlp-22222222")] = f"that of '{entries[2].id}'"
    assert len(found) == 4
    assert all(why[finding.what.split()[0]] in finding.what for finding in found)
    assert mend(catalogue) == ([], found)
    assert tree(catalogue.root) == before


def test_an_empty_folder_without_a_document_is_deleted(
    catalogue: History, entries: list[Entry]
) -> None:
    """Nothing is lost with it."""
    (catalogue.root / "entries" / "mlp-22222222").mkdir()
    assert [finding.repair for finding in looked_at(catalogue)] == ["delete it"]
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)


@pytest.mark.parametrize("content", [None, b"", b'{"id": "mlp', b'{"id": "mlp-22222222"}', b"[]"])
def test_a_folder_gets_its_document_back(
    catalogue: History, entries: list[Entry], content: bytes | None
) -> None:
    """From the database, where it is missing or damaged: without it, the folder could not be put
    back one day.
    """
    path = catalogue.root / "entries" / entries[0].id / "entry.json"
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    [finding] = looked_at(catalogue)
    assert finding.repair == "write it from the database"
    assert mend(catalogue)[1] == []
    assert path.read_bytes() == before
    is_sound(catalogue, entries)


def test_what_is_somebody_elses_is_left(catalogue: History, entries: list[Entry]) -> None:
    """Files and folders that no release of ours wrote, also where their names look like ours."""
    parent = catalogue.root / "entries"
    (parent / "README").write_text("notes")
    (parent / ".download.part").write_text("half")
    (parent / "mlp-22222222").write_text("a file")
    (parent / "My Folder").mkdir()
    before = tree(catalogue.root)
    found = looked_at(catalogue)
    assert len(found) == 4
    assert all("it is left alone" in finding.what for finding in found)
    assert mend(catalogue) == ([], found)
    assert tree(catalogue.root) == before


def test_links_are_left_and_never_followed(
    catalogue: History, entries: list[Entry], tmp_path: Path
) -> None:
    """Whatever they are called and wherever they lead: what is there is neither read into the
    history nor deleted.
    """
    parent, elsewhere = catalogue.root / "entries", tmp_path / "elsewhere"
    shutil.copytree(parent / entries[0].id, elsewhere)
    (elsewhere / "precious").write_text("x")
    folder = parent / entries[1].id
    folder.rename(folder.with_name(f"{folder.name}-moved"))
    for name in (
        "mlp-22222222",
        ".mlp-33333333.part",
        f".{entries[0].id}.removed",
        f".{folder.name}.removed",
    ):
        (parent / name).symlink_to(elsewhere)
    folder.symlink_to(elsewhere)
    (parent / "broken").symlink_to("nowhere")
    before = tree(tmp_path)
    found = looked_at(catalogue)
    assert sum("it is left alone" in finding.what for finding in found) == 7
    assert all(finding.do is None for finding in found)
    mend(catalogue)
    assert tree(tmp_path) == before


# Repairs


def test_a_repair_is_not_done_when_it_is_no_longer_needed(
    catalogue: History, entries: list[Entry]
) -> None:
    """What another process was in the middle of may have ended since it was found."""
    document = dict(entries[0].document)
    folder = catalogue.root / "entries" / entries[1].id
    part = folder.with_name(f".{entries[1].id}.part")
    store = TinyDBStore(catalogue.root)
    store.remove(entries[0].id)
    folder.rename(part)
    found = [finding for finding in examine(catalogue) if finding.do]
    assert len(found) == 2
    store.insert(document)
    part.rename(folder)
    before = tree(catalogue.root)
    assert repair(catalogue, found) == []
    assert tree(catalogue.root) == before
    is_sound(catalogue, entries)


def test_only_the_repairs_that_were_asked_for_are_done(
    catalogue: History, entries: list[Entry]
) -> None:
    """The rest stays as it was found."""
    for name in (".mlp-22222222.part", ".mlp-33333333.part"):
        (catalogue.root / "entries" / name).mkdir()
    first, second = looked_at(catalogue)
    assert repair(catalogue, [first]) == [first]
    assert looked_at(catalogue) == [second]


def test_a_repair_that_fails_says_so(
    catalogue: History, entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one sentence; what was done before it stays."""

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    (catalogue.root / "entries" / ".mlp-22222222.part").mkdir()
    monkeypatch.setattr("history.folders.delete", refuse)
    with pytest.raises(HistoryError, match=r"a repair failed: .*Permission denied.*mlp-22222222"):
        mend(catalogue)


def test_an_entry_whose_id_leads_out_is_removed_without_its_folder(
    catalogue: History, tmp_path: Path
) -> None:
    """A row that somebody else wrote cannot have a folder of ours."""
    victim = tmp_path / "victim"
    victim.mkdir()
    for id in (str(victim), "../../victim"):
        TinyDBStore(catalogue.root).insert({"id": id})
        (catalogue.root / "entries").mkdir(exist_ok=True)
        catalogue.remove(Entry({"id": id}, catalogue.root))
        assert victim.is_dir()
    assert catalogue.entries() == []


class MemoryStore:
    """A store of somebody else's."""

    def __init__(self, *documents: Mapping[str, Any]) -> None:
        self.rows = {document["id"]: dict(document) for document in documents}

    def insert(self, document: Mapping[str, Any]) -> None:
        self.rows[document["id"]] = dict(document)

    def all(self) -> list[dict[str, Any]]:
        return [*self.rows.values()]

    def get(self, id: str) -> dict[str, Any] | None:
        return self.rows.get(id)

    def remove(self, id: str) -> None:
        if self.rows.pop(id, None) is None:
            raise UnknownEntry(id)


def test_the_entries_of_any_store_are_examined(catalogue: History, entries: list[Entry]) -> None:
    """Its own files are its own affair; the folders are ours."""
    catalogue.store = MemoryStore(entries[0].document)
    (catalogue.root / "entries" / ".mlp-22222222.part").mkdir()
    assert len(looked_at(catalogue)) == 2
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)
