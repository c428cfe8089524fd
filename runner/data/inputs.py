"""Files of new rows for a model that was trained, and of what it predicts of them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from history.errors import suggest
from history.files import atomic
from runner.data.columns import features, refuse_missing
from runner.data.dataset import Array, Features
from runner.data.files import Table, is_unsplit, load_arrays, open_table
from runner.data.rows import features as checked
from runner.errors import DataError


def read(
    path: Path,
    shape: Sequence[int],
    columns: Mapping[str, str] | None,
    *,
    separator: str = ",",
    decimal: str = ".",
    may_miss: bool = False,
) -> tuple[Features, list[str]]:
    """Rows of features, and the names of the columns that were left out.

    Args:
        path: a file of one of tables.FORMATS.
        shape: of one row.
        columns: names and kinds of the features, in order, by which a table's columns are chosen;
            None: all columns
            are numbers, in order.
        separator, decimal: of a CSV.
        may_miss: numbers may be missing.

    Raises:
        DataError: the file cannot be read, or does not hold such rows; the first wrong value is
        named.
    """
    if path.suffix.lower() == ".npz":
        [rows] = load_arrays(path)
        if rows.ndim == 0 or rows.shape[1:] != tuple(shape):
            what = f"its rows are of shape {rows.shape[1:]}; those of the model of {tuple(shape)}"
            raise DataError(f"{path}: {what}")
        return checked(rows, str(path)), []
    width = math.prod(shape)
    table = open_table(path, separator, decimal, None if columns else width)
    kinds, ignored = _choose(table, width, columns)
    found = table.columns(kinds)
    if not may_miss:
        refuse_missing(table, found)
    if not len(next(iter(found.values()))):
        raise DataError(f"{path} holds no rows")
    x = features(found)
    return (x if isinstance(x, dict) else x.reshape(-1, *shape)), ignored


def write(path: Path, columns: Mapping[str, Array]) -> None:
    """Writes columns of equal length (an .npz: arrays) in the format of the path's suffix; raises
    OSError.

    The file is replaced whole, or left as it was.
    """
    import pandas

    kind = path.suffix.lower()
    with atomic(path) as temporary:
        if kind == ".csv":
            pandas.DataFrame(columns).to_csv(temporary, index=False, lineterminator="\n")
        elif kind == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **columns)
        else:
            pandas.DataFrame(columns).to_parquet(temporary, index=False)


def _choose(
    table: Table, width: int, columns: Mapping[str, str] | None
) -> tuple[dict[str, str], list[str]]:
    """The columns that are wanted, in the order wanted, with their kinds; and the names of the
    others.
    """
    path, names = table.path, table.names
    commas = "; columns are separated by commas" if is_unsplit(names) else ""
    if columns is None:
        if len(names) != width:
            raise DataError(f"{path} has {len(names)} columns; the model takes {width}{commas}")
        return dict.fromkeys(names, "number"), []
    missing = [column for column in columns if column not in names]
    if len(missing) == len(columns):
        wanted = ",".join(columns)
        raise DataError(
            f"{path} names none of the columns of the model; its header must be {wanted}{commas}"
        )
    others = [name for name in names if name not in columns]
    if missing:
        listed = ", ".join(f"'{name}'" for name in missing)
        raise DataError(
            f"{path} has no column {listed}{suggest(missing[0], others)} (others: {', '.join(others) or 'none'})"
        )
    return dict(columns), others
