"""What holds for every history manager holds for those that come with the package."""

from pathlib import Path

from history_samples import CLASSIFICATION, REGRESSION

from history.manager import HistoryManager
from history.tasks import ClassificationManager, RegressionManager
from history.testing import ManagerContract


class TestClassificationManager(ManagerContract):
    def open_manager(self, root: Path) -> HistoryManager:
        return ClassificationManager(root)

    def content(self, name: str) -> bytes:
        return CLASSIFICATION.csv().encode()


class TestRegressionManager(ManagerContract):
    def open_manager(self, root: Path) -> HistoryManager:
        return RegressionManager(root)

    def content(self, name: str) -> bytes:
        return REGRESSION.csv().encode()
