"""What holds for every test."""

import os
import signal
from contextlib import suppress
from typing import Any

import pytest

with suppress(ValueError):  # not the main thread's import
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # runs that are tested inherit it: under nohup too

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of a hundred runs compiles all anew

LONGEST = (
    "test_e2e_tables.py",  # which makes the world, while another process is at the next one
    "test_killed.py",
    "test_e2e_dask.py",
    "test_e2e_report.py",
    "test_e2e_workers.py",
    "test_e2e_installed.py",
    "test_e2e_sweep.py",
    "test_e2e_interrupted.py",
)  # first, so that no process waits for one at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the files, each of which runs in one process."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONGEST)))


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of whoever runs the tests decides nothing."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Any:
    """What ordinary runs have left, one for all processes of the tests."""
    import world

    own = tmp_path_factory.getbasetemp()
    return world.made((own if worker_id == "master" else own.parent) / "world")
