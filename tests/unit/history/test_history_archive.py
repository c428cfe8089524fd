"""Entries go from one root to another in one file; what is not such a file leaves no trace."""

import hashlib
import json
import random
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from history_killing import Said, Say, kill
from history_samples import Add
from history_trees import tree

import history
from history.catalogue import History
from history.doctor import examine, mend
from history.entry import Entry
from history.errors import ExperimentError, HistoryError, InputError, IntegrityError
from history.exchange.archive import read_archive, write_archive
from history.store import TinyDBStore

Members = dict[str, bytes]
ID = "mlp-k7q2v9xd"
MODEL = b"a model" * 100


@pytest.fixture
def entries(add: Add, failed: Callable[[], Entry]) -> list[Entry]:
    return [add("classification"), add("regression", 2.0, odd=float("nan")), failed()]


@pytest.fixture
def other(tmp_path: Path) -> History:
    """Another root, with an entry of its own."""
    root = tmp_path / "other"
    shutil.copytree(FIXTURE, root)
    return history.open(root)


FIXTURE = Path(__file__).parents[2] / "fixtures" / "schema-1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.zip"


def document(**keys: Any) -> dict[str, Any]:
    """An entry with one artefact, as an archive holds it."""
    facts = {
        "path": f"entries/{ID}/model.keras",
        "bytes": len(MODEL),
        "sha256": hashlib.sha256(MODEL).hexdigest(),
    }
    kept = {
        "id": ID,
        "schema_version": 2,
        "created": "2026-01-01T00:00:00+00:00",
        "status": "complete",
    }
    named = {
        "experiment": "e",
        "pipeline": "mlp",
        "task": "classification",
        "manager": "classification",
    }
    return {**kept, **named, "run_id": "r", "artefacts": {"model": facts}, **keys}


def facts(**keys: Any) -> dict[str, Any]:
    """The document's artefacts, with something else in place of what is right."""
    artefacts: dict[str, Any] = document()["artefacts"]
    return {"model": {**artefacts["model"], **keys}}


def pack(path: Path, kept: object = None, files: Members | None = None) -> None:
    """Write an archive by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{ID}/entry.json", json.dumps(kept or document()))
        for name, content in (files if files is not None else {f"{ID}/model.keras": MODEL}).items():
            archive.writestr(name, content)


def is_refused(
    other: History, path: Path, error: type[ExperimentError] = InputError, match: str = ""
) -> None:
    """In a sentence that names the file, with nothing left in the root."""
    before = sorted(str(found) for found in other.root.rglob("*")), tree(other.root)
    with pytest.raises(error, match=match) as caught:
        read_archive(other, path)
    assert str(path) in str(caught.value)
    assert (sorted(str(found) for found in other.root.rglob("*")), tree(other.root)) == before


# There and back


def test_entries_arrive_byte_for_byte(entries: list[Entry], other: History, path: Path) -> None:
    """Every artefact and all that the documents say; where they came from is added; they verify
    there.
    """
    there = {entry.id for entry in other.entries()}
    write_archive(entries, path)
    taken = read_archive(other, path)
    assert [entry.id for entry in taken] == [entry.id for entry in entries]
    for entry in entries:
        found = other.get(entry.id)
        other.manager_of(found).verify(found)
        assert {
            name: found.artefact(name).read_bytes() for name in found.value("artefacts", {})
        } == {name: entry.artefact(name).read_bytes() for name in entry.value("artefacts", {})}
        assert {**found.document, "origin": None} == {**entry.document, "origin": None}
        assert found.imported
        assert (found.value("origin.file"), found.value("origin.before")) == (
            "archive.zip",
            {"kind": "run"},
        )
        inside = json.loads((other.root / "entries" / entry.id / "entry.json").read_bytes())
        assert inside == found.document
    assert {entry.id for entry in other.entries()} == there | {entry.id for entry in entries}
    assert [finding for finding in examine(other) if entries[0].id in finding.what] == []


def test_an_archive_is_read_into_a_root_that_is_not_there(
    entries: list[Entry], tmp_path: Path, path: Path
) -> None:
    """And sent on from there, with the whole way in its origin."""
    write_archive([*entries, entries[0]], path)
    one, two = history.open(tmp_path / "one"), history.open(tmp_path / "deep" / "two")
    read_archive(one, path)
    write_archive(one.entries(), path)
    assert len(read_archive(two, path)) == 3
    assert two.get(entries[0].id).value("origin.before.before.kind") == "run"
    assert examine(two) == []
    assert TinyDBStore(two.root).get(entries[1].id) is not None


def test_what_is_there_already_is_left_out(
    entries: list[Entry], other: History, root: Path, path: Path
) -> None:
    """The second time nothing is taken and nothing changes; of a larger archive, only what is
    new.
    """
    write_archive(entries[:2], path)
    read_archive(other, path)
    before = tree(other.root)
    assert read_archive(other, path) == []
    assert tree(other.root) == before
    assert read_archive(history.open(root), path) == []
    write_archive(entries, path)
    assert [entry.id for entry in read_archive(other, path)] == [entries[2].id]


def test_an_entry_of_an_older_schema_arrives_in_todays(
    other: History, tmp_path: Path, path: Path
) -> None:
    """And is recognised as the one that is there in its own."""
    write_archive(other.entries(), path)
    assert read_archive(other, path) == []
    new = history.open(tmp_path / "new")
    assert len(read_archive(new, path)) == len(other.entries())
    assert {row["schema_version"] for row in new.store.all()} == {2}
    for entry in new.entries():
        new.manager_of(entry).verify(entry)


def test_a_damaged_artefact_is_not_written(entries: list[Entry], path: Path) -> None:
    """The archive that was there before stays, with nothing beside it."""
    path.write_bytes(b"before")
    entries[1].artefact("model").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="'model'"):
        write_archive(entries, path)
    assert path.read_bytes() == b"before"
    assert [found.name for found in path.parent.iterdir() if found.name.endswith(".tmp")] == []
    with pytest.raises(HistoryError, match="nothing was written"):
        write_archive(entries[:1], path.parent / "nowhere" / "archive.zip")


def test_the_time_of_a_file_does_not_matter(entries: list[Entry], path: Path) -> None:
    """Also one that no zip archive can hold."""
    import os

    os.utime(entries[0].artefact("model"), (0, 0))
    write_archive(entries[:1], path)
    assert zipfile.is_zipfile(path)


# What is refused


def test_a_right_archive_made_by_hand_is_taken(other: History, path: Path) -> None:
    """So that each of the refusals below is for the one thing that is wrong; folders of their own
    do not matter.
    """
    pack(path, files={f"{ID}/": b"", f"{ID}/model.keras": MODEL})
    assert [entry.id for entry in read_archive(other, path)] == [ID]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        f"/{ID}/more",
        "../escape",
        f"{ID}/../../escape",
        f"{ID}/..",
        f"{ID}/.",
        f"./{ID}/more",
        f"{ID}//more",
        f"{ID}/deep/more",
        f"..\\{ID}\\more",
        f"{ID}\\more",
        f"{ID}/..\\more",
        f"{ID}/C:more",
        f"{ID}/mo\nre",
        f"{ID}/mo\x00re",
        "more",
        "README/more",
        "-/more",
        "../",
        "/etc/",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(other: History, path: Path, name: str) -> None:
    """Whatever the way: absolute, with dots, with backslashes, too deep, of no entry."""
    pack(path, files={f"{ID}/model.keras": MODEL, "x" * len(name): b"more"})
    path.write_bytes(
        path.read_bytes().replace(b"x" * len(name), name.encode())
    )  # zipfile would mend the name
    is_refused(other, path, match="nothing was imported")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_a_link_is_refused(other: History, path: Path, kind: int) -> None:
    """And all else that is no ordinary file."""
    pack(path, files={})
    info = zipfile.ZipInfo(f"{ID}/model.keras")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, MODEL)
    is_refused(other, path, match="is a link" if kind == stat.S_IFLNK else "is no ordinary file")


def test_a_file_that_the_document_does_not_name_is_refused(other: History, path: Path) -> None:
    """Nothing says what it is for."""
    pack(path, files={f"{ID}/model.keras": MODEL, f"{ID}/more": b"x"})
    is_refused(other, path, match="does not say what 'more' is")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["model.keras", "entry.json"])
def test_a_file_that_is_there_twice_is_refused(other: History, path: Path, name: str) -> None:
    """Readers differ in which of the two they take."""
    pack(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{ID}/{name}", MODEL)
    is_refused(other, path, match="is there twice")


@pytest.mark.parametrize(
    ("kept", "what"),
    [
        (document(id="mlp-22222222"), f"is not the document of entry {ID}"),
        ([1], "is not the document"),
        (document(schema_version=99), "schema version 99; this release reads"),
        (document(schema_version=[]), "schema version"),
        (document(status="done"), "status is 'done'"),
        (document(status=["complete"]), "status is"),
        (document(created=5), "created is not text"),
        (document(manager={}), "manager is not text"),
        (document(search="x"), "search is not a mapping"),
        (document(search={"objective": "val_loss"}), "search.objective is not a mapping"),
        (document(validation={"metrics": [1]}), "validation.metrics is not a mapping"),
        (document(environment={"packages": "x"}), "environment.packages is not a mapping"),
        (document(environment={"git": 5}), "environment.git is not a mapping"),
        (document(identity="x"), "identity is not a mapping"),
        (document(artefacts=[1]), "artefacts is not a mapping"),
        (document(artefacts={"model": 5}), "artefacts.model has no path"),
        (document(artefacts=facts(bytes="1")), "artefacts.model has no path"),
        (document(artefacts=facts(path=f"entries/{ID}/../x")), "no file of its own in this entry"),
        (
            document(artefacts=facts(path="entries/mlp-22222222/model.keras")),
            "no file of its own in this entry",
        ),
        (document(artefacts=facts(path="/etc/passwd")), "no file of its own in this entry"),
        (
            document(artefacts=facts(path=f"entries/{ID}/entry.json")),
            "no file of its own in this entry",
        ),
        (
            document(artefacts={**facts(), "twin": facts()["model"]}),
            "no file of its own in this entry",
        ),
        (document(artefacts=facts(path=f"entries/{ID}/other")), "other is not in the archive"),
        (document(artefacts=facts(bytes=1)), "is not in the archive with 1 bytes"),
        (document(artefacts={}), "does not say what 'model.keras' is"),
    ],
)
def test_a_document_that_is_not_right_is_refused(
    other: History, path: Path, kept: object, what: str
) -> None:
    """What it says is what those who read it later rely on."""
    pack(path, kept)
    is_refused(other, path, match=what)


def test_a_wrong_hash_is_refused(entries: list[Entry], other: History, path: Path) -> None:
    """Even of the last file of the last entry, when all others are right."""
    write_archive(entries, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{ID}/entry.json", json.dumps(document(artefacts=facts(sha256="0" * 64))))
        archive.writestr(f"{ID}/model.keras", MODEL)
    is_refused(
        other,
        path,
        IntegrityError,
        match=f"artefact 'model' of entry {ID} .* is not what was stored",
    )


def test_a_document_that_is_missing_or_no_json_is_refused(other: History, path: Path) -> None:
    """Also one that is too large to be one."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{ID}/model.keras", MODEL)
    is_refused(other, path, match=r"entry\.json is missing")
    for content in (b"{", b"", b"\xff", b"[" * 10_000):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{ID}/entry.json", content)
        is_refused(other, path, match=r"entry\.json is not JSON")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{ID}/entry.json", bytes(2**26 + 1))
    is_refused(other, path, match="is larger than")


def announce(path: Path, size: int) -> None:
    """Make the archive's directory say another size of the model; also the member's own header."""
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.rindex(signature)
        data[start + at : start + at + 4] = struct.pack("<I", size)
    path.write_bytes(data)


def test_a_file_that_unfolds_to_more_than_it_says_is_refused(other: History, path: Path) -> None:
    """A hundred megabytes out of a hundred kilobytes: no more is read of them than was
    announced.
    """
    bomb = bytes(100 * 2**20)
    kept = document(artefacts=facts(bytes=700, sha256=hashlib.sha256(bomb).hexdigest()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{ID}/entry.json", json.dumps(kept))
        archive.writestr(f"{ID}/model.keras", bomb)
    announce(path, 700)
    is_refused(other, path, ExperimentError, match=r"CRC|is not what was stored")
    announce(path, 2**31)
    is_refused(other, path, match="is not in the archive with 700 bytes")


def test_an_archive_that_announces_too_much_is_refused(
    other: History, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any of it is read: in bytes and in files."""
    pack(path)
    monkeypatch.setattr("history.exchange.archive.TOTAL_BYTES", 700)
    is_refused(other, path, match="larger than an archive may be")
    monkeypatch.undo()
    monkeypatch.setattr("history.exchange.archive.MEMBERS", 1)
    is_refused(other, path, match="larger than an archive may be")


def test_an_encrypted_or_oddly_compressed_file_is_refused(other: History, path: Path) -> None:
    """With the reason."""
    pack(path)
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + at] |= 1
    path.write_bytes(data)
    is_refused(other, path, match="is encrypted")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr(f"{ID}/entry.json", json.dumps(document(artefacts={})))
    is_refused(other, path, match="is compressed in a way")


def test_what_is_no_archive_is_refused(
    entries: list[Entry], other: History, path: Path, tmp_path: Path
) -> None:
    """No file, a folder, an empty one, no zip, a zip of something else, one that is cut off."""
    is_refused(other, tmp_path / "nowhere.zip", match="No such file")
    is_refused(other, tmp_path, match="cannot be read")
    for content in (b"", b"no zip", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        is_refused(other, path, match="is not an archive made by")
    with zipfile.ZipFile(path, "w"):
        pass
    is_refused(other, path, match="holds no entry")
    write_archive(entries, path)
    whole = path.read_bytes()
    for length in (len(whole) // 3, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        is_refused(other, path, match="is not an archive made by")


def test_a_refused_archive_makes_no_root(path: Path, tmp_path: Path) -> None:
    """Where there was none."""
    pack(path, files={})
    with pytest.raises(InputError):
        read_archive(history.open(tmp_path / "none"), path)
    assert not (tmp_path / "none").exists()


def test_an_id_that_means_something_else_here_is_refused(other: History, path: Path) -> None:
    """Another result under the same name would be taken for this one; also a folder that the doctor
    has to see to.
    """
    pack(path, {**document(), "validation": {"metrics": {"accuracy": 0.9}}})
    read_archive(other, path)
    pack(path, {**document(), "validation": {"metrics": {"accuracy": 0.8}}})
    is_refused(other, path, match=f"already holds another entry {ID}")
    other.store.remove(ID)
    is_refused(other, path, HistoryError, match="is there without an entry; see `history doctor`")


def test_whatever_is_changed_in_an_archive_does_no_harm(
    entries: list[Entry], other: History, path: Path
) -> None:
    """Flipped, cut and doubled bytes: it is refused as what it is, or holds exactly what was
    stored.
    """
    write_archive(entries, path)
    whole, chance = path.read_bytes(), random.Random(0)
    directory = whole.index(b"PK\x01\x02")
    before, taken = tree(other.root), 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3))):
            at = chance.randrange(chance.choice((0, directory)), len(data))
            data[at : at + chance.choice((1, 1, 4))] = chance.randbytes(chance.choice((0, 1, 1, 4)))
        path.write_bytes(data)
        try:
            found = read_archive(other, path)
        except ExperimentError:
            assert tree(other.root) == before
            continue
        taken += 1
        for entry in found:
            other.manager_of(entry).verify(entry)
            other.remove(entry)
        before = tree(other.root)
    assert 0 < taken < 200


# Kills


def test_a_kill_in_the_middle_is_mended(
    entries: list[Entry], path: Path, root: Path, tmp_path: Path
) -> None:
    """What was taken is whole, the rest is cleaned up, and the same archive brings it again."""
    write_archive(entries, path)

    def take(root: Path, chance: random.Random, say: Say) -> None:
        while True:
            catalogue = history.open(root)
            for entry in catalogue.entries():
                catalogue.remove(entry)
            read_archive(catalogue, path)

    new, chance = history.open(tmp_path / "new"), random.Random()
    for _ in range(15):
        kill(take, new.root, chance, Said(), longest=0.03)
        assert mend(new)[1] == []
        assert examine(new) == []
        read_archive(new, path)
        assert {entry.id for entry in new.entries()} == {entry.id for entry in entries}
        for entry in new.entries():
            new.manager_of(entry).verify(entry)
