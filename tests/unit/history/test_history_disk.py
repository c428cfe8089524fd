"""A disk that is full, and one that may only be read: real ones, small enough to be filled."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from history_samples import python

import history
from history import registry
from history.catalogue import History
from history.doctor import examine, mend
from history.entry import Entry
from history.errors import HistoryError
from history.exchange.archive import read_archive, write_archive
from history.manager import COMMON_ARTEFACTS
from history.store import DurableStorage, TinyDBStore

PAGE = 4096


def mount(*arguments: object) -> bool:
    try:
        return (
            subprocess.run(
                ["mount", *map(str, arguments)], capture_output=True, check=False
            ).returncode
            == 0
        )
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 2 MB, or just a folder for a user who may not mount
    one.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", f"size={500 * PAGE}", "tmpfs", folder)
    yield folder
    if mounted:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def root(disk: Path) -> Path:
    return disk / "results"


@pytest.fixture
def room(disk: Path) -> Callable[[int | None], None]:
    """Leave so many free pages on the disk; None: all that there are."""
    if not disk.is_mount():
        pytest.skip(
            "only root may mount a disk to be filled; test_history_store.py has a limit that needs no rights"
        )
    filler = disk / "filler"

    def leave(pages: int | None) -> None:
        filler.unlink(missing_ok=True)
        if pages is not None:
            free = os.statvfs(disk).f_bavail
            filler.write_bytes(bytes(max(0, free - pages) * PAGE))

    return leave


@pytest.fixture
def read_only(disk: Path) -> Iterator[Callable[[], None]]:
    """From now on the disk, or for want of one the folder, may only be read."""
    folders = [disk]

    def close() -> None:
        if disk.is_mount():
            assert mount("-o", "remount,ro", disk)
            return
        if os.geteuid() == 0:
            pytest.skip("nothing is closed to root but a disk, and this one may mount none")
        folders.extend(path for path in disk.rglob("*") if path.is_dir())
        for folder in folders:
            folder.chmod(0o555)

    yield close
    for folder in folders if not disk.is_mount() else []:
        folder.chmod(0o755)


Room = Callable[[int | None], None]


def snapshot(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def adding(root: Path, made: Path) -> Entry:
    """Add an entry of about 25 kB whose files come from another disk."""
    manager = registry.manager("regression", root, history.open(root).store)
    made.mkdir(exist_ok=True)
    files = {name: made / f"{name}.bin" for name in COMMON_ARTEFACTS + manager.artefacts}
    for name, path in files.items():
        path.write_bytes(name.encode() * 700)
    return manager.add({"pipeline": "mlp", "status": "complete", "notes": "x" * 9000}, files)


def verify(catalogue: history.History) -> list[str]:
    entries = catalogue.entries()
    for entry in entries:
        catalogue.manager_of(entry).verify(entry)
    return [entry.id for entry in entries]


def refused(change: Callable[[], object]) -> str:
    """The message of the refusal, empty if there was none."""
    try:
        change()
    except HistoryError as error:
        return str(error)
    return ""


def test_an_insert_into_a_full_disk_changes_nothing(root: Path, room: Room) -> None:
    """Wherever the room ends, the file and the generation before stay as they were, with nothing
    beside them.
    """
    store = TinyDBStore(root)
    for id in "abc":
        store.insert({"id": id, "text": "x" * 10_000})
    before = snapshot(root)
    assert set(before) == {"history.json", "history.previous.json", ".history.lock"}
    failed = 0
    for pages in range(30):
        room(pages)
        message = refused(lambda: store.insert({"id": "new", "text": "x" * 10_000}))
        if not message:
            break
        failed += 1
        assert "history.json: No space left on device; its old content stands: make room" in message
        assert snapshot(root) == before
    assert 5 < failed < 29
    assert [document["id"] for document in store.all()] == ["a", "b", "c", "new"]
    assert snapshot(root)["history.previous.json"] == before["history.json"]


def test_the_first_insert_into_a_full_disk_leaves_no_database(root: Path, room: Room) -> None:
    """The next one, with room, works."""
    room(0)
    with pytest.raises(HistoryError, match="No space left on device"):
        TinyDBStore(root).insert({"id": "a"})
    assert TinyDBStore(root).all() == []
    assert snapshot(root).keys() <= {".history.lock"}
    room(None)
    TinyDBStore(root).insert({"id": "a"})
    assert len(TinyDBStore(root).all()) == 1


def test_an_entry_that_does_not_fit_is_not_acknowledged(
    root: Path, room: Room, tmp_path: Path
) -> None:
    """Its files are where the message says, what was there verifies, and the doctor cleans up
    behind it.
    """
    catalogue = history.open(root)
    kept = adding(root, tmp_path / "made").id
    stages = set()
    for pages in range(0, 50, 2):
        room(pages)
        before = verify(catalogue)
        message = refused(lambda: adding(root, tmp_path / "made"))
        if not message:
            break
        assert "No space left on device" in message
        places = message.partition("Its files are now: ")[2].split(", ")
        assert [place for place in places if not Path(place).is_file()] == []
        stages.add("folder" if "entries/mlp" in places[0] else "part")
        assert verify(catalogue) == before
        room(None)
        assert mend(catalogue)[1] == []
        assert set(before) <= set(verify(catalogue))
    assert stages == {"part", "folder"}
    assert kept in verify(catalogue)
    assert examine(catalogue) == []


def test_a_removal_on_a_full_disk_leaves_the_entry_whole(
    root: Path, room: Room, tmp_path: Path
) -> None:
    """It needs room for the new database; with room it works."""
    catalogue = history.open(root)
    entry, _ = adding(root, tmp_path / "made"), adding(root, tmp_path / "made")
    before = snapshot(root)
    room(0)
    with pytest.raises(HistoryError, match="No space left on device"):
        catalogue.remove(entry)
    assert snapshot(root) == before
    assert entry.id in verify(catalogue)
    room(None)
    catalogue.remove(entry)
    assert entry.id not in verify(catalogue)
    assert examine(catalogue) == []


def test_an_archive_that_does_not_fit_leaves_nothing(
    root: Path, disk: Path, room: Room, tmp_path: Path
) -> None:
    """Neither of one that is written nor of one that is taken."""
    catalogue = history.open(root)
    entry = adding(root, tmp_path / "made")
    many = [Entry({**entry.document, "id": f"{entry.id}-{number}"}, root) for number in range(9)]
    room(1)
    before = snapshot(disk)
    with pytest.raises(HistoryError, match="No space left on device"):
        write_archive(many, disk / "archive.zip")
    assert snapshot(disk) == before
    write_archive([entry], tmp_path / "archive.zip")
    room(None)
    catalogue.remove(entry)
    before = snapshot(root)
    failed = 0
    for pages in range(40):
        room(pages)
        message = refused(lambda: read_archive(catalogue, tmp_path / "archive.zip"))
        if not message:
            break
        failed += 1
        assert "No space left on device" in message or "which has fewer" in message
        assert snapshot(root) == before
    assert 10 < failed < 39
    assert verify(catalogue) == [entry.id]


def test_a_repair_on_a_full_disk_changes_nothing(root: Path, room: Room, tmp_path: Path) -> None:
    """The damaged file and the generation before stay; with room the repair works."""
    catalogue = history.open(root)
    ids = [adding(root, tmp_path / "made").id for _ in range(3)]
    path = root / "history.json"
    path.write_bytes(path.read_bytes()[:-9])
    before = snapshot(root)
    room(0)
    with pytest.raises(HistoryError, match="No space left on device"):
        mend(catalogue)
    after = snapshot(root)
    assert {name: after[name] for name in before} == before
    assert [path.name for path in root.glob(".*.tmp")] == []
    room(None)
    assert mend(catalogue)[1] == []
    assert verify(catalogue) == ids


def test_a_disk_that_may_only_be_read_is_read(
    root: Path, read_only: Callable[[], None], tmp_path: Path
) -> None:
    """By the package and the command line; every change is refused in a sentence, and moves no
    file.
    """
    catalogue = history.open(root)
    entry = adding(root, tmp_path / "made")
    TinyDBStore(root).insert(
        {**entry.document, "id": "second", "status": "failed", "artefacts": {}}
    )
    before = snapshot(root)
    read_only()
    assert verify(catalogue) == [entry.id, "second"]
    assert catalogue.get("@0").document == entry.document
    assert DurableStorage(root / "history.previous.json").read()
    assert mend(catalogue) == ([], [])
    write_archive([entry], tmp_path / "archive.zip")
    for command in (["list"], ["list", "--json"], ["show", "@0"]):
        done = python("-m", "history", "--root", root, *command)
        assert (done.returncode, done.stderr) == (0, "")
    for change in (
        lambda: TinyDBStore(root).insert({"id": "new"}),
        lambda: TinyDBStore(root).remove("second"),
        lambda: catalogue.remove(entry),
        lambda: adding(root, tmp_path / "made"),
        lambda: read_archive(History(tmp_path / "disk" / "new"), tmp_path / "archive.zip"),
    ):
        with pytest.raises(HistoryError, match=r"Read-only file system|Permission denied"):
            change()
    assert len([*(tmp_path / "made").iterdir()]) == 6
    assert snapshot(root) == before
