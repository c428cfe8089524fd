"""What holds for every test."""

import os
import signal
from contextlib import suppress

import pytest

with suppress(ValueError):  # not the main thread's import
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # runs that are tested inherit it: under nohup too

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of a hundred runs compiles all anew

LONGEST = (
    "test_e2e_dask.py",
    "test_killed.py",
    "test_e2e_tables.py",
    "test_e2e_shipped.py",
    "test_e2e_workers.py",
    "test_e2e_sweep.py",
)  # first, so that no process waits for one at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the files, each of which runs in one process, as they share costly runs."""
    items.sort(
        key=lambda item: (
            LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST)
        )
    )


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of whoever runs the tests decides nothing."""
    monkeypatch.delenv("COLUMNS", raising=False)
