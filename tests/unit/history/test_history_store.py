"""Nothing torn, nothing lost: the store and its files under attack."""

import multiprocessing
import os
from pathlib import Path

import pytest
from history_samples import python
from tinydb import TinyDB

from history import files
from history.errors import HistoryError, InputError
from history.store import TinyDBStore, open_store


def insert_many(root: Path, worker: int) -> None:
    store = TinyDBStore(root)
    for number in range(25):
        store.insert({"id": f"mlp-{worker}-{number}"})


def test_two_processes_lose_no_insert(root: Path) -> None:
    """Two writers with 25 inserts each leave 50 documents, each writer's in its order."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=insert_many, args=(root, worker)) for worker in (0, 1)]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    ids = [document["id"] for document in TinyDBStore(root).all()]
    assert [process.exitcode for process in workers] == [0, 0]
    assert len(ids) == 50
    for worker in (0, 1):
        mine = [id for id in ids if id.startswith(f"mlp-{worker}-")]
        assert mine == [f"mlp-{worker}-{number}" for number in range(25)]


def test_a_full_disk_leaves_the_old_content(root: Path) -> None:
    """A write that the system cuts off is a HistoryError; what was there is there, and nothing beside it."""
    TinyDBStore(root).insert({"id": "old"})
    script = f"""
import resource, signal
from pathlib import Path
from history.errors import HistoryError
from history.store import TinyDBStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    TinyDBStore(Path({str(root)!r})).insert({{"id": "new", "text": "x" * 5000}})
except HistoryError as error:
    print(error)
"""
    done = python("-c", script)
    assert done.stderr == ""
    assert "history.json" in done.stdout
    assert "File too large" in done.stdout
    assert [document["id"] for document in TinyDBStore(root).all()] == ["old"]
    assert {path.name for path in root.iterdir()} <= {"history.json", ".history.lock"}


@pytest.mark.parametrize("content", [b"", b'{"entries": {"1": {"id"', b"[]", b'{"entries": {"x": {}}}'])
def test_a_damaged_database_is_named_and_left_alone(root: Path, content: bytes) -> None:
    """Neither reading nor inserting changes it; the message says what to do."""
    root.mkdir()
    path = root / "history.json"
    path.write_bytes(content)
    for operation in (TinyDBStore(root).all, lambda: TinyDBStore(root).insert({"id": "new"})):
        with pytest.raises(HistoryError, match=r"history\.json.*nothing was changed.*[Rr]estore"):
            operation()
    assert path.read_bytes() == content


def test_the_file_is_an_ordinary_tinydb_database(root: Path) -> None:
    """Plain TinyDB reads it, in the table "entries"."""
    TinyDBStore(root).insert({"id": "mlp-1"})
    with TinyDB(root / "history.json") as database:
        assert database.table("entries").all() == [{"id": "mlp-1"}]
        assert database.tables() == {"entries"}


def test_what_json_cannot_say_is_refused(root: Path) -> None:
    """The message tells what it was, and the history stays empty."""
    with pytest.raises(HistoryError, match="object"):
        TinyDBStore(root).insert({"id": "mlp-1", "value": object()})
    assert TinyDBStore(root).all() == []


def test_a_root_that_is_a_file_is_a_history_error(tmp_path: Path) -> None:
    """The message names the path."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(HistoryError, match="file"):
        TinyDBStore(tmp_path / "file").insert({"id": "mlp-1"})


def test_an_unknown_store_is_an_input_error(root: Path) -> None:
    """With the name that was meant."""
    with pytest.raises(InputError, match="'tinydb'"):
        open_store("tinydbb", root)


def test_a_failed_replace_removes_the_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old content stays, alone in its folder."""
    path = tmp_path / "a.json"
    files.write_atomic(path, b"old")

    def refuse(source: object, target: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        files.write_atomic(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.json", b"old")]


def test_writing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    """What the link points to is replaced."""
    (tmp_path / "real.json").write_bytes(b"old")
    link = tmp_path / "link.json"
    link.symlink_to("real.json")
    files.write_atomic(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "real.json").read_bytes() == b"new"


def test_json_is_strict_when_written_and_lenient_when_read(tmp_path: Path) -> None:
    """NaN is written as null; a bare NaN or Infinity is read; what is no JSON is named."""
    assert files.to_json({"a": [float("nan"), float("inf"), 1.5]}) == b'{"a":[null,null,1.5]}'
    path = tmp_path / "oracle.json"
    path.write_text('{"hyperband_iterations": Infinity}')
    assert files.read_json(path) == {"hyperband_iterations": float("inf")}
    path.write_text('{"cut')
    with pytest.raises(HistoryError, match=r"oracle\.json"):
        files.read_json(path)
