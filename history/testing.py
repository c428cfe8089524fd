"""The contracts of stores and managers, as test classes to inherit from.

class TestMyStore(StoreContract):
    def open_store(self, root): return MyStore(root)

class TestMyManager(ManagerContract):
    def open_manager(self, root, store): return MyManager(root, store)
    def content(self, name): return {"my_report": b"..."}.get(name, b"x")
"""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from history.entry import STATUSES, Entry
from history.errors import ExperimentError, HistoryError, InputError, IntegrityError, UnknownEntry
from history.manager import COMMON_ARTEFACTS, HistoryManager
from history.store import Store, TinyDBStore


class StoreContract:
    """What holds for every store."""

    def open_store(self, root: Path) -> Store:
        """Return a new handle on the store under `root`: the one method to implement."""
        raise NotImplementedError

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """A root that does not exist yet."""
        return tmp_path / "results"

    @pytest.fixture
    def store(self, root: Path) -> Store:
        """The store under test, empty."""
        return self.open_store(root)

    def test_reading_an_empty_root_leaves_no_trace(self, store: Store, root: Path) -> None:
        """Reading where nothing was stored gives nothing and makes neither file nor folder."""
        assert store.all() == []
        assert store.get("mlp-1") is None
        assert not root.exists()

    def test_what_is_inserted_is_read_back_equal(self, store: Store) -> None:
        """Nested values, Unicode and null come back as they were."""
        document = {
            "id": "mlp-1",
            "name": "naïve [red]",
            "nested": {"values": [1, 2.5, None, True]},
        }
        store.insert(document)
        assert store.all() == [document]
        assert store.get("mlp-1") == document

    def test_what_strict_json_lacks_comes_back_as_it_was(self, store: Store, root: Path) -> None:
        """NaN, infinities, numpy's numbers, dates; and a plain null and a text that looks like a
        date stay those.
        """
        moment = datetime(2026, 3, 1, 12, 30, 1, 250, tzinfo=UTC)
        kept = {
            "inf": [math.inf, -math.inf],
            "when": moment,
            "day": moment.date(),
            "none": None,
            "text": "2026-03-01",
        }
        numbers = {
            "whole": np.int64(3),
            "half": np.float32(0.5),
            "yes": np.bool_(True),
            "odd": np.float64("nan"),
        }
        store.insert({"id": "mlp-1", "nested": [{"nan": math.nan, **kept, **numbers}]})
        for found in (store.get("mlp-1"), self.open_store(root).get("mlp-1")):
            assert found is not None
            (row,) = found["nested"]
            assert math.isnan(row.pop("nan"))
            assert math.isnan(row.pop("odd"))
            assert row == {**kept, "whole": 3, "half": 0.5, "yes": True}
            assert {type(row[name]) for name in ("whole", "half", "yes")} == {int, float, bool}

    def test_documents_come_back_oldest_first(self, store: Store) -> None:
        """The order is that of insertion, also after a removal."""
        for id in ("b", "c", "a"):
            store.insert({"id": id})
        store.remove("c")
        store.insert({"id": "d"})
        assert [document["id"] for document in store.all()] == ["b", "a", "d"]

    def test_two_handles_see_and_do_not_hurt_each_other(self, store: Store, root: Path) -> None:
        """Handles on one root may take turns in any way."""
        other = self.open_store(root)
        for number in range(3):
            store.insert({"id": f"one-{number}"})
            other.insert({"id": f"two-{number}"})
        other.remove("one-0")
        assert store.all() == other.all()
        assert len(store.all()) == 5
        assert store.get("one-0") is None

    def test_an_id_is_taken_once(self, store: Store) -> None:
        """A second document of the same id is refused and the first one stays."""
        store.insert({"id": "mlp-1", "value": 1})
        with pytest.raises(HistoryError, match="mlp-1"):
            store.insert({"id": "mlp-1", "value": 2})
        assert store.all() == [{"id": "mlp-1", "value": 1}]

    def test_removing_what_is_not_there_is_an_error(self, store: Store, root: Path) -> None:
        """It says so, and makes no file."""
        with pytest.raises(UnknownEntry, match="mlp-1"):
            store.remove("mlp-1")
        assert not root.exists()


class ManagerContract:
    """What holds for every history manager."""

    def open_manager(self, root: Path, store: Store) -> HistoryManager:
        """Return the manager under test: the one method to implement."""
        raise NotImplementedError

    def content(self, name: str) -> bytes:
        """Return what an artefact may hold; override it for those that `report` reads."""
        return name.encode()

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """A root that does not exist yet."""
        return tmp_path / "results"

    @pytest.fixture
    def store(self, root: Path) -> Store:
        """The store that the manager keeps its documents in."""
        return TinyDBStore(root)

    @pytest.fixture
    def manager(self, root: Path, store: Store) -> HistoryManager:
        """The manager under test, without entries."""
        return self.open_manager(root, store)

    def files(self, manager: HistoryManager, folder: Path) -> dict[str, Path]:
        """Make and return the files that a complete entry must have."""
        folder.mkdir(exist_ok=True)
        paths = {name: folder / f"{name}.bin" for name in COMMON_ARTEFACTS + manager.artefacts}
        for name, path in paths.items():
            path.write_bytes(self.content(name))
        return paths

    def document(
        self, manager: HistoryManager, mean: float = 0.5, status: str = "complete"
    ) -> dict[str, Any]:
        """Return a document for `add`, with `mean` in the ranking metric."""
        validation = {
            "metrics": {manager.ranking: mean},
            "deviation": {manager.ranking: 0.0},
            "repeats": 2,
        }
        return {
            "run_id": "r",
            "experiment": "e",
            "pipeline": "mlp",
            "status": status,
            "validation": validation,
        }

    def test_an_added_entry_is_kept_and_verifies(
        self, manager: HistoryManager, root: Path, tmp_path: Path
    ) -> None:
        """Its files were moved into its folder, and a new handle reads the same document."""
        files = self.files(manager, tmp_path / "made")
        entry = manager.add(self.document(manager), files)
        manager.verify(entry)
        assert not any(path.exists() for path in files.values())
        assert {entry.artefact(name).parent for name in files} == {
            root.resolve() / "entries" / entry.id
        }
        assert [kept.document for kept in self.open_manager(root, manager.store).entries()] == [
            entry.document
        ]
        assert entry.task == manager.task

    @pytest.mark.parametrize("damage", ["changed", "missing"])
    def test_a_damaged_artefact_fails_verification(
        self, manager: HistoryManager, tmp_path: Path, damage: str
    ) -> None:
        """A change that keeps the size, and a missing file, are named."""
        entry = manager.add(self.document(manager), self.files(manager, tmp_path / "made"))
        path = entry.artefact("model")
        if damage == "changed":
            path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
        else:
            path.unlink()
        with pytest.raises(IntegrityError, match="'model'"):
            manager.verify(entry)

    def test_a_removed_entry_fails_verification(
        self, manager: HistoryManager, tmp_path: Path
    ) -> None:
        """The document is read anew, not taken from the entry."""
        entry = manager.add(self.document(manager), self.files(manager, tmp_path / "made"))
        manager.store.remove(entry.id)
        with pytest.raises(IntegrityError, match=entry.id):
            manager.verify(entry)

    @pytest.mark.parametrize("status", [status for status in STATUSES if status != "failed"])
    def test_every_required_artefact_must_be_there(
        self, manager: HistoryManager, tmp_path: Path, status: str
    ) -> None:
        """What is missing is named; nothing is stored and no file is moved."""
        for name in COMMON_ARTEFACTS + manager.artefacts:
            files = self.files(manager, tmp_path / "made")
            del files[name]
            with pytest.raises(HistoryError, match=name):
                manager.add(self.document(manager, status=status), files)
            assert all(path.exists() for path in files.values())
        assert manager.entries() == []

    def test_a_failed_entry_needs_no_artefacts(self, manager: HistoryManager) -> None:
        """Nor a validation."""
        entry = manager.add({"pipeline": "mlp", "status": "failed", "error": {"message": "no"}}, {})
        manager.verify(entry)
        assert [kept.id for kept in manager.entries(status="failed")] == [entry.id]

    def test_an_unknown_status_is_refused(self, manager: HistoryManager) -> None:
        """The message names it."""
        with pytest.raises(HistoryError, match="'done'"):
            manager.add(self.document(manager, status="done"), {})

    def test_the_best_ranks_first_and_failures_last(
        self, manager: HistoryManager, tmp_path: Path
    ) -> None:
        """By the ranking metric and its direction; what has no finite value has no rank."""
        documents = [
            self.document(manager, 0.1, status="failed"),
            self.document(manager, math.nan),
            self.document(manager, 0.2),
            self.document(manager, 0.9),
        ]
        failed, nan, low, high = [
            manager.add(document, self.files(manager, tmp_path / "made")).id
            for document in documents
        ]
        first = [high, low] if manager.metrics[manager.ranking] == "max" else [low, high]
        assert [place.entry.id for place in manager.rank(manager.entries())] == [
            *first,
            failed,
            nan,
        ]

    def test_an_unknown_metric_is_named_with_a_suggestion(self, manager: HistoryManager) -> None:
        """A slip of the keyboard gets the metric that was meant."""
        with pytest.raises(InputError, match=f"did you mean '{manager.ranking}'"):
            manager.rank([], manager.ranking + "x")

    def test_the_report_is_a_table(self, manager: HistoryManager, tmp_path: Path) -> None:
        """Every row has a cell for every column; a lost artefact is an error of the project's
        own.
        """
        entry = manager.add(self.document(manager), self.files(manager, tmp_path / "made"))
        report = manager.report(entry)
        assert report.rows
        assert {len(row) for row in report.rows} == {len(report.columns)}
        with pytest.raises(ExperimentError):
            manager.report(Entry({**entry.document, "artefacts": {}}, entry.root))
