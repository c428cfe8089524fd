"""Nothing torn, nothing lost: the store and its files under attack, and TinyDB's contract on top of
them.
"""

import json
import math
import multiprocessing
import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

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
from history_samples import python
from tinydb import Query, TinyDB, where
from tinydb.operations import add, decrement, delete, increment
from tinydb.operations import set as put
from tinydb.storages import MemoryStorage
from tinydb.table import Document

from history import files
from history.errors import HistoryError, InputError
from history.store import DurableStorage, DurableTinyDB, TinyDBStore, open_store

MOMENT = datetime(2026, 3, 1, 12, 30, 1, 250, tzinfo=UTC)
INEXACT = [math.nan, math.inf, -math.inf, MOMENT, MOMENT.date(), datetime(2026, 3, 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.json"


@pytest.fixture
def database(path: Path) -> DurableTinyDB:
    return DurableTinyDB(path)


# What TinyDB promises


def value(chance: random.Random, depth: int = 2) -> Any:
    plain = [None, True, 0, -7, 0.5, "", "naïve", "2026-03-01", 2**60, *INEXACT]
    if depth and chance.random() < 0.3:
        return [value(chance, depth - 1) for _ in range(chance.randrange(3))]
    if depth and chance.random() < 0.3:
        return {key: value(chance, depth - 1) for key in chance.sample("abc", 2)}
    return chance.choice(plain)


def document(chance: random.Random) -> dict[str, Any]:
    tags = chance.sample(["x", "y", "z"], chance.randrange(4))
    return {
        "n": chance.randrange(5),
        "tags": tags,
        "deep": {"n": chance.randrange(3)},
        "value": value(chance),
    }


def query(chance: random.Random) -> Any:
    n = chance.randrange(5)
    return chance.choice(
        [
            where("n") == n,
            (where("n") > n) & (where("deep").n != 1),
            (where("n") < n) | ~(where("tags").any(["x"])),
            where("tags").all(["x", "y"]),
            where("tags").any(Query().test(lambda tag: str(tag) == "z")),
            where("n").one_of([n, 1]),
            where("nothing").exists(),
            Query().fragment({"n": n}),
            where("deep").fragment({"n": 1}),
            where("value").test(lambda found: isinstance(found, float)),
            Query().noop(),
        ]
    )


Do = Callable[[TinyDB], Any]


def operation(chance: random.Random) -> Do:
    """An operation with all its arguments, to be done on two databases: each gets copies of its
    own.
    """
    name = chance.choice(["_default", "entries", "other"])
    ids = chance.sample(range(1, 12), 2)
    far = chance.sample(
        range(10**6), 2
    )  # where no counter comes: TinyDB overwrites what its own reaches
    seed = chance.getrandbits(32)

    def new() -> dict[str, Any]:
        return document(random.Random(seed))

    def asked() -> Any:
        return query(random.Random(seed))

    return chance.choice(
        [
            *[lambda db: db.table(name).insert(new())] * 4,
            lambda db: db.insert(new()),
            lambda db: db.table(name).insert(Document(new(), ids[0])),
            lambda db: db.table(name).insert_multiple([new(), new()]),
            lambda db: db.table(name).insert_multiple(Document(new(), 1000 * id) for id in far),
            lambda db: db.table(name).update({"value": new()["value"]}, asked()),
            lambda db: db.table(name).update({"n": 3}, doc_ids=ids),
            lambda db: db.table(name).update(increment("n"), asked()),
            lambda db: db.table(name).update(decrement("n")),
            lambda db: db.table(name).update(add("n", 2), where("n") < 2),
            lambda db: db.table(name).update(put("value", new()["value"]), asked()),
            lambda db: db.table(name).update(delete("value"), where("value").exists() & asked()),
            lambda db: db.table(name).update_multiple(
                [({"n": 1}, asked()), (increment("n"), where("n") == 1)]
            ),
            lambda db: db.table(name).upsert(new(), asked()),
            lambda db: db.table(name).upsert(Document(new(), ids[0])),
            lambda db: db.table(name).remove(where("n") == ids[0]),
            lambda db: db.table(name).remove(doc_ids=ids),
            lambda db: db.table(name).truncate(),
            lambda db: db.drop_table(name),
            lambda db: db.drop_tables(),
            lambda db: db.table(name).search(asked()),
            lambda db: db.table(name).get(asked()),
            lambda db: db.table(name).get(doc_ids=ids),
            lambda db: (db.table(name).contains(asked()), db.table(name).contains(doc_id=ids[0])),
            lambda db: (db.table(name).count(asked()), len(db.table(name)), len(db)),
            lambda db: len(db.table("kept", persist_empty=True)),
            lambda db: db.table(name).insert(7),  # refused by both
            lambda db: db.table(name).get(),
        ]
    )


def outcome(do: Do, database: TinyDB) -> str:
    """As text, in which NaN equals itself."""
    try:
        return repr(do(database)).replace(str(database.storage), "")
    except (ValueError, RuntimeError) as error:
        return repr(error)


def content(database: TinyDB) -> str:
    tables = {
        name: [(row.doc_id, dict(row)) for row in database.table(name)]
        for name in sorted(database.tables())
    }
    return repr(tables)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_done_is_done_as_by_tinydb_itself(path: Path, seed: int) -> None:
    """The results, the errors, every table, the ids and their order, after each of two hundred
    random operations.
    """
    chance = random.Random(seed)
    ours, theirs = DurableTinyDB(path), TinyDB(storage=MemoryStorage)
    for number in range(200):
        do = operation(chance)
        assert (number, outcome(do, ours)) == (number, outcome(do, theirs))
        assert content(ours) == content(theirs)
        assert content(DurableTinyDB(path)) == content(theirs)


def test_a_row_is_never_overwritten_by_an_insert(database: DurableTinyDB) -> None:
    """TinyDB 4.9 itself loses the row whose explicit id its counter reaches."""
    database.insert({"n": 1})
    database.insert_multiple([Document({"n": 2}, 2), {"n": 3}])
    database.insert_multiple([{"n": 4}])
    assert [(row.doc_id, row["n"]) for row in database] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def change_through_another_handle(path: Path) -> None:
    DurableTinyDB(path).update({"n": 2}, where("n") == 1)


def test_no_handle_serves_what_another_has_changed(database: DurableTinyDB, path: Path) -> None:
    """A query that was asked before is asked again of the file; also where a cache was asked
    for.
    """
    table = database.table("_default", cache_size=100)
    database.insert({"n": 1})
    asked = where("n") == 1
    assert len(table.search(asked)) == 1
    change_through_another_handle(path)
    assert table.search(asked) == []
    assert (table.count(asked), table.get(asked), database.contains(asked)) == (0, None, False)


def test_two_handles_in_turns_never_clash(path: Path) -> None:
    """Neither on ids, whatever was inserted and removed in between, nor on tables."""
    handles = [DurableTinyDB(path), DurableTinyDB(path)]
    chance = random.Random(0)
    numbers = set()
    for number in range(60):
        one = chance.choice(handles)
        one.insert({"number": number}) if chance.random() < 0.7 else one.insert_multiple(
            [{"number": number}]
        )
        numbers.add(number)
        if chance.random() < 0.3:
            gone = chance.choice(sorted(numbers))
            chance.choice(handles).remove(where("number") == gone)
            numbers.remove(gone)
        assert [sorted(row["number"] for row in handle) for handle in handles] == [
            sorted(numbers)
        ] * 2
    assert len({row.doc_id for row in handles[0]}) == len(numbers)


def test_threads_lose_nothing(path: Path) -> None:
    """On one handle and on one each: every insert and every increment counts."""
    shared = DurableTinyDB(path)
    shared.table("count").insert({"n": 0})
    errors: list[BaseException] = []

    def work(own: DurableTinyDB) -> None:
        try:
            for number in range(8):
                own.insert({"number": number})
                own.table("count").update(increment("n"))
        except BaseException as error:
            errors.append(error)
            raise

    threads = [
        threading.Thread(target=work, args=(one,))
        for one in (shared, shared, *map(DurableTinyDB, [path] * 2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({row.doc_id for row in shared}) == 32
    assert shared.table("count").all() == [{"n": 32}]


def count(database: DurableTinyDB) -> None:
    for _ in range(50):
        database.update(increment("n"))


@pytest.mark.parametrize("shared", [True, False], ids=["inherited handle", "handles of their own"])
def test_processes_lose_no_update(path: Path, shared: bool) -> None:
    """Four that increment a number fifty times each make two hundred: reading and writing are one
    step.
    """
    database = DurableTinyDB(path)
    database.insert({"n": 0})
    context = multiprocessing.get_context("fork")
    handles = [database if shared else DurableTinyDB(path) for _ in range(4)]
    processes = [context.Process(target=count, args=(handle,)) for handle in handles]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert database.all() == [{"n": 200}]


def test_an_update_that_fails_changes_nothing(database: DurableTinyDB, path: Path) -> None:
    """Also those rows that were changed before it failed; and the lock is free again."""
    database.insert_multiple([{"n": 1}, {"m": 1}])
    before = path.read_bytes()
    with pytest.raises(KeyError):
        database.update(increment("n"))
    assert path.read_bytes() == before
    DurableTinyDB(path).insert({"n": 3})
    assert len(database) == 3


# What JSON lacks


def exact(database: TinyDB, table: str) -> str:
    return repr([dict(row) for row in database.table(table)])


def test_what_json_lacks_survives_every_way_in(database: DurableTinyDB, path: Path) -> None:
    """Insert, update and upsert, any table, lists in lists, beside nulls and texts that look
    alike.
    """
    nested = {
        "list": [[None, value, [value]] for value in INEXACT],
        "none": None,
        "text": "2026-03-01",
    }
    for table in ("entries", "_default", "a.b"):
        rows = database.table(table)
        rows.insert({"id": "inserted", **nested})
        rows.insert_multiple([{"id": "many", "tuple": (math.nan, 1)}, {"id": "updated"}])
        rows.update({"deep": nested}, where("id") == "updated")
        rows.upsert({"id": "upserted", **nested}, where("id") == "upserted")
        rows.upsert({"more": math.inf}, where("id") == "upserted")
        expected = [
            {"id": "inserted", **nested},
            {"id": "many", "tuple": [math.nan, 1]},
            {"id": "updated", "deep": nested},
            {"id": "upserted", **nested, "more": math.inf},
        ]
        assert exact(DurableTinyDB(path), table) == repr(expected)
    assert json.loads(path.read_text(), parse_constant=pytest.fail)
    database.table("entries").update({"list": None, "text": MOMENT})
    assert [row["list"] for row in database.table("entries")] == [None] * 4


def test_keys_that_are_no_text_become_text(database: DurableTinyDB) -> None:
    """As in any JSON file; what stands under them is exact as well."""
    database.insert({"by": {1: math.nan, 2.5: [math.inf], None: MOMENT, False: {3: math.nan}}})
    expected = {"1": math.nan, "2.5": [math.inf], "null": MOMENT, "false": {"3": math.nan}}
    assert exact(database, "_default") == repr([{"by": expected}])


def test_numpys_values_become_pythons(database: DurableTinyDB) -> None:
    """Scalars and arrays, the infinite ones among them, and its dates."""
    database.insert(
        {
            "scalars": [
                np.int64(3),
                np.float32(0.5),
                np.bool_(True),
                np.float64("nan"),
                np.float32("-inf"),
            ],
            "array": np.array([[1.0, math.nan], [math.inf, 2.0]]),
            "zero": np.array(math.nan),
            "every other": np.array([1.0, 2.0, math.nan])[::2],
            "day": np.datetime64("2026-03-01"),
        }
    )
    expected = {
        "scalars": [3, 0.5, True, math.nan, -math.inf],
        "array": [[1.0, math.nan], [math.inf, 2.0]],
        "zero": math.nan,
        "every other": [1.0, math.nan],
        "day": datetime(2026, 3, 1),
    }
    assert exact(database, "_default") == repr([expected])


def test_a_database_that_plain_tinydb_changed_is_exact_where_it_was_left(
    database: DurableTinyDB, path: Path
) -> None:
    """It reads the same rows with null, may change, remove and add any, and writes NaN in its own
    way.
    """
    rows = database.table("entries")
    rows.insert_multiple(
        [{"id": id, "values": [math.nan, None, math.inf], "day": date(2026, 3, 1)} for id in "abc"]
    )
    with TinyDB(path) as plain:
        theirs = plain.table("entries")
        assert theirs.all()[0] == {"id": "a", "values": [None, None, None], "day": "2026-03-01"}
        theirs.update({"note": 1}, where("id") == "a")
        theirs.update({"values": [1]}, where("id") == "b")
        theirs.remove(where("id") == "c")
        assert all(table.all() is not None for table in map(plain.table, plain.tables()))
    for _ in range(2):  # as it was left, and as we write it ourselves
        found = {row["id"]: row for row in DurableTinyDB(path).table("entries")}
        assert repr(found["a"]["values"]) == "[nan, None, inf]"
        assert (found["a"]["note"], found["a"]["day"]) == (1, date(2026, 3, 1))
        assert found["b"]["values"] == [1]
        assert sorted(found) in (["a", "b"], ["a", "b", "d"])
        rows.upsert({"id": "d"}, where("id") == "d")
    with TinyDB(path) as plain:
        plain.table("entries").insert({"id": "e", "value": math.nan, "low": -math.inf})
    row = next(row for row in rows if row["id"] == "e")
    assert (math.isnan(row["value"]), row["low"]) == (True, -math.inf)


def test_a_list_of_exact_values_that_was_tampered_with_does_no_harm(path: Path) -> None:
    """Paths that lead nowhere, unknown kinds and other shapes are passed over."""
    exact = {
        "nan": [[], ["entries"], ["entries", "1", "x"], ["no"], 7, [None]],
        "date": 5,
        "odd": [["entries", "1", "a"]],
    }
    path.write_text(json.dumps({"entries": {"1": {"id": "a", "a": None}}, "_exact": {"1": exact}}))
    assert DurableTinyDB(path).table("entries").all() == [{"id": "a", "a": None}]


def test_the_name_of_that_list_is_no_tables(database: DurableTinyDB) -> None:
    """It would be taken for something else when it is read."""
    with pytest.raises(HistoryError, match="'_exact'"):
        database.table("_exact").insert({"a": 1})
    assert database.tables() == set()


def test_what_json_cannot_say_is_refused(root: Path) -> None:
    """The message tells what it was, and the history stays empty."""
    for value in (object(), {1, 2}, 1 + 2j, {(1, 2): 3}, 2**70, b"bytes"):
        with pytest.raises(HistoryError, match=r"JSON|set|bytes|complex|object|64-bit|key"):
            TinyDBStore(root).insert({"id": "mlp-1", "value": value})
    assert TinyDBStore(root).all() == []


# The generation before


def test_the_generation_before_is_kept(database: DurableTinyDB, path: Path) -> None:
    """After each change it is what the file was; a link to one file never stays behind."""
    storage = DurableStorage(path)
    for number in range(4):
        before = path.read_bytes() if path.exists() else None
        database.insert({"number": number})
        assert (storage.previous.read_bytes() if before else None) == before
    before = path.read_bytes()
    storage.previous.unlink()
    os.link(path, storage.previous)  # as a kill may leave it
    database.insert({"number": 5})
    assert storage.previous.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} == {
        path.name,
        storage.previous.name,
        ".history.lock",
    }


def test_a_refused_insert_keeps_the_generation_before(root: Path) -> None:
    """Nothing was changed, so that there is nothing to keep the present file for."""
    store = TinyDBStore(root)
    for id in "ab":
        store.insert({"id": id})
    before = store.storage.previous.read_bytes()
    with pytest.raises(HistoryError, match="already holds"):
        store.insert({"id": "a"})
    assert store.storage.previous.read_bytes() == before


@pytest.mark.parametrize("known", [True, False], ids=["a handle that wrote it", "a new handle"])
def test_a_damaged_file_never_becomes_the_generation_before(path: Path, known: bool) -> None:
    """Not even where everything is to be dropped, which needs no reading, or the storage is written
    to directly.
    """
    database = DurableTinyDB(path)
    for number in range(2):
        database.insert({"number": number})
    previous = DurableStorage(path).previous.read_bytes()
    path.write_bytes(path.read_bytes()[:-3])
    database = database if known else DurableTinyDB(path)
    for write in (
        database.drop_tables,
        lambda: database.storage.write({"a": {"1": {}}}),
        database.truncate,
    ):
        with pytest.raises(HistoryError, match="doctor"):
            write()
    assert DurableStorage(path).previous.read_bytes() == previous
    assert not [*path.parent.glob(".*.tmp")]


def test_a_file_system_without_hard_links_keeps_it_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a copy."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    database = DurableTinyDB(path)
    for number in range(3):
        database.insert({"number": number})
    assert len(DurableTinyDB(DurableStorage(path).previous)) == 2
    assert not [*path.parent.glob(".*.tmp")]


def test_a_missing_file_with_a_generation_before_is_no_empty_history(root: Path) -> None:
    """Neither reading nor inserting takes it for one."""
    store = TinyDBStore(root)
    for id in "ab":
        store.insert({"id": id})
    store.path.unlink()
    for operation in (store.all, lambda: store.insert({"id": "c"}), lambda: store.remove("a")):
        with pytest.raises(HistoryError, match=r"is missing.*doctor"):
            operation()


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


def test_processes_lose_no_insert(root: Path) -> None:
    """Four writers with 25 inserts each leave 100 documents, each writer's in its order."""
    assert write_at_once(root, 4, 25) == []


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
            seen.append(len(TinyDBStore(here).all()))
        writer.join()
        assert seen == sorted(seen)
        assert len(TinyDBStore(here).all()) == 6


# Files


def test_a_file_that_may_grow_no_more_leaves_the_old_content(root: Path) -> None:
    """A write that the system cuts off is a HistoryError; what was there is there, and nothing
    beside it.
    """
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


DAMAGED = [
    b"",
    b'{"entries": {"1": {"id"',
    b"[]",
    b'{"entries": {"x": {}}}',
    b"\xff",
    b"[" * 100_000,
    b'{"entries": 5}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_database_is_named_and_left_alone(root: Path, content: bytes) -> None:
    """Neither reading nor changing it does anything; the message says what to do."""
    root.mkdir()
    path = root / "history.json"
    path.write_bytes(content)
    store = TinyDBStore(root)
    for operation in (store.all, lambda: store.insert({"id": "new"}), lambda: store.remove("old")):
        with pytest.raises(HistoryError, match=r"history\.json.*nothing was changed.*doctor"):
            operation()
    assert path.read_bytes() == content


def test_the_file_is_an_ordinary_tinydb_database(root: Path) -> None:
    """Plain TinyDB reads it, in the table "entries"."""
    TinyDBStore(root).insert({"id": "mlp-1"})
    with TinyDB(root / "history.json") as database:
        assert database.table("entries").all() == [{"id": "mlp-1"}]
        assert database.tables() == {"entries"}


def test_a_root_that_is_a_file_is_a_history_error(tmp_path: Path) -> None:
    """The message names the path."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(HistoryError, match="file"):
        TinyDBStore(tmp_path / "file").insert({"id": "mlp-1"})


def test_an_unknown_store_is_an_input_error(root: Path) -> None:
    """With the name that was meant."""
    with pytest.raises(InputError, match="'tinydb'"):
        open_store("tinydbb", root)


def test_a_failed_replace_removes_the_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    """What the link points to is replaced; also where it is the database, with its generation
    before.
    """
    (tmp_path / "real.json").write_bytes(b"old")
    link = tmp_path / "link.json"
    link.symlink_to("real.json")
    files.write_atomic(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "real.json").read_bytes() == b"new"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "history.json").symlink_to("elsewhere/history.json")
    store = TinyDBStore(tmp_path)
    for id in "abc":
        store.insert({"id": id})
    assert store.path.is_symlink()
    # it is there
    assert len(DurableStorage(store.storage.previous).read()["entries"]) == 2  # type: ignore[index]


def test_json_is_strict_when_written_and_lenient_when_read(tmp_path: Path) -> None:
    """NaN is written as null; a bare NaN or Infinity is read; what is no JSON is named."""
    assert files.to_json({"a": [float("nan"), float("inf"), 1.5]}) == b'{"a":[null,null,1.5]}'
    path = tmp_path / "oracle.json"
    path.write_text('{"hyperband_iterations": Infinity}')
    assert files.read_json(path) == {"hyperband_iterations": float("inf")}
    path.write_text('{"cut')
    with pytest.raises(HistoryError, match=r"oracle\.json"):
        files.read_json(path)
