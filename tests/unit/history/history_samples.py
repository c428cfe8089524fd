"""What several test modules of the history share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import history
from history.entry import Entry
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

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Add = Callable[..., Entry]


def python(*args: object) -> "subprocess.CompletedProcess[str]":
    """Run this interpreter with the package on its path."""
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=environment,
    )
