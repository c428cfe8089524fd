"""Purging: what is deleted, and all that is not."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import runner.search.state
from history import registry
from history.entry import Entry
from history.manager import COMMON_ARTEFACTS
from history.store import open_store
from runner.hooks.purge import delete_search, purge
from runner.run.experiment import Report
from runner.run.pipeline import Done
from runner.run.plan import Plan
from runner.search.locks import exclusive

FINGERPRINT = "f" * 64


@dataclass
class Place:
    """A root with a history, and searches beside it."""

    root: Path

    def search(self, name: str = "mlp", fingerprint: str = FINGERPRINT) -> Path:
        """The folder of a finished search: 3 files, 100 bytes beside its marker."""
        folder = self.root / "trials" / f"digits-{name}" / fingerprint[:16]
        (folder / "trial_0000").mkdir(parents=True)
        (folder / "search.json").write_text(json.dumps({"fingerprint": fingerprint}))
        (folder / "oracle.json").write_text("o" * 60)
        (folder / "trial_0000" / "trial.json").write_text("t" * 40)
        return folder

    def done(self, trials: Path | None, name: str = "mlp", status: str = "complete") -> Done:
        """A pipeline that has ended, its entry stored."""
        manager = registry.manager("classification", self.root, open_store("tinydb", self.root))
        made = self.root / "made" / name
        made.mkdir(parents=True)
        files = {key: made / f"{key}.bin" for key in (*COMMON_ARTEFACTS, *manager.artefacts)}
        for key, path in files.items():
            path.write_text(key)
        entry = manager.add({"pipeline": name, "status": status}, files)
        error = "it failed" if status == "failed" else None
        plan = Plan(name, {}, {}, searched(trials), "", {}, 0.0) if trials is not None else None
        return Done(name, manager, "accuracy", entry, plan, error)

    def run(self, *done: Done) -> Report:
        return Report("r1", self.root, list(done))


def searched(folder: Path) -> runner.search.state.Place:
    """Where the search of this test is said to be."""
    return runner.search.state.Place(folder, FINGERPRINT, folder.parents[2] / ".locks")


def marker_bytes(folder: Path) -> int:
    return (folder / "search.json").stat().st_size


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of the files."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve() / "results")


def stored(done: Done) -> Entry:
    assert done.entry is not None
    return done.entry


def test_the_trial_data_of_a_verified_entry_is_deleted(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """With the folders above that are then empty; entry and database stay."""
    folder = place.search()
    freed = 100 + marker_bytes(folder)
    done = place.done(folder)
    before = tree(place.root / "entries")
    report = place.run(done)
    with caplog.at_level(logging.INFO, "runner"):
        purge(report)
    assert report.failures == []
    assert not (place.root / "trials").exists()
    assert tree(place.root / "entries") == before
    assert f"purged the trial data of 1 pipeline: {freed} bytes freed" in caplog.messages


def test_other_searches_beside_it_stay(place: Place) -> None:
    """Only the run's own is deleted."""
    mine, other = place.search(), place.search(fingerprint="e" * 64)
    before = tree(other)
    purge(place.run(place.done(mine)))
    assert not mine.exists()
    assert tree(other) == before


def test_a_failed_pipeline_keeps_its_trial_data(place: Place) -> None:
    """They are what its failure can be understood from; the others are purged."""
    good, bad = place.search("good"), place.search("bad")
    before = tree(bad)
    report = place.run(place.done(good, "good"), place.done(bad, "bad", "failed"))
    purge(report)
    assert not good.exists()
    assert tree(bad) == before
    assert report.failures == []


def test_a_pipeline_whose_failure_could_not_be_stored_keeps_its_trial_data(place: Place) -> None:
    """Without an entry there is nothing else of it."""
    folder = place.search()
    done = place.done(folder)
    done.entry = None
    purge(place.run(done))
    assert (folder / "oracle.json").is_file()


def spoil_bytes(entry: Entry) -> None:
    path = entry.artefact("model")
    path.write_text("x" * path.stat().st_size)


def spoil_length(entry: Entry) -> None:
    entry.artefact("trials").write_text("")


def lose_file(entry: Entry) -> None:
    entry.artefact("confusion_matrix").unlink()


def lose_document(entry: Entry) -> None:
    open_store("tinydb", entry.root).remove(entry.id)


def tear_database(entry: Entry) -> None:
    (entry.root / "history.json").write_text('{"entries": {"1"')


@pytest.mark.parametrize(
    "damage", [spoil_bytes, spoil_length, lose_file, lose_document, tear_database]
)
def test_a_damaged_entry_keeps_the_trial_data_and_fails_the_hook(
    place: Place, damage: Callable[[Entry], None]
) -> None:
    """History before purge: what is read back counts, not what was written."""
    folder, fine = place.search(), place.search("fine")
    done, other = place.done(folder), place.done(fine, "fine")
    damage(stored(done))
    before = tree(folder)
    report = place.run(done, other)
    purge(report)
    assert tree(folder) == before
    assert report.exit_code == 1
    assert report.failures[0].startswith("purge: ")
    assert fine.exists() == (damage is tear_database)


@pytest.mark.parametrize("marker", [None, "", "[]", "null", '{"fingerprint": "e"}', "{}"])
def test_a_folder_without_this_searchs_marker_is_kept(place: Place, marker: str | None) -> None:
    """None, a torn one, another search's."""
    folder = place.search()
    (folder / "search.json").unlink()
    if marker is not None:
        (folder / "search.json").write_text(marker)
    before = tree(folder)
    assert delete_search(searched(folder)) == 0
    assert tree(folder) == before


def test_links_are_never_followed(place: Place, tmp_path: Path) -> None:
    """Neither a linked folder, nor one below a link, nor what lies behind links inside."""
    outside = place.search("elsewhere")
    before = tree(outside)
    link = place.root / "trials" / "link"
    link.symlink_to(outside)
    assert delete_search(searched(link)) == 0
    upper = place.root / "upper"
    upper.symlink_to(outside.parent)
    assert delete_search(searched(upper / outside.name)) == 0
    assert tree(outside) == before
    inner = place.search("inner")
    (inner / "linked").symlink_to(outside)
    (inner / "trial_0000" / "file").symlink_to(outside / "oracle.json")
    delete_search(searched(inner))
    assert not inner.exists()
    assert tree(outside) == before


def test_nothing_beside_a_search_is_touched(place: Place) -> None:
    """Files of others in the folders above stay, and so do those folders."""
    folder = place.search()
    (folder.parent / "notes.txt").write_text("mine")
    (folder.parent / f"{folder.name}-2").mkdir()
    delete_search(searched(folder))
    assert tree(folder.parent) == {"notes.txt": b"mine", f"{folder.name}-2": None}


def test_the_bytes_freed_are_those_of_the_files(place: Place) -> None:
    """Counted before they go; a folder that is gone frees nothing."""
    folder = place.search()
    assert delete_search(searched(folder)) == 0 + 100 + len(
        json.dumps({"fingerprint": FINGERPRINT})
    )
    assert delete_search(searched(folder)) == 0


def test_what_an_interrupted_purge_left_goes_with_the_next_one(place: Place) -> None:
    """The half-deleted folder has a name that no search has."""
    folder = place.search()
    folder.rename(folder.with_name(f"{folder.name}.purge"))
    assert delete_search(searched(place.search())) > 0
    assert not folder.parent.exists()


def test_a_search_that_another_process_works_in_is_not_deleted_under_it(place: Place) -> None:
    """Whoever holds the search's lock, with a raised budget perhaps, still needs its files."""
    folder = place.search()
    before = tree(folder)
    with exclusive(searched(folder).lock, "the search"):
        purging = threading.Thread(target=delete_search, args=(searched(folder),), daemon=True)
        purging.start()
        purging.join(0.3)  # it may wait for the lock or give up at once
        assert tree(folder) == before
    purging.join(10)
    assert not purging.is_alive()
