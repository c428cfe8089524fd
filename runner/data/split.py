"""Holds rows out for validation and test."""

import importlib
import math

import numpy as np

from runner.data import Array, Part
from runner.errors import DataError
from runner.settings import Split


def split(x: Array, y: Array, settings: Split, *, stratify: bool) -> tuple[Part, Part, Part | None]:
    """Training, validation and test rows, shuffled by the split's own seed.

    Args:
        x, y: features (rows, ...) and targets (rows,).
        settings: fractions of all rows.
        stratify: keep the shares of the classes.

    Raises:
        DataError: a part would be empty, or a class has too few rows to stand in every part.
    """
    rows = np.arange(len(x))
    test = None
    if settings.test:
        rows, held = _hold_out(rows, y, _count(settings.test, len(x)), settings.seed, stratify)
        test = Part(x[held], y[held])
    rows, held = _hold_out(rows, y, _count(settings.validation, len(x)), settings.seed, stratify)
    return Part(x[rows], y[rows]), Part(x[held], y[held]), test


def _count(fraction: float, rows: int) -> int:
    """A fraction of all rows, rounded up, but not for the last digit of a float."""
    return math.ceil(round(fraction * rows, 9))


def _hold_out(rows: Array, y: Array, count: int, seed: int, stratify: bool) -> tuple[Array, Array]:
    selection = importlib.import_module("sklearn.model_selection")
    try:
        kept, held = selection.train_test_split(
            rows, test_size=count, random_state=seed, stratify=y[rows] if stratify else None
        )
    except ValueError as error:
        raise DataError(f"data.split: {len(rows)} rows cannot be split so: {error}") from error
    return kept, held
