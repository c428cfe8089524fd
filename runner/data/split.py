"""Holds rows out for validation and test."""

import importlib

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
        rows, held = _hold_out(rows, y, settings.test, settings.seed, stratify)
        test = Part(x[held], y[held])
    fraction = settings.validation / (1 - settings.test)
    rows, held = _hold_out(rows, y, fraction, settings.seed, stratify)
    return Part(x[rows], y[rows]), Part(x[held], y[held]), test


def _hold_out(rows: Array, y: Array, fraction: float, seed: int, stratify: bool) -> tuple[Array, Array]:
    selection = importlib.import_module("sklearn.model_selection")
    try:
        kept, held = selection.train_test_split(
            rows, test_size=fraction, random_state=seed, stratify=y[rows] if stratify else None
        )
    except ValueError as error:
        raise DataError(f"data.split: {len(rows)} rows cannot be split so: {error}") from error
    return kept, held
