"""The doctor finds what is wrong with a history, changes nothing by looking, and mends what needs
no guess.
"""

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from history_samples import Add, Cli, tree
from tinydb import TinyDB, where

import history
from history.catalogue import History
from history.doctor import Finding, examine, mend
from history.entry import Entry
from history.store import Store

Damage = Callable[[History, list[Entry]], None]
MENDED: list[object] = []
LEFT: list[object] = []


def case(cases: list[object], *found: str) -> Callable[[Damage], Damage]:
    """Make the function a case, in which just these are found (each by a pattern)."""

    def add(damage: Damage) -> Damage:
        cases.append(pytest.param(damage, found, id=damage.__name__))
        return damage

    return add


@pytest.fixture
def entries(add: Add) -> list[Entry]:
    """Three entries, of which the generation before knows two."""
    return [add("classification"), add("regression", 2.0), add("regression", 1.0)]


@pytest.fixture
def catalogue(root: Path) -> History:
    return history.open(root)


def looked_at(catalogue: History) -> list[Finding]:
    """What the doctor finds, having changed nothing."""
    before = tree(catalogue.root)
    found = examine(catalogue)
    assert tree(catalogue.root) == before
    return found


def is_found(found: list[Finding], patterns: tuple[str, ...]) -> None:
    texts = [f"{finding.what}: {finding.repair}" for finding in found]
    assert len(texts) == len(patterns), texts
    for pattern in patterns:
        assert any(re.search(pattern, text) for text in texts), (pattern, texts)


def is_sound(catalogue: History, entries: list[Entry]) -> None:
    assert looked_at(catalogue) == []
    assert {entry.id for entry in catalogue.entries()} == {entry.id for entry in entries}
    for entry in entries:
        assert catalogue.get(entry.id).document == entry.document
        catalogue.manager_of(entry).verify(entry)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def change(catalogue: History, entry: Entry, **keys: object) -> None:
    """Change a document as somebody's own TinyDB may do it."""
    with TinyDB(catalogue.root / "history.json") as database:
        database.table("entries").update(keys, where("id") == entry.id)


def forget(catalogue: History, entry: Entry) -> None:
    """Take the document out of the database, and leave the folder."""
    with TinyDB(catalogue.root / "history.json") as database:
        database.table("entries").remove(where("id") == entry.id)


# What is mended


@case(MENDED, r"history\.json is not JSON.*: restore the previous generation, if it is readable")
def a_damaged_database(catalogue: History, entries: list[Entry]) -> None:
    cut(catalogue.root / "history.json")


@case(MENDED, r"history\.json is not JSON.*: restore")
def a_damaged_database_without_a_generation_before(
    catalogue: History, entries: list[Entry]
) -> None:
    cut(catalogue.root / "history.json")
    (catalogue.root / "history.previous.json").unlink()


@case(MENDED, r"history\.json is not JSON.*: restore")
def two_damaged_generations(catalogue: History, entries: list[Entry]) -> None:
    cut(catalogue.root / "history.json")
    cut(catalogue.root / "history.previous.json")


@case(MENDED, "is missing, but its previous generation exists.*: restore the previous generation")
def a_missing_database(catalogue: History, entries: list[Entry]) -> None:
    (catalogue.root / "history.json").unlink()


@case(MENDED, "complete, but not in the database.*: put back")
def no_database_at_all(catalogue: History, entries: list[Entry]) -> None:
    for path in catalogue.root.glob("*.json"):
        path.unlink()


@case(MENDED, "interrupted write: delete it", "interrupted write: delete it")
def a_write_that_did_not_end(catalogue: History, entries: list[Entry]) -> None:
    """One of its files may be a second name of the database itself."""
    (catalogue.root / f".history.json.{'0' * 16}.tmp").write_bytes(b'{"entries')
    link = catalogue.root / f".history.json.{'1' * 16}.tmp"
    link.hardlink_to(catalogue.root / "history.json")


@case(MENDED, "holds 2 duplicate rows: remove them")
def copies_of_a_row(catalogue: History, entries: list[Entry]) -> None:
    """Rows without an id and other tables are somebody's own, and stay."""
    with TinyDB(catalogue.root / "history.json") as database:
        rows = [{"name": "x"}, {"id": 5}, entries[0].document, entries[0].document]
        database.table("entries").insert_multiple(rows)
        database.table("notes").insert({"text": "kept"})


@case(
    MENDED,
    *[
        "22222222.part is only partly",
        "33333333.removed is only partly",
        "[a-z0-9]{8}.removed is only partly",
    ],
)
def what_a_kill_left_of_folders(catalogue: History, entries: list[Entry]) -> None:
    for name in (".mlp-22222222.part", ".mlp-33333333.removed", f".{entries[0].id}.removed"):
        (catalogue.root / "entries" / name / "deep").mkdir(parents=True)
        (catalogue.root / "entries" / name / "model.keras").write_bytes(b"half")


@case(MENDED, "entry.json is missing: write it from the database")
def a_missing_document(catalogue: History, entries: list[Entry]) -> None:
    (catalogue.root / "entries" / entries[1].id / "entry.json").unlink()


@pytest.mark.parametrize(("damage", "found"), MENDED)
def test_what_needs_no_guess_is_mended(
    catalogue: History, entries: list[Entry], damage: Damage, found: tuple[str, ...]
) -> None:
    """All entries are there and verify; no content of a database is thrown away."""
    damage(catalogue, entries)
    files = "history.*json" if "JSON" in found[0] else "history.json"
    databases = [path.read_bytes() for path in catalogue.root.glob(files)]
    is_found(looked_at(catalogue), found)
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)
    contents = [path.read_bytes() for path in catalogue.root.glob("history.*")]
    assert [content for content in databases if content not in contents] == []


def test_a_folder_is_put_back_as_it_was_written(catalogue: History, entries: list[Entry]) -> None:
    """Whatever schema it has."""
    path = catalogue.root / "entries" / entries[0].id / "entry.json"
    older = {**json.loads(path.read_bytes()), "schema_version": 1}
    del older["origin"]
    path.write_text(json.dumps(older))
    forget(catalogue, entries[0])
    assert mend(catalogue)[1] == []
    is_sound(catalogue, entries)
    assert older in catalogue.store.all()


# What is left


def test_a_sound_history_and_none_have_nothing_wrong(
    catalogue: History, add: Add, failed: Callable[[], Entry]
) -> None:
    """Whatever the tasks and statuses; nothing is made or changed."""
    assert mend(catalogue) == ([], [])
    assert not catalogue.root.exists()
    entries = [add("classification"), add("regression"), failed()]
    before = tree(catalogue.root)
    assert mend(catalogue) == ([], [])
    assert tree(catalogue.root) == before
    is_sound(catalogue, entries)


@case(
    LEFT,
    "cannot be read: artefacts is not a dict",
    "has the schema version 0; this release reads",
    r"artefact 'model' .* points outside",
)
def documents_that_cannot_be_read(catalogue: History, entries: list[Entry]) -> None:
    outside = {"model": {"path": "../x", "bytes": 1, "sha256": ""}}
    change(catalogue, entries[0], artefacts=5)
    change(catalogue, entries[1], schema_version=0)
    change(catalogue, entries[2], artefacts=outside)


@case(LEFT, r"'\.\./escape' is not the document of an entry", "is missing")
def an_id_that_leads_out_and_a_missing_folder(catalogue: History, entries: list[Entry]) -> None:
    change(catalogue, entries[0], id="../escape")
    for entry in entries[:2]:
        shutil.rmtree(catalogue.root / "entries" / entry.id)


@case(LEFT, "is in the database 2 times, with different contents")
def an_id_that_is_there_twice(catalogue: History, entries: list[Entry]) -> None:
    with TinyDB(catalogue.root / "history.json") as database:
        database.table("entries").insert({**entries[0].document, "seed": 7})


@case(
    LEFT,
    *["artefact 'model' of entry .* has changed since it was stored"] * 2,
    "'model' .* is missing",
)
def damaged_artefacts(catalogue: History, entries: list[Entry]) -> None:
    changed, emptied, folder = (entry.artefact("model") for entry in entries)
    changed.write_bytes(bytes(byte ^ 1 for byte in changed.read_bytes()))
    emptied.write_bytes(b"")
    folder.unlink()
    folder.mkdir()


@case(
    LEFT,
    "changed since it was stored",
    "does not belong to the history",
    "version 99",
    "is that of 'mlp-",
)
def folders_of_no_entry_that_are_not_whole(catalogue: History, entries: list[Entry]) -> None:
    """They may be all that is left of an entry: damaged, of an older release, or of a newer one."""
    parent = catalogue.root / "entries"
    for entry in entries:
        forget(catalogue, entry)
    entries[0].artefact("model").write_bytes(b"changed")
    (parent / entries[1].id / "entry.json").unlink()
    shutil.copytree(parent / entries[2].id, parent / "mlp-22222222")
    newer = parent / entries[2].id / "entry.json"
    newer.write_bytes(newer.read_bytes().replace(b'"schema_version": 2', b'"schema_version": 99'))


@pytest.mark.parametrize(("damage", "found"), LEFT)
def test_what_only_a_guess_could_mend_is_named_and_left(
    catalogue: History, entries: list[Entry], damage: Damage, found: tuple[str, ...]
) -> None:
    """Nothing is changed by mending either."""
    damage(catalogue, entries)
    before = tree(catalogue.root)
    findings = looked_at(catalogue)
    is_found(findings, found)
    assert mend(catalogue) == ([], findings)
    assert tree(catalogue.root) == before


def test_what_only_documents_of_old_could_replace_is_begun_anew_beside_its_copy(
    catalogue: History, entries: list[Entry]
) -> None:
    """The folders of an older release hold no document; each is told."""
    for entry in entries:
        (catalogue.root / "entries" / entry.id / "entry.json").unlink()
    (catalogue.root / "history.previous.json").unlink()
    cut(catalogue.root / "history.json")
    damaged = (catalogue.root / "history.json").read_bytes()
    is_found(mend(catalogue)[1], ("does not belong to the history",) * 3)
    [copy] = catalogue.root.glob("history.json.damaged-*")
    assert copy.read_bytes() == damaged


def test_links_are_left_and_never_followed(
    catalogue: History, entries: list[Entry], tmp_path: Path
) -> None:
    """Whatever they are called and wherever they lead: what is there is neither read into the
    history nor deleted.
    """
    parent, elsewhere = catalogue.root / "entries", tmp_path / "elsewhere"
    shutil.copytree(parent / entries[0].id, elsewhere)
    folder = parent / entries[1].id
    folder.rename(folder.with_name(f"{folder.name}-moved"))
    for name in (
        "mlp-22222222",
        ".mlp-33333333.part",
        f".{entries[0].id}.removed",
        f".{folder.name}.removed",
        folder.name,
    ):
        (parent / name).symlink_to(elsewhere)
    (parent / "broken").symlink_to("nowhere")
    before = tree(tmp_path)
    repaired, found = mend(catalogue)
    assert repaired == []
    patterns = [*["points outside"] * 2, *["does not belong to the history"] * 5]
    is_found(found, tuple(patterns))
    assert tree(tmp_path) == before


def test_a_removed_entry_that_comes_back_without_a_folder_is_found(
    catalogue: History, entries: list[Entry]
) -> None:
    """An older generation brings only its document back; it is named, and can be removed again."""
    catalogue.remove(entries[0])
    cut(catalogue.root / "history.json")
    is_found(mend(catalogue)[1], (f"of entry {entries[0].id} is missing",))
    catalogue.remove(catalogue.get(entries[0].id))
    is_sound(catalogue, entries[1:])


def test_what_is_not_ours_or_of_a_newer_release_is_named_and_no_fault(
    catalogue: History, entries: list[Entry], cli: Cli
) -> None:
    """Whatever a user keeps there, a name that is not UTF-8 among it: the doctor says so, leaves it
    and ends well, the second time too; what is at fault beside it is mended.
    """
    change(catalogue, entries[0], schema_version=99)
    odd = Path(os.fsdecode(b"not utf-8 \xff\x1b"))
    strays = [catalogue.store.entries / "notes", catalogue.store.entries / odd]
    for stray in strays:
        stray.mkdir()
        (stray / "model.keras").write_bytes(b"mine")
    files = [catalogue.store.entries / "README", catalogue.root / ".history-of-mine.tmp"]
    for file in files:
        file.write_bytes(b"mine")
    os.mkfifo(catalogue.store.entries / "pipe")
    before = tree(catalogue.store.entries / "notes"), files[1].read_bytes()
    (catalogue.store.entries / ".mlp-22222222.part").mkdir()
    assert "findings in" in cli("doctor", exit_code=1).err
    assert "repaired: " in cli("doctor", "--yes").out
    for command in (["doctor"], ["doctor", "--yes"]):
        written = cli(*command)
        assert written.out.count("left as it is") == 5
        assert f"entry '{entries[0].id}' has the schema version 99" in written.out
        assert r"not utf-8 \udcff\x1b does not belong to the history" in written.out
        assert "all else is well" in written.err
    assert (tree(catalogue.store.entries / "notes"), files[1].read_bytes()) == before


# Repairs and removals


def test_a_repair_is_not_done_when_it_is_no_longer_needed(
    catalogue: History, entries: list[Entry]
) -> None:
    """What another process was in the middle of has ended once the lock is there."""
    folder = catalogue.root / "entries" / entries[1].id
    part = folder.with_name(f".{entries[1].id}.part")
    folder.rename(part)
    done: list[object] = []
    doctor = threading.Thread(target=lambda: done.extend(mend(catalogue)))
    with catalogue.store.locked():
        doctor.start()
        time.sleep(0.3)
        part.rename(folder)
    doctor.join()
    assert done == [[], []]
    is_sound(catalogue, entries)


def test_an_entry_is_removed_beside_what_a_kill_left_of_its_namesake(
    catalogue: History, entries: list[Entry]
) -> None:
    """One that was removed, and then imported again."""
    leftover = catalogue.root / "entries" / f".{entries[0].id}.part"
    leftover.mkdir()
    (leftover / "model.keras").write_bytes(b"half")
    catalogue.remove(entries[0])
    is_sound(catalogue, entries[1:])


def test_an_entry_whose_id_leads_out_is_removed_without_its_folder(
    catalogue: History, tmp_path: Path
) -> None:
    """A row that somebody else wrote cannot have a folder of ours."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (catalogue.root / "entries").mkdir(parents=True)
    for id in (str(victim), "../../victim"):
        Store(catalogue.root).insert({"id": id})
        catalogue.remove(Entry({"id": id}, catalogue.root))
    assert victim.is_dir()
    assert catalogue.store.all() == []
