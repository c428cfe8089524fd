"""Entries go from one root to another in one file; what is not such a file leaves no trace."""

import hashlib
import json
import os
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
from history_samples import Add, tree

import history
from foundation.errors import ExperimentError, HistoryError, InputError, IntegrityError
from history.catalogue import History
from history.doctor import examine, mend
from history.entry import Entry
from history.exchange.archive import read_archive, write_archive

ID = "mlp-k7q2v9xd"
MODEL = b"a model" * 100


@pytest.fixture
def entries(add: Add, failed: Callable[[], Entry]) -> list[Entry]:
    return [add("classification"), add("regression", 2.0, odd=float("nan")), failed()]


@pytest.fixture
def other(tmp_path: Path) -> History:
    """Another root, with an entry of its own."""
    return history.open(shutil.copytree(FIXTURE, tmp_path / "other"))


FIXTURE = Path(__file__).parents[3] / "fixtures" / "schema-1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.zip"


def document(**keys: Any) -> dict[str, Any]:
    """An entry with one artefact, as an archive holds it."""
    kept = {
        "id": ID,
        "schema_version": 2,
        "created": "2026-01-01T00:00:00+00:00",
        "status": "complete",
        "run_id": "r",
        "experiment": "e",
        "pipeline": "mlp",
        "task": "classification",
        "manager": "classification",
    }
    return {**kept, "artefacts": facts(), **keys}


def facts(**keys: Any) -> dict[str, Any]:
    """The document's artefacts, with something else in place of what is right."""
    sha256 = hashlib.sha256(MODEL).hexdigest()
    right = {"path": f"entries/{ID}/model.keras", "bytes": len(MODEL), "sha256": sha256}
    return {"model": {**right, **keys}}


def pack(path: Path, kept: object = None, files: dict[Any, bytes] | None = None) -> None:
    """Write an archive by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{ID}/entry.json", json.dumps(kept or document()))
        for name, content in (files if files is not None else {f"{ID}/model.keras": MODEL}).items():
            archive.writestr(name, content)


def is_refused(
    other: History, path: Path, match: str, error: type[ExperimentError] = InputError
) -> None:
    """In a sentence that names the file, with nothing left in the root."""
    before = tree(other.root)
    with pytest.raises(error, match=match) as caught:
        read_archive(other, path)
    assert str(path) in str(caught.value)
    assert tree(other.root) == before


def artefacts(entry: Entry) -> dict[str, bytes]:
    return {name: entry.artefact(name).read_bytes() for name in entry.value("artefacts", {})}


# There and back


def test_entries_arrive_byte_for_byte(entries: list[Entry], other: History, path: Path) -> None:
    """Every artefact and all that the documents say; where they came from is added; they verify
    there.
    """
    os.utime(entries[0].artefact("model"), (0, 0))  # a time that no zip archive can hold
    write_archive(entries, path)
    taken = read_archive(other, path)
    assert [entry.id for entry in taken] == [entry.id for entry in entries]
    for entry in entries:
        found = other.get(entry.id)
        other.manager_of(found).verify(found)
        assert artefacts(found) == artefacts(entry)
        assert {**found.document, "origin": None} == {**entry.document, "origin": None}
        assert found.value("origin.file") == "archive.zip"
        inside = json.loads((other.root / "entries" / entry.id / "entry.json").read_bytes())
        assert inside == found.document


def test_entries_of_an_older_schema_arrive_in_todays(
    other: History, tmp_path: Path, path: Path
) -> None:
    """And are recognised as those that are there in their own; in roots that are made for them, and
    sent on from there with the whole way in their origin.
    """
    write_archive(other.entries(), path)
    assert read_archive(other, path) == []
    one, two = history.open(tmp_path / "one"), history.open(tmp_path / "deep" / "two")
    read_archive(one, path)
    write_archive(one.entries(), path)
    assert len(read_archive(two, path)) == len(other.entries())
    assert {row["schema_version"] for row in two.store.all()} == {2}
    assert {e.value("origin.before.before.kind") for e in two.entries()} == {"run"}
    assert examine(two) == []


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


def test_a_damaged_artefact_is_not_written(entries: list[Entry], path: Path) -> None:
    """The archive that was there before stays, with nothing beside it."""
    path.write_bytes(b"before")
    entries[1].artefact("model").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="'model'"):
        write_archive(entries, path)
    assert path.read_bytes() == b"before"
    assert [found.name for found in path.parent.iterdir() if found.name.endswith(".tmp")] == []


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
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(other: History, path: Path, name: str) -> None:
    """Whatever the way: absolute, with dots, with backslashes, too deep, of no entry."""
    pack(path, files={f"{ID}/model.keras": MODEL, "x" * len(name): b"more"})
    path.write_bytes(
        path.read_bytes().replace(b"x" * len(name), name.encode())
    )  # zipfile would mend the name
    is_refused(other, path, match="is not a file of an entry")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_a_link_is_refused(other: History, path: Path, kind: int) -> None:
    """And all else that is no ordinary file."""
    info = zipfile.ZipInfo(f"{ID}/model.keras")
    info.external_attr = (kind | 0o777) << 16
    pack(path, files={info: MODEL})
    is_refused(other, path, match="is not a file of an entry")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["model.keras", "entry.json"])
def test_a_file_that_is_there_twice_is_refused(other: History, path: Path, name: str) -> None:
    """Readers differ in which of the two they take."""
    pack(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{ID}/{name}", MODEL)
    is_refused(other, path, match="appears twice")


@pytest.mark.parametrize(
    "kept",
    [
        document(id="mlp-22222222"),
        document(artefacts=facts(path=f"entries/{ID}/../x")),
        document(artefacts=facts(path="entries/mlp-22222222/model.keras")),
        document(artefacts=facts(path="/etc/passwd")),
        document(artefacts=facts(path=f"entries/{ID}/entry.json")),
        document(artefacts={**facts(), "twin": facts()["model"]}),
        document(artefacts=facts(path=f"entries/{ID}/other")),
        document(artefacts=facts(bytes=1)),
        document(artefacts={}),
    ],
)
def test_a_document_of_other_files_is_refused(
    other: History, path: Path, kept: dict[str, Any]
) -> None:
    """What it says is what those who read it later rely on."""
    pack(path, kept)
    is_refused(other, path, match=f"{ID}/entry.json lists other files or sizes")


def test_a_wrong_hash_is_refused(entries: list[Entry], other: History, path: Path) -> None:
    """Even of the last file of the last entry, when all others are right."""
    write_archive(entries, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{ID}/entry.json", json.dumps(document(artefacts=facts(sha256="0" * 64))))
        archive.writestr(f"{ID}/model.keras", MODEL)
    is_refused(other, path, match=f"an artefact of entry {ID} has changed since it was stored")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, r"entry\.json is missing"),
        *((content, "JSONDecodeError") for content in (b"{", b"", b"\xff", b"[" * 1_040)),
        (b"[1]", "is not the document of an entry"),
        (json.dumps(document(schema_version=99)).encode(), "schema version 99"),
        (json.dumps(document(schema_version=True)).encode(), "schema version True"),
        (bytes(2**26 + 1), "larger than an archive may be"),
    ],
    ids=["missing", "cut", "empty", "binary", "deep", "list", "newer", "true", "large"],
)
def test_a_document_that_is_missing_or_no_document_is_refused(
    other: History, path: Path, content: bytes | None, what: str
) -> None:
    """Also one that is too large to be one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{ID}/model.keras", MODEL)
        if content is not None:
            archive.writestr(f"{ID}/entry.json", content)
    is_refused(other, path, match=what)


def forge(path: Path, local: int, central: int, value: bytes) -> None:
    """Overwrite the model's header, at `local`, and its row in the archive's directory likewise."""
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        start = data.rindex(signature) + at
        data[start : start + len(value)] = value
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
    forge(path, 22, 24, struct.pack("<I", 700))
    is_refused(other, path, match="CRC")
    forge(path, 22, 24, struct.pack("<I", 2**31))
    is_refused(other, path, match="other files or sizes")


@pytest.mark.parametrize(("limit", "value"), [("TOTAL_BYTES", 700), ("MEMBERS", 1)])
def test_an_archive_that_announces_too_much_is_refused(
    other: History, path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """Before any of it is read: in bytes and in files."""
    pack(path)
    monkeypatch.setattr(f"history.exchange.archive.{limit}", value)
    is_refused(other, path, match="larger than an archive may be")


def test_documents_that_unfold_to_more_than_memory_holds_are_refused(
    other: History, path: Path
) -> None:
    """Each may be large; their sum may not, and none of them is read first."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            text = json.dumps(document(id=f"mlp-{number}", artefacts={}))
            archive.writestr(f"mlp-{number}/entry.json", text + " " * 30 * 2**20)
    is_refused(other, path, match="larger than an archive may be .*67,108,864 of documents")


def test_a_document_of_millions_of_lists_is_refused_unread(other: History, path: Path) -> None:
    """Each takes two letters, and memory for thirty times as much."""
    lists = json.dumps(document(artefacts={}))[:-1] + ', "pad": [' + "[]," * 10**6 + "[]]}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{ID}/entry.json", lists)
    is_refused(other, path, match="holds more lists and mappings than text")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_file_that_is_packed_as_no_archive_of_ours_is_refused(
    other: History, path: Path, method: int
) -> None:
    """A byte of these may unfold to a million."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(f"{ID}/entry.json", json.dumps(document()))
        archive.writestr(f"{ID}/model.keras", MODEL)
    is_refused(other, path, match=f"'{ID}/entry.json' is not a file of an entry")


@pytest.mark.parametrize("key", ["run_id", "experiment", "pipeline", "task", "manager", "created"])
def test_a_name_of_several_lines_is_refused(other: History, path: Path, key: str) -> None:
    """And one with control characters; a time may hold neither."""
    for odd in ("2026-01-01\n10:00:00", "2026-01-01\x1b10:00:00", "2026-01-01\u202810:00:00"):
        pack(path, document(**{key: odd}))
        is_refused(other, path, match=f"entry.json.*{key} is ")


def with_config(path: Path, content: bytes) -> None:
    """Write an archive by hand of an entry with this config."""
    config = {
        "path": f"entries/{ID}/config.yaml",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    files = {f"{ID}/config.yaml": content}
    pack(path, document(artefacts={"config": config}), files)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'pipelines: {mlp: {model: {a: [{"x\\nhooks": 1}]}}}', "key 'x.nhooks' is not printable"),
        (b'pipelines: {"m\\u2028p": {}}', "key 'm.u2028p' is not printable"),
        (b"a: &x [1]\nb: *x", "aliases"),
        (b"#" * (2**20 + 1), "larger than 1,048,576 bytes"),
        (b"a: [", "not find expected node content"),
        (b"\xff", "decode"),
    ],
)
def test_a_config_that_no_run_writes_is_refused(
    other: History, path: Path, content: bytes, what: str
) -> None:
    """Keys that are no printable line, at any depth; aliases, what is too large, and no YAML."""
    with_config(path, b"pipelines: {mlp: {model: {a: 1}}}")
    assert [entry.id for entry in read_archive(other, path)] == [ID]
    other.remove(other.get(ID))
    with_config(path, content)
    is_refused(other, path, match=what)


def test_an_encrypted_file_is_refused(other: History, path: Path) -> None:
    """With the reason."""
    pack(path)
    forge(path, 6, 8, b"\x01")
    is_refused(other, path, match="is encrypted")


def test_what_is_no_archive_is_refused(entries: list[Entry], other: History, path: Path) -> None:
    """No file, an empty one, no zip, one that was cut off, an empty zip."""
    is_refused(other, path, "No such file", HistoryError)
    write_archive(entries, path)
    whole = path.read_bytes()
    for content in (
        b"",
        b"no zip",
        b"PK\x03\x04" + bytes(100),
        whole[: len(whole) // 3],
        whole[:-1],
    ):
        path.write_bytes(content)
        is_refused(other, path, match=r"is not an archive made by .* or was cut off \(BadZipFile")
    zipfile.ZipFile(path, "w").close()
    is_refused(other, path, match="is empty")


def test_an_id_that_means_something_else_here_is_refused(other: History, path: Path) -> None:
    """Another result under the same name would be taken for this one; also a folder that the doctor
    has to see to.
    """
    pack(path, {**document(), "validation": {"metrics": {"accuracy": 0.9}}})
    read_archive(other, path)
    pack(path, {**document(), "validation": {"metrics": {"accuracy": 0.8}}})
    is_refused(other, path, match=f"already holds another entry {ID}")
    with other.store.changing() as table:
        table.truncate()
    is_refused(other, path, match="exists but has no entry; see `.*doctor`")


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
        read_archive(new, path)
        assert {entry.id for entry in new.entries()} == {entry.id for entry in entries}
        assert examine(new) == []
