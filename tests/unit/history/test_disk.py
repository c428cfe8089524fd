"""A disk that is full, and one that may only be read: real ones, small enough to be filled."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from history_samples import artefacts, python, tree

import history
from foundation.errors import HistoryError
from history import registry
from history.catalogue import History
from history.doctor import examine, mend
from history.entry import Entry
from history.exchange.archive import read_archive, write_archive
from history.store import Store, read_tables

PAGE = 4096


def mount(*arguments: object) -> bool:
    command = ["mount", *map(str, arguments)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={500 * PAGE}", "tmpfs", folder):
        pytest.skip("only root may mount a disk; test_store.py has a limit of file sizes")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def root(disk: Path) -> Path:
    return disk / "results"


@pytest.fixture
def room(disk: Path) -> Callable[[int | None], None]:
    """Leave so many free pages on the disk; None: all that there are."""
    filler = disk / "filler"

    def leave(pages: int | None) -> None:
        filler.unlink(missing_ok=True)
        if pages is not None:
            free = os.statvfs(disk).f_bavail
            filler.write_bytes(bytes(max(0, free - pages) * PAGE))

    return leave


Room = Callable[[int | None], None]


def adding(root: Path, made: Path) -> Entry:
    """Add an entry of about 25 kB whose files come from another disk."""
    manager = registry.manager("regression", root)
    files = artefacts(manager, made, 700)
    return manager.add({"pipeline": "mlp", "status": "complete", "padding": "x" * 9000}, files)


def verify(catalogue: history.History) -> list[str]:
    entries = catalogue.entries()
    for entry in entries:
        catalogue.manager_of(entry).verify(entry)
    return [entry.id for entry in entries]


def squeezed(change: Callable[[], object], root: Path, room: Room) -> int:
    """Try the change with ever more room, until it fits; return how often it was refused, having
    changed nothing.
    """
    before = tree(root)
    for pages in range(40):
        room(pages)
        try:
            change()
        except (HistoryError, OSError) as error:
            message = str(error)
        else:
            room(None)
            return pages
        assert "No space left on device" in message or "which has fewer" in message
        assert tree(root) == before
    raise AssertionError("it never fits")


def test_a_change_that_does_not_fit_changes_nothing(root: Path, room: Room, tmp_path: Path) -> None:
    """Wherever the room ends, all files stay as they were, with nothing beside them; with room, it
    is done.
    """
    catalogue, archive = history.open(root), root / "archive.zip"
    kept, gone = adding(root, tmp_path / "made"), adding(root, tmp_path / "made")
    other = {**kept.document, "id": "other", "status": "failed", "artefacts": {}}
    assert squeezed(lambda: catalogue.store.insert(other), root, room) > 3
    assert squeezed(lambda: write_archive([gone], archive), root, room) > 0
    assert squeezed(lambda: catalogue.remove(gone), root, room) > 3
    assert squeezed(lambda: read_archive(catalogue, archive), root, room) > 10
    assert sorted(verify(catalogue)) == sorted([kept.id, gone.id, "other"])
    assert squeezed(lambda: adding(root, tmp_path / "made"), root, room) > 15
    assert len(verify(catalogue)) == 4
    assert examine(catalogue) == []


def test_the_first_insert_into_a_full_disk_leaves_no_database(root: Path, room: Room) -> None:
    """The next one, with room, works."""
    store = Store(root)
    room(0)
    with pytest.raises(HistoryError, match="its old content is intact: free some space"):
        store.insert({"id": "a"})
    assert tree(root) == {}
    room(None)
    store.insert({"id": "a"})


def test_a_repair_on_a_full_disk_changes_nothing(root: Path, room: Room, tmp_path: Path) -> None:
    """The damaged file and the generation before stay; with room the repair works."""
    catalogue = history.open(root)
    ids = [adding(root, tmp_path / "made").id for _ in range(3)]
    path = root / "history.json"
    path.write_bytes(path.read_bytes()[:-9])
    before = tree(root)
    room(0)
    with pytest.raises(OSError, match="No space left on device"):
        mend(catalogue)
    assert tree(root).items() >= before.items()
    assert [path.name for path in root.glob(".*.tmp")] == []
    room(None)
    assert mend(catalogue)[1] == []
    assert verify(catalogue) == ids


def test_a_disk_that_may_only_be_read_is_read(root: Path, disk: Path, tmp_path: Path) -> None:
    """By the package and the command line; every change is refused in a sentence, and moves no
    file.
    """
    catalogue = history.open(root)
    entry = adding(root, tmp_path / "made")
    Store(root).insert({**entry.document, "id": "second", "status": "failed", "artefacts": {}})
    before = tree(root)
    assert mount("-o", "remount,ro", disk)
    assert verify(catalogue) == [entry.id, "second"]
    assert read_tables(root / "history.previous.json")
    assert mend(catalogue) == ([], [])
    write_archive([entry], tmp_path / "archive.zip")
    for command in (["list"], ["list", "--json"], ["show", "@0"]):
        done = python("-m", "history", "--root", root, *command)
        assert (done.returncode, done.stderr) == (0, "")
    for change in (
        lambda: Store(root).insert({"id": "new"}),
        lambda: Store(root).remove("second"),
        lambda: catalogue.remove(entry),
        lambda: adding(root, tmp_path / "made"),
        lambda: read_archive(History(tmp_path / "disk" / "new"), tmp_path / "archive.zip"),
    ):
        with pytest.raises(HistoryError, match="Read-only file system"):
            change()
    assert len([*(tmp_path / "made").iterdir()]) == 6
    assert tree(root) == before
