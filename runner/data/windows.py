"""Windows over a series: the rows are split by time first, so that no window reaches from one part
into another.
"""

import dataclasses
from pathlib import Path

import numpy as np

from runner.config.schema import WindowData
from runner.data.columns import refuse_missing, refuse_unknown
from runner.data.dataset import Array
from runner.data.files import Table, open_table
from runner.data.memory import must_fit
from runner.data.split import split
from runner.errors import DataError


def read(settings: WindowData, task: str) -> tuple[dict[str, tuple[Array, Array]], list[str]]:
    """Windows of shape (windows, steps, features) with their targets, by part; and the names of the
    features.

    Raises:
        DataError: the file cannot be read, a column is missing or holds what is no number, a part
        has too few rows.
    """
    path = Path(settings.path)
    table = open_table(path, settings.separator, settings.decimal)
    refuse_unknown(table, "target", [settings.target])
    refuse_unknown(table, "features", settings.features or ())
    kinds = _kinds(settings, table, task)
    columns = table.columns(kinds)
    refuse_missing(table, columns)
    names = settings.features or [
        name
        for name, kind in kinds.items()
        if kind == "number" and (name != settings.target or settings.horizon)
    ]
    if not names:
        raise DataError(
            f"data.features: {path} has no column of numbers beside the target '{settings.target}'"
        )
    rows = np.stack([columns[name].astype("float32") for name in names], axis=1)
    must_fit(
        len(rows)
        // settings.sequence_stride
        * settings.sequence_length
        * len(names)
        * rows.itemsize,
        "data: the windows",
        "Give a larger sequence_stride, or a function that returns tf.data.Dataset objects, which are streamed.",
    )
    targets = columns[settings.target]
    for row in np.flatnonzero(targets == "")[:1] if kinds[settings.target] == "category" else ():
        raise DataError(
            f"{path}, {table.row(row)}, column '{settings.target}': the label is missing"
        )
    parts = split(targets, dataclasses.replace(settings.split, kind="chronological"), task)
    return {
        name: _windows(rows[part], targets[part], settings, name) for name, part in parts.items()
    }, names


def _kinds(settings: WindowData, table: Table, task: str) -> dict[str, str]:
    """Column → number or category, of all that are to be read. A column of texts some of which are
    numbers is one of numbers, in which a cell is mistyped.
    """
    numbers = settings.features or [
        name for name in table.names if table.kind(name) in ("number", "mixed")
    ]
    target = (
        "number" if task == "regression" or table.kind(settings.target) == "number" else "category"
    )
    return dict.fromkeys(numbers, "number") | {settings.target: target}


def _windows(rows: Array, targets: Array, settings: WindowData, part: str) -> tuple[Array, Array]:
    import keras

    if len(rows) <= settings.reach:
        raise DataError(
            f"data: the {part} part has {len(rows)} rows; one window and its target reach over "
            f"{settings.reach + 1}. Give it a larger share in data.split, or a shorter sequence_length"
        )
    most = (
        len(rows) - 1 or 1
    )  # Keras refuses strides beyond the rows, of which the first window needs none
    found = keras.utils.timeseries_dataset_from_array(
        rows,
        np.arange(
            settings.reach, len(rows)
        ),  # of their targets, whose labels TensorFlow would turn into bytes
        settings.sequence_length,
        sequence_stride=min(settings.sequence_stride, most),
        sampling_rate=min(settings.sampling_rate, most),
    )
    windows, ends = zip(*found.as_numpy_iterator(), strict=True)
    return np.concatenate(windows), targets[np.concatenate(ends)]
