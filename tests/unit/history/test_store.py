"""Nothing torn, nothing lost: the database and its files under attack."""

import json
import math
import multiprocessing
import os
import random
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from history_killing import (
    Check,
    Said,
    Writer,
    add_entries,
    insert_documents,
    kill,
    write_at_once,
    wrong_after_mending,
    wrong_in_the_database,
)
from history_samples import Add, artefacts, python, tree
from tinydb import TinyDB

import history
from foundation.errors import HistoryError, UnknownEntry
from foundation.files import held, make_folder
from history import registry
from history.doctor import mend
from history.store import Store, read_tables


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root)


def ids(store: Store) -> list[str]:
    return [document["id"] for document in store.all()]


# Documents


def test_what_is_inserted_is_read_back(store: Store) -> None:
    """Nesting, Unicode and null come back as they were; of numpy's, numbers; of NaN, null."""
    plain = {"id": "mlp-1", "name": "naïve [red]", "nested": {"values": [1, 2.5, None, True]}}
    odd = {"whole": np.int64(3), "array": np.array([0.5, math.nan]), "inf": {1: math.inf}}
    store.insert({**plain, **odd})
    expected = {**plain, "whole": 3, "array": [0.5, None], "inf": {"1": None}}
    assert store.all() == [expected]


def test_what_json_cannot_say_is_refused(store: Store) -> None:
    """The message tells what it was, and the history stays empty."""
    for value in (object(), {1, 2}, 1 + 2j, {(1, 2): 3}, b"bytes"):
        with pytest.raises(HistoryError, match=r"JSON|set|bytes|complex|object|key"):
            store.insert({"id": "mlp-1", "value": value})
    assert store.all() == []


def test_what_json_has_no_number_or_letter_for_is_written_as_text(store: Store) -> None:
    """An integer beyond 64 bits, and half a surrogate pair, such as stands in the name of a file
    that is not UTF-8: in values, keys, lists, paths and arrays.
    """
    odd = {"id": "mlp-1", "big": [2**70, -(2**64)], "text": "a\udcff", "\ud800": {2**70: (2**64,)}}
    store.insert({**odd, "path": Path("a\udcff"), "array": np.array([2**70, "b\udcff"], object)})
    [found] = store.all()
    assert found == {
        "id": "mlp-1",
        "big": [str(2**70), str(-(2**64))],
        "text": r"a\udcff",
        r"\ud800": {str(2**70): [str(2**64)]},
        "path": r"a\udcff",
        "array": [str(2**70), r"b\udcff"],
    }


def test_what_is_not_there_is_not_removed(store: Store) -> None:
    """The message names it, and the others stay."""
    store.insert({"id": "mlp-1"})
    with pytest.raises(UnknownEntry, match="no entry 'mlp-2'"):
        store.remove("mlp-2")
    assert ids(store) == ["mlp-1"]


def test_handles_and_threads_lose_nothing(store: Store, root: Path) -> None:
    """On one handle and on one each, with removals in between."""

    def work(own: Store, worker: int) -> None:
        for number in range(8):
            own.insert({"id": f"mlp-{worker}-{number}"})
        own.remove(f"mlp-{worker}-0")

    handles = [store, store, Store(root), Store(root)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, handles, range(4)))
    assert len(set(ids(store))) == 28
    assert ids(handles[-1]) == ids(store)


def test_the_file_is_an_ordinary_tinydb_database(store: Store) -> None:
    """Plain TinyDB reads and changes it, in the table "entries"."""
    for id in "ab":
        store.insert({"id": id, "value": math.nan})
    store.remove("a")
    store.insert({"id": "a"})
    with TinyDB(store.path) as plain:
        assert plain.table("entries").all() == [{"id": "b", "value": None}, {"id": "a"}]
        plain.table("entries").insert({"id": "c"})
        plain.table("notes").insert({"text": "kept"})
    store.insert({"id": "d"})
    assert store.all()[2:] == [{"id": "c"}, {"id": "d"}]
    assert json.loads(store.path.read_text(), parse_constant=pytest.fail)["notes"]


# The generation before


@pytest.mark.parametrize("links", [True, False])
def test_the_generation_before_is_kept(
    store: Store, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each change it is what the file was, also on a file system without hard links; nothing
    else stays behind.
    """
    if not links:
        monkeypatch.setattr(os, "link", mock.Mock(side_effect=OSError(1, "not permitted")))
    path, previous = store.path, store.previous
    store.insert({"id": "a"})
    for id in "bcde":
        if links and id == "e":  # as a kill may leave it
            previous.unlink()
            previous.hardlink_to(path)
        before = path.read_bytes()
        store.insert({"id": id})
        assert previous.read_bytes() == before
    names = {"history.json", "history.previous.json"}
    assert {file.name for file in path.parent.iterdir()} == names


@pytest.mark.parametrize("links", [True, False])
def test_whom_the_user_lets_read_is_kept(
    store: Store, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database keeps its mode through every change, and the generation before has it too; while
    it is written nobody else may read it.
    """
    if not links:
        monkeypatch.setattr(os, "link", mock.Mock(side_effect=OSError(1, "not permitted")))
    seen = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        seen.append(stat.filemode(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    store.insert({"id": "a"})
    store.insert({"id": "b"})
    assert store.path.stat().st_mode & 0o044  # nobody has asked for less
    store.path.chmod(0o600)
    monkeypatch.setattr(os, "fsync", record)
    for id in "cd":
        store.insert({"id": id})
        for path in (store.path, store.previous):
            assert stat.filemode(path.stat().st_mode) == "-rw-------"
    assert {mode for mode in seen if mode.startswith("-")} == {"-rw-------"}


# Kills and writers at once


@pytest.mark.parametrize(
    ("writer", "check"),
    [(insert_documents, wrong_in_the_database), (add_entries, wrong_after_mending)],
    ids=["documents", "entries"],
)
def test_a_kill_loses_nothing_that_was_acknowledged(
    root: Path, writer: Writer, check: Check
) -> None:
    """Nor brings back what was removed; the doctor leaves nothing half done.
    (tests/soak/kill_history.py does more.)
    """
    said, chance = Said(), random.Random()
    for _ in range(15):
        kill(writer, root, chance, said, longest=0.04)
        assert check(root, said) == []


def test_a_result_that_is_stored_again_after_a_kill_is_one_entry(root: Path) -> None:
    """Killed as its folder is whole and the database not yet replaced, the run stores it again; the
    doctor finds nothing to put back. What fails again, and what another run found, stands beside.
    """
    same = {"run_id": "r1", "pipeline": "mlp", "fingerprint": "f" * 64, "status": "complete"}

    def store(root: Path, **keys: str) -> str:
        manager = registry.manager("regression", root)
        return manager.add({**same, **keys}, artefacts(manager, root.parent / "made")).id

    def is_killed() -> None:
        replace = Path.replace
        end = partial(os.kill, os.getpid(), signal.SIGKILL)
        with mock.patch.object(
            Path, "replace", lambda a, b: end() if b.name == "history.json" else replace(a, b)
        ):
            store(root)

    process = multiprocessing.get_context("fork").Process(target=is_killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    [unacknowledged] = (root / "entries").iterdir()
    assert Store(root).all() == []
    id = store(root)
    assert unacknowledged.name == id
    repaired, left = mend(history.open(root))
    assert [finding.what for finding in (*repaired, *left) if "write" not in finding.what] == []
    assert [entry.id for entry in history.open(root).entries()] == [id]
    others = [store(root, status="failed") for _ in range(2)] + [store(root, run_id="r2")]
    assert len({id, *others}) == 4
    assert mend(history.open(root)) == ([], [])


def test_processes_lose_no_insert(root: Path) -> None:
    """Four writers with 25 inserts each leave 100 documents, each writer's in its order."""
    assert write_at_once(root, 4, 25) == []


def test_a_lock_is_gone_with_its_holder_and_lets_one_in_at_a_time(tmp_path: Path) -> None:
    """Four processes that take it in turns never meet, although each deletes the file that the
    others wait for; nested, it stays until the outermost has ended.
    """
    lock, inside = tmp_path / "locks" / "a.lock", tmp_path / "inside"
    with held(lock, "it"), held(lock, "it"):
        pass
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.starmap(take_turns, [(lock, inside)] * 4) == [40] * 4
    with held(lock, "it"):
        with held(lock, "it"):
            pass
        assert lock.read_text().startswith(f"process {os.getpid()} ")
    assert [*lock.parent.iterdir()] == []


def take_turns(lock: Path, inside: Path) -> int:
    """Return how often this process was inside alone."""
    alone = 0
    for _ in range(40):
        with held(lock, "it"):
            inside.mkdir()  # fails where another is inside
            alone += 1
            inside.rmdir()
    return alone


def test_a_folder_is_made_whoever_deletes_its_parents(tmp_path: Path) -> None:
    """As another process's purge does once they are empty, again and again."""
    folder = tmp_path / "trials" / "search" / "trial"
    with ThreadPoolExecutor() as threads:
        made = threads.submit(lambda: [*map(make_folder, [folder] * 1000)])
        while not made.done():
            for path in (folder, *folder.parents[:2]):
                with suppress(OSError):  # it is not there, or not empty
                    path.rmdir()
        made.result()


def test_readers_need_no_lock_and_see_whole_files(root: Path) -> None:
    """Also at the very first writes, when there is no file yet and then no generation before."""
    for number in range(6):
        here = root / str(number)
        writer = multiprocessing.get_context("fork").Process(
            target=write_at_once, args=(here, 1, 6)
        )
        writer.start()
        seen = []
        while writer.is_alive():
            seen.append(len(Store(here).all()))
        writer.join()
        assert seen == sorted(seen)
        assert len(Store(here).all()) == 6


# Files


def test_what_is_stored_is_synced(add: Add, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of an entry, the database, and the folders that have their names: all before the
    database takes its name, which is then synced too.
    """
    database = root / "history.json"
    synced: list[tuple[int, bool]] = []  # what, and whether the database was there by then
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, database.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    folder = root / "entries" / add().id
    written = [root.parent, root, database, folder.parent, folder, *folder.iterdir()]
    assert len(written) > 10
    assert [path for path in written if (path.stat().st_ino, False) not in synced] == []
    assert synced[-1] == (root.stat().st_ino, True)


def test_a_file_that_may_grow_no_more_leaves_the_old_content(root: Path) -> None:
    """A write that the system cuts off is a HistoryError; what was there is there, and nothing
    beside it.
    """
    Store(root).insert({"id": "old"})
    script = f"""
import resource, signal
from pathlib import Path
from foundation.errors import HistoryError
from history.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Store(Path({str(root)!r})).insert({{"id": "new", "text": "x" * 5000}})
except HistoryError as error:
    print(error)
"""
    done = python("-c", script)
    assert done.stderr == ""
    assert "history.json" in done.stdout
    assert "File too large" in done.stdout
    assert [document["id"] for document in Store(root).all()] == ["old"]
    assert {path.name for path in root.iterdir()} == {"history.json"}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b'{"entries": {"1": {"id"', b"[]", b'{"entries": {"x": {}}}', b"\xff"),
        *(b"[" * 100_000, b'{"entries": 5}', None),
    ],
)
def test_a_damaged_or_missing_database_is_named_and_left_alone(
    root: Path, content: bytes | None
) -> None:
    """Neither reading nor changing it does anything, to the generation before either; the message
    says what to do. With a generation before, a missing one is no empty history.
    """
    root.mkdir()
    store = Store(root)
    store.previous.write_bytes(b'{"entries": {}}')
    if content is not None:
        store.path.write_bytes(content)
    before = tree(root)
    for operation in (store.all, lambda: store.insert({"id": "new"}), lambda: store.remove("old")):
        with pytest.raises(HistoryError, match=r"history\.json.*nothing was changed.*doctor"):
            operation()
    assert tree(root) == before


def test_a_root_that_is_a_file_is_a_history_error(tmp_path: Path) -> None:
    """The message names the path."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(HistoryError, match="file"):
        Store(tmp_path / "file").insert({"id": "mlp-1"})


def test_writing_through_a_link_keeps_the_link(store: Store) -> None:
    """What the link points to is replaced, and has its generation before."""
    (store.path.parent / "elsewhere").mkdir(parents=True)
    store.path.symlink_to("elsewhere/history.json")
    for id in "abc":
        store.insert({"id": id})
    assert store.path.is_symlink()
    assert len((read_tables(store.previous) or {})["entries"]) == 2
