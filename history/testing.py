"""What holds for every history manager, as a test class to inherit from.

class TestMyManager(ManagerContract):
    def open_manager(self, root): return MyManager(root)
    def content(self, name): return {"my_report": b"..."}.get(name, b"x")
"""

from pathlib import Path

import pytest

from foundation import errors
from history import Entry
from history.manager import COMMON_ARTEFACTS, HistoryManager


class ManagerContract:
    """What holds for every history manager."""

    def open_manager(self, root: Path) -> HistoryManager:
        """Return the manager under test: the one method to implement."""
        raise NotImplementedError

    def content(self, name: str) -> bytes:
        """Return what an artefact may hold; override it for those that `report` reads."""
        return name.encode()

    @pytest.fixture
    def manager(self, tmp_path: Path) -> HistoryManager:
        """Return the manager under test, in a root that does not exist yet."""
        return self.open_manager(tmp_path / "results")

    def add(
        self,
        manager: HistoryManager,
        mean: float = 0.5,
        status: str = "complete",
        without: str = "",
    ) -> Entry:
        """Store an entry with `mean` in the ranking metric and all artefacts but one."""
        made = manager.root.parent / "made"
        made.mkdir(exist_ok=True)
        files = {
            name: made / f"{name}.bin"
            for name in {*COMMON_ARTEFACTS, *manager.artefacts} - {without}
        }
        for name, path in files.items():
            path.write_bytes(self.content(name))
        return manager.add(
            {
                "pipeline": "mlp",
                "status": status,
                "validation": {"metrics": {manager.ranking: mean}, "repeats": 2},
            },
            files,
        )

    def test_an_added_entry_is_kept_and_verifies(self, manager: HistoryManager) -> None:
        """A new handle reads the same document, of the manager's task; a change of a file, of its
        size or not, is found.
        """
        entry = self.add(manager)
        manager.verify(entry)
        assert self.open_manager(manager.root).entries() == [entry]
        assert entry.task == manager.task
        content = entry.artefact("model").read_bytes()
        for damaged in (content[1:], bytes(byte ^ 1 for byte in content)):
            entry.artefact("model").write_bytes(damaged)
            with pytest.raises(errors.IntegrityError, match=entry.id):
                manager.verify(entry)

    def test_every_required_artefact_must_be_there(self, manager: HistoryManager) -> None:
        """What is missing is named, and nothing is stored; a failed entry needs none."""
        for name in COMMON_ARTEFACTS + manager.artefacts:
            with pytest.raises(errors.HistoryError, match=name):
                self.add(manager, without=name)
        assert manager.entries() == []
        manager.verify(manager.add({"pipeline": "mlp", "status": "failed"}, {}))

    def test_the_best_ranks_first_and_failures_last(self, manager: HistoryManager) -> None:
        """By the ranking metric and its direction; what has no finite value has no rank."""
        failed, nan = self.add(manager, status="failed"), self.add(manager, float("nan"))
        ranked = [self.add(manager, 0.2), self.add(manager, 0.9)]
        if manager.metrics[manager.ranking] == "max":
            ranked.reverse()
        assert [place.entry for place in manager.rank(manager.entries())] == [*ranked, failed, nan]

    def test_the_report_is_a_table(self, manager: HistoryManager) -> None:
        """Every row has a cell for every column."""
        report = manager.report(self.add(manager))
        assert {len(row) for row in report.rows} == {len(report.columns)}
