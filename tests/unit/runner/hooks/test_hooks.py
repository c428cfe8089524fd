"""Hooks: the order in which they run; what a purge deletes, and all that it does not."""

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runner_samples import stored

from foundation.files import held
from history import registry
from history.entry import Entry
from history.manager import HistoryManager
from history.store import Store
from runner.config.schema import Run
from runner.hooks.purge import purge
from runner.hooks.report import write as write_report
from runner.run.experiment import RunSummary, run_hooks
from runner.run.pipeline import Done
from runner.training.ledger import CHECKPOINT, SearchFolder, delete_search
from runner.workers.executors import Workers

FINGERPRINT = "f" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "results"


def search(root: Path, name: str = "mlp", fingerprint: str = FINGERPRINT) -> SearchFolder:
    """A finished search: 3 files, 100 bytes beside its marker."""
    folder = root / "trials" / f"digits-{name}" / fingerprint[:16]
    (folder / "trial_0000").mkdir(parents=True)
    (folder / "search.json").write_text(json.dumps({"fingerprint": fingerprint}))
    (folder / "oracle.json").write_text("o" * 60)
    (folder / "trial_0000" / "trial.json").write_text("t" * 40)
    return SearchFolder(folder, FINGERPRINT, root / ".locks")


def done(root: Path, place: SearchFolder, name: str = "mlp", **document: Any) -> Done:
    """A pipeline that has ended, its entry stored."""
    entry = stored(root, **{"pipeline": name, **document})
    return Done(name, registry.manager("classification", root), entry, place)


def purged(root: Path, *pipelines: Done) -> RunSummary:
    summary = RunSummary("r1", root, list(pipelines))
    purge(summary)
    return summary


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of the files."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


called: list[str] = []


def note(run: RunSummary, word: str) -> None:
    """A hook that says that it was called, and for which run."""
    called.append(f"{run.run_id} {word}")
    if word == "fail":
        raise ValueError("no")


def test_hooks_run_in_their_order_and_purge_last(root: Path) -> None:
    """One that fails is reported, and the others still run; one that is null does not."""
    called.clear()
    words, summary = ("purge", "b", "fail", "a"), RunSummary("r1", root)
    hooks = {word: {"_target_": f"{__name__}.note", "word": word} for word in words}
    run_hooks(Run.model_validate({"hooks": {**hooks, "none": None}}), summary, Workers(Run()))
    assert called == ["r1 b", "r1 fail", "r1 a", "r1 purge"]
    assert (summary.failures, summary.exit_code) == (["hooks.fail: no"], 1)


def test_the_trial_data_of_a_verified_entry_is_deleted(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the folders above that are then empty; entry and database stay."""
    caplog.set_level("INFO", "runner")
    place = search(root)
    ended = done(root, place)
    before = tree(root / "entries")
    assert purged(root, ended).failures == []
    assert not (root / "trials").exists()
    assert tree(root / "entries") == before
    freed = 100 + len(json.dumps({"fingerprint": FINGERPRINT}))
    assert caplog.messages == [f"purged the trial data of 1 pipeline: {freed} bytes freed"]
    assert delete_search(place) == 0


def test_a_pipeline_that_failed_or_has_more_trials_keeps_its_trial_data(root: Path) -> None:
    """They are what its failure can be understood from, stored or not, or what a larger budget
    comes back to; the others are purged.
    """
    good, *others = (search(root, name) for name in ("good", "bad", "worse", "more"))
    (others[2].folder / "trial_0001").mkdir()
    before = [tree(place.folder) for place in others]
    bad, worse = (done(root, place, "bad", status="failed") for place in others[:2])
    worse.entry = None
    more = done(root, others[2], "more", search={"trials": {"total": 1}})
    assert purged(root, done(root, good, "good"), bad, worse, more).failures == []
    assert not good.folder.exists()
    assert [tree(place.folder) for place in others] == before


def test_a_search_that_can_go_on_keeps_its_trial_data(root: Path) -> None:
    """One that a clock ended; not one that was to end where it did, whatever had begun by then."""
    timed, vain = search(root, "timed"), search(root, "vain")
    (vain.folder / "trial_0001").mkdir()
    before = tree(timed.folder)
    said = {"trials": {"total": 1}, "ended": "tuner.stop_when_no_improvement=1 ended it"}
    ended = [done(root, timed, "timed", status="budget"), done(root, vain, "vain", search=said)]
    assert purged(root, *ended).failures == []
    assert tree(timed.folder) == before
    assert not vain.folder.exists()


def test_what_callbacks_have_left_goes_with_the_purge(root: Path) -> None:
    """Whatever it is called; what a link in their folder leads to stays, and so does the link."""
    place, outside = search(root), root / "outside"
    for name in ("callbacks/0/log.csv", "callbacks/0/a/**[b].tmp", "callbacks/1/.hidden"):
        path = place.folder / "trial_0000" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (place.folder / "trial_0001" / "callbacks" / "0" / "empty").mkdir(parents=True)
    assert purged(root, done(root, place)).failures == []
    assert not place.folder.exists()
    link = search(root).folder / "trial_0000" / "callbacks"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    link.symlink_to(outside)
    delete_search(place)
    assert link.is_symlink()
    assert (outside / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: entry.artefact("model").write_text("x" * len("model")),
        lambda entry: entry.artefact("confusion_matrix").unlink(),
        lambda entry: Store(entry.root).remove(entry.id),
        lambda entry: (entry.root / "history.json").write_text('{"entries": {"1"'),
    ],
)
def test_a_damaged_entry_keeps_the_trial_data_and_fails_the_hook(
    root: Path, damage: Callable[[Entry], object]
) -> None:
    """History before purge: what is read back counts, not what was written."""
    place = search(root)
    ended = done(root, place)
    assert ended.entry is not None
    damage(ended.entry)
    before = tree(place.folder)
    summary = purged(root, ended)
    assert tree(place.folder) == before
    assert (summary.exit_code, summary.failures[0][:7]) == (1, "purge: ")


def test_all_entries_are_verified_before_the_first_search_is_deleted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order of the pipelines: nothing is deleted while one may still turn out to be
    damaged.
    """
    places = search(root, "one"), search(root, "other")
    ended = [done(root, place) for place in places]
    seen: list[bool] = []
    monkeypatch.setattr(
        HistoryManager, "verify", lambda *_: seen.extend(place.folder.exists() for place in places)
    )
    purged(root, *ended)
    assert seen == [True] * 4
    assert not (root / "trials").exists()


@pytest.mark.parametrize("marker", [None, "", "[]", "null", '{"fingerprint": "e"}', "{}"])
def test_a_folder_without_this_searchs_marker_is_kept(root: Path, marker: str | None) -> None:
    """None, a torn one, another search's."""
    place = search(root)
    (place.folder / "search.json").unlink()
    if marker is not None:
        (place.folder / "search.json").write_text(marker)
    before = tree(place.folder)
    assert delete_search(place) == 0
    assert tree(place.folder) == before


def test_links_are_never_followed(root: Path) -> None:
    """Neither a linked folder, nor one below a link, nor what lies behind links inside."""
    outside, inner = search(root, "elsewhere").folder, search(root, "inner")
    before = tree(outside)
    link, upper = root / "trials" / "link", root / "upper"
    link.symlink_to(outside)
    upper.symlink_to(outside.parent)
    for folder in (link, upper / outside.name):
        assert delete_search(SearchFolder(folder, FINGERPRINT, root / ".locks")) == 0
    (inner.folder / "trial_0001").symlink_to(outside / "trial_0000")
    (inner.folder / "trial_0000" / "result.json").symlink_to(outside / "oracle.json")
    delete_search(inner)
    assert sorted(tree(inner.folder)) == ["trial_0000", "trial_0000/result.json", "trial_0001"]
    assert tree(outside) == before


def test_what_no_search_writes_stays_and_is_named(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only files of ours go, by their names; an atomic write that a kill cut short is ours too.
    Other searches and what lies beside them are not touched.
    """
    other, place = search(root, fingerprint="e" * 64).folder, search(root)
    (place.folder.parent / "notes.txt").write_text("mine")
    (place.folder / ".oracle.json.0f0f.tmp").write_text("cut")
    (place.folder / "notes.txt").write_text("mine")
    (place.folder / "trial_0000" / "curve.png").write_text("mine")
    before = tree(other)
    delete_search(place)
    kept = {"notes.txt": b"mine", "trial_0000": None, "trial_0000/curve.png": b"mine"}
    assert tree(place.folder) == kept
    assert caplog.messages == [
        f"kept in {place.folder}, because no search wrote it, or it cannot be deleted: "
        f"{', '.join(sorted(kept))}"
    ]
    assert tree(other) == before
    assert (place.folder.parent / "notes.txt").is_file()


@pytest.mark.parametrize("mounted", ["trial_0000", "trial_0000/trial.json", "."])
def test_nothing_is_deleted_through_a_mount(
    root: Path, mounted: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder of another search, and a file, that stand in this one by `mount --bind`: they stay,
    all that is no mount goes, and the next pipeline is purged too.
    """
    outside, place, other = search(root, "elsewhere").folder, search(root), search(root, "other")
    before, there = tree(outside), place.folder / mounted
    binding = ["mount", "--bind", str(outside / mounted), str(there)]
    if subprocess.run(binding, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount")
    try:
        assert purged(root, done(root, place), done(root, other, "other")).failures == []
        assert there.exists()
        assert f"in {place.folder}" in caplog.text
        assert mounted in caplog.text
    finally:
        subprocess.run(["umount", "-l", there], check=True)
    assert tree(outside) == before
    assert (place.folder / "oracle.json").exists() == (mounted == ".")
    assert not other.folder.exists()


def test_what_is_in_the_way_of_the_purge_stays_and_the_purge_goes_on(root: Path) -> None:
    """Folders where files are expected, files where folders are, names that are almost ours."""
    place, other = search(root), search(root, "other")
    strays = {".oracle.json.purge", "oracle.json.purge", "trial_0001/result.json", "trial_mine"}
    for stray in strays:
        (place.folder / stray).mkdir(parents=True)
    (place.folder / "trial_mine" / "result.json").write_text("mine")
    (place.folder / "trial_0002").write_text("mine")
    place.folder.with_name(f"{place.folder.name}.purge").mkdir()
    ended = [done(root, place), done(root, other, "other")]
    assert purged(root, *ended).failures == []
    kept = {*strays, "trial_0001", "trial_0002", "trial_mine/result.json"}
    assert set(tree(place.folder)) == kept
    assert place.folder.with_name(f"{place.folder.name}.purge").is_dir()
    assert not other.folder.exists()


@pytest.mark.parametrize("left", [["search.json", "trial_0000/trial.json"], ["search.json"], []])
def test_what_an_interrupted_purge_left_goes_with_the_next_one(root: Path, left: list[str]) -> None:
    """The marker goes last, so that it can tell what is left."""
    place = search(root)
    for path in place.folder.rglob("*.json"):
        if str(path.relative_to(place.folder)) not in left:
            path.unlink()
    if len(left) < 2:
        (place.folder / "trial_0000").rmdir()
    delete_search(place)
    assert not (root / "trials").exists()


def test_a_purge_killed_at_any_file_leaves_a_search_that_can_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left is still marked, and no result is there without its checkpoint."""
    real, left = Path.unlink, 0

    def killed(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        if path.is_relative_to(root / "trials"):
            left -= 1
            if left < 0:
                raise KeyboardInterrupt  # stands for SIGKILL
        real(path, missing_ok)

    for count in range(5):
        place = search(root)
        files = [place.folder / "trial_0000" / name for name in ("result.json", CHECKPOINT)]
        for path in files:
            path.write_text("x")
        left = count
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                delete_search(place)
        assert (place.folder / "search.json").is_file()
        assert files[1].is_file() or not files[0].is_file()
        delete_search(place)
        assert not place.folder.exists()


def test_a_search_that_another_process_works_in_is_not_deleted_under_it(root: Path) -> None:
    """Whoever holds the search's lock, with a raised budget perhaps, still needs its files."""
    place = search(root)
    before = tree(place.folder)
    with held(place.lock, "the search"):
        purging = threading.Thread(target=delete_search, args=(place,), daemon=True)
        purging.start()
        purging.join(0.3)  # it may wait for the lock or give up at once
        assert tree(place.folder) == before
    purging.join(10)
    assert not purging.is_alive()


def test_the_report_is_kept_up_to_date(root: Path) -> None:
    """A page of an entry that is as it was is left alone. A folder of something else is refused, as
    a failure of the run, and the trial data is kept or purged as without.
    """
    first, place = stored(root), search(root)
    hooks = {"report": {"_target_": "runner.hooks.report.write"}}
    hooks["purge"] = {"_target_": "runner.hooks.purge"}
    summary = RunSummary("r1", root, [done(root, place)])
    run_hooks(Run.model_validate({"hooks": hooks}), summary, Workers(Run()))
    page = root / "report" / first.id / "index.html"
    written, second = page.stat().st_mtime_ns, stored(root, pipeline="cnn")
    write_report(summary)
    assert page.stat().st_mtime_ns == written
    assert second.id in (root / "report" / "index.html").read_text()
    assert (summary.failures, place.folder.exists()) == ([], False)
    (root / "thesis").mkdir()
    (root / "thesis" / "index.html").write_text("mine")
    hooks["report"]["folder"] = str(root / "thesis")
    again = RunSummary("r2", root, [done(root, search(root))])
    run_hooks(Run.model_validate({"hooks": hooks}), again, Workers(Run()))
    assert "hooks.report: " in again.failures[0]
    assert "contains something other than a report" in again.failures[0]
    assert not place.folder.exists()
    assert tree(root / "thesis") == {"index.html": b"mine"}
