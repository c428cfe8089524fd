"""Spreads the tests over processes: tests that share a costly run stay in one."""

from pathlib import Path

import pytest

APART = ("test_killed.py", "test_resumed.py")  # each test of these makes runs of its own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups an end-to-end file's tests, unless each of them stands alone."""
    for item in items:
        path = Path(str(item.path))
        if path.parent.name == "e2e" and path.name not in APART:
            item.add_marker(pytest.mark.xdist_group(path.name))


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of whoever runs the tests decides nothing."""
    monkeypatch.delenv("COLUMNS", raising=False)
