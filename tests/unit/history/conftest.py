"""A history to look at: entries of each task and a failed one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from history_samples import CLASSIFICATION, REGRESSION, Add, Cli, Written, artefacts

import history
from history.entry import Entry
from history.view.commands import main


@pytest.fixture
def cli(root: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`history --root ROOT ...` in this process: what it writes, when it ends as it should."""

    def run(*args: object, exit_code: int = 0) -> Written:
        assert main(["--root", str(root), *map(str, args)]) == exit_code
        return Written(*capsys.readouterr())

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def add(root: Path, tmp_path: Path) -> Add:
    """Store an entry, with every artefact that it needs, in the history under `root`."""
    catalogue = history.open(root)

    def store(
        task: str = "classification",
        mean: float = 0.9722,
        config: str = "config",
        contents: Mapping[str, bytes] = MappingProxyType({}),
        **keys: object,
    ) -> Entry:
        manager = catalogue.manager_of(Entry({"task": task}, root))
        files = artefacts(manager, tmp_path / "made")
        files["config"].write_text(config)
        for name, content in contents.items():
            files[name] = files.get(name, tmp_path / "made" / name)
            files[name].write_bytes(content)
        files[f"{task}_report"].write_text(
            (CLASSIFICATION if task == "classification" else REGRESSION).csv()
        )
        document = {
            "run_id": "r1",
            "experiment": "digits",
            "pipeline": "mlp",
            "status": "complete",
            "search": {
                "tuner": "random",
                "objective": {"name": "val_accuracy", "direction": "max"},
                "trials": {"total": 5, "completed": 4, "failed": 1},
                "seconds": 12.34,
            },
            "best": {"trial_id": "0003", "score": 0.98, "values": {"model.dropout": 0.25}},
            "validation": {
                "metrics": {manager.ranking: mean, "odd": float("nan")},
                "deviation": {manager.ranking: 0.0031},
                "repeats": 3,
            },
            "test": {"metrics": {manager.ranking: mean}, "deviation": {manager.ranking: 0.001}},
            "environment": {"python": "3.11.2", "packages": {"keras": "3.15.1"}},
        }
        return manager.add({**document, **keys}, files)

    return store


@pytest.fixture
def failed(root: Path) -> Callable[[], Entry]:
    """Store a failed entry that has nothing but an error."""
    manager = history.open(root).manager_of(Entry({"task": "classification"}, root))
    document = {
        "run_id": "r1",
        "experiment": "digits",
        "pipeline": "cnn",
        "status": "failed",
        "error": {"type": "ValueError", "message": "no such layer\n[red]x", "stage": "search"},
    }
    return lambda: manager.add(document, {})
