"""The contracts hold for what the package brings along."""

from pathlib import Path

from history_samples import CLASSIFICATION, REGRESSION

from history.manager import HistoryManager
from history.store import Store, open_store
from history.tasks import ClassificationManager, RegressionManager
from history.testing import ManagerContract, StoreContract


class TestTinyDBStore(StoreContract):
    def open_store(self, root: Path) -> Store:
        return open_store("tinydb", root)


class TestClassificationManager(ManagerContract):
    def open_manager(self, root: Path, store: Store) -> HistoryManager:
        return ClassificationManager(root, store)

    def content(self, name: str) -> bytes:
        return CLASSIFICATION.csv().encode()


class TestRegressionManager(ManagerContract):
    def open_manager(self, root: Path, store: Store) -> HistoryManager:
        return RegressionManager(root, store)

    def content(self, name: str) -> bytes:
        return REGRESSION.csv().encode()
