"""What several test modules of the history share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import history
from history.entry import Entry
from history.manager import COMMON_ARTEFACTS, HistoryManager
from history.tasks import ClassificationResult, RegressionResult

REPOSITORY = Path(history.__file__).parents[1]

CLASSIFICATION = ClassificationResult(
    metrics={"accuracy": 0.9722},
    classes=('a, "b"', "[red]x"),
    per_class=(
        ('a, "b"', 0.5, 1.0, 0.6666666667, 10),
        ("[red]x", 1.0, 0.5, 0.6666666667, 10),
        ("macro avg", 0.75, 0.75, 0.6666666667, 20),
        ("weighted avg", 0.75, 0.75, 0.6666666667, 20),
    ),
    confusion=((10, 0), (5, 5)),
)
REGRESSION = RegressionResult(metrics={"rmse": 54.3}, residuals={"mean": -0.5, "q50": 0.25})


class Written(NamedTuple):
    """What a command wrote."""

    out: str
    err: str


Cli = Callable[..., Written]
Add = Callable[..., Entry]


def python(*args: object, folder: Path = REPOSITORY) -> "subprocess.CompletedProcess[str]":
    """Run this interpreter in the folder, with it and the package on its path."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("COLUMNS", "PYTEST"))
    }
    environment |= {"PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=environment,
        cwd=folder,
    )


def artefacts(manager: HistoryManager, folder: Path, size: int = 1) -> dict[str, Path]:
    """Make the files that a complete entry must have, each its name so many times."""
    folder.mkdir(exist_ok=True)
    files = {name: folder / f"{name}.bin" for name in COMMON_ARTEFACTS + manager.artefacts}
    for name, path in files.items():
        path.write_bytes(name.encode() * size)
    return files


def tree(root: Path) -> dict[str, bytes | str | None]:
    """Everything below `root`, locks aside: path → content, target of a link, or None for a
    folder.
    """
    paths = [path for path in sorted(root.rglob("*")) if path.suffix != ".lock"]
    return {
        path.relative_to(root).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in paths
    }
