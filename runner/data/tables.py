"""Files of rows: reads those that a model is to be applied to, and writes what it predicts. CSV, Parquet, .npz.

CSV is read with the standard library: a wrong cell can then be named by its line, and no text such as NA becomes a
number by itself. Parquet needs pyarrow, which is imported where it is used.
"""

import csv
import importlib
import itertools
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from history.errors import suggest
from history.files import atomic
from runner.data import Array
from runner.errors import DataError

PARQUET = (".parquet", ".pq")
FORMATS = (".csv", *PARQUET, ".npz")
LARGEST = float(np.finfo("float32").max)  # what models compute with
CHUNK = 65536  # rows that are turned into text at a time


def read(path: Path, shape: Sequence[int], columns: Sequence[str] | None) -> tuple[Array, list[str]]:
    """Rows of features, as float32 of shape (rows, *shape), and the names of the columns that were left out.

    Args:
        path: a file of one of FORMATS.
        shape: of one row.
        columns: names of the features, in order, by which a table's columns are chosen; None: all columns, in order.

    Raises:
        DataError: the file cannot be read, or does not hold such rows; the first wrong value is named.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".npz":
            rows, ignored = _npz(path, tuple(shape))
        else:
            table = _parquet if kind in PARQUET else _csv
            rows, ignored = table(path, math.prod(shape), columns)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if not len(rows):
        raise DataError(f"{path} holds no rows")
    return rows.reshape(-1, *shape), ignored


def write(path: Path, columns: Mapping[str, Array]) -> None:
    """Writes columns of equal length (an .npz: arrays) in the format of the path's suffix; raises OSError.

    The file is replaced whole, or left as it was.
    """
    kind = path.suffix.lower()
    with atomic(path) as temporary:
        if kind == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as lines:
                _write_csv(csv.writer(lines, lineterminator="\n"), columns)
        elif kind == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **columns)
        else:
            table = importlib.import_module("pyarrow").table(dict(columns))
            parquet(path).write_table(table, temporary)


def parquet(path: Path) -> Any:
    """The module pyarrow.parquet; raises DataError where it is not installed."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"{path}: needs pyarrow: pip install 'keras-experiment-runner[parquet]' (the extra `parquet`)"
        ) from error


def _write_csv(writer: Any, columns: Mapping[str, Array]) -> None:
    writer.writerow(columns)
    for start in range(0, len(next(iter(columns.values()))), CHUNK):
        writer.writerows(zip(*(values[start : start + CHUNK].tolist() for values in columns.values()), strict=True))


# --- CSV


def _csv(path: Path, width: int, columns: Sequence[str] | None) -> tuple[Array, list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            return _rows(path, _lines(path, reader), width, columns)
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8, somewhere after line {reader.line_num}; save it as UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}; it is no CSV, or was cut off") from error


def _lines(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of the line that it ends on; blank lines may stand at the end only."""
    blank = 0
    for cells in reader:
        if not cells:
            blank = blank or reader.line_num
        elif blank:
            raise DataError(f"{path}, line {blank} is blank: a row is missing, or the line is to be deleted")
        else:
            yield reader.line_num, cells


def _rows(
    path: Path, lines: Iterator[tuple[int, list[str]]], width: int, columns: Sequence[str] | None
) -> tuple[Array, list[str]]:
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path} is empty")
    if columns is None and not _is_header(path, first[1]):
        names = [str(place) for place in range(1, len(first[1]) + 1)]
        lines = itertools.chain([first], lines)
    else:
        names = [name.strip() for name in first[1]]
    chosen, ignored = _choose(path, names, width, columns)
    values = array("f")
    for number, (line, cells) in enumerate(lines, 1):
        if len(cells) != len(names):
            where = f"{path}, row {number} (line {line})"
            raise DataError(f"{where} has {len(cells)} values; the first line has {len(names)}")
        picked = [cells[place] for place in chosen]
        numbers = _numbers(picked)
        if numbers is None:
            place = next(place for place in chosen if _numbers([cells[place]]) is None)
            found = repr(cells[place]) if cells[place].strip() else "nothing"
            raise _bad(f"{path}, row {number} (line {line}), column '{names[place]}'", found)
        values.extend(numbers)
    flat = np.frombuffer(values, dtype="float32") if values else np.empty(0, "float32")
    return flat.reshape(-1, width), ignored


def _numbers(cells: list[str]) -> list[float] | None:
    """The cells as numbers; None where one is none that a model can take."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return None
    fit = math.isfinite(sum(numbers)) and min(numbers) >= -LARGEST and max(numbers) <= LARGEST
    return numbers if fit and "_" not in "".join(cells) else None  # Python alone reads 1_000 as a number


def _is_text(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return True
    return "_" in cell


def _bad(where: str, found: str) -> DataError:
    found = found if len(found) <= 60 else f"{found[:57]}..."
    return DataError(f"{where}: {found} is no finite number of single precision")


def _is_header(path: Path, cells: list[str]) -> bool:
    """Whether the first line names the columns, where their names are not known."""
    texts = [cell for cell in cells if _is_text(cell)]
    counted = len(cells) > 1 and cells == [str(place) for place in range(len(cells))]
    if counted or 0 < len(texts) < len(cells):
        what = "counts from 0" if counted else f"holds both numbers and other text ({texts[0]!r:.40})"
        raise DataError(
            f"{path}: line 1 {what}: name the columns by texts that are no numbers, or give a row of numbers"
        )
    return bool(texts)


def _choose(path: Path, names: Sequence[str], width: int, columns: Sequence[str] | None) -> tuple[list[int], list[str]]:
    """The places of the columns that are wanted, in the order wanted, and the names of the others."""
    commas = "; columns are separated by commas" if len(names) == 1 and {*";\t|"} & set(names[0]) else ""
    known = set(names)
    missing = [column for column in columns or () if column not in known]
    if columns and len(missing) == len(columns):
        wanted = ",".join(columns)
        raise DataError(f"{path} names none of the columns of the model; its header must be {wanted}{commas}")
    if len(known) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} has several columns '{doubled}'; rename or delete all but one")
    if columns is None:
        if len(names) != width:
            raise DataError(f"{path} has {len(names)} columns; the model takes {width}{commas}")
        return list(range(width)), []
    others = [name for name in names if name not in columns]
    if missing:
        listed = ", ".join(f"'{name}'" for name in missing)
        raise DataError(
            f"{path} has no column {listed}{suggest(missing[0], others)} (others: {', '.join(others) or 'none'})"
        )
    return [names.index(column) for column in columns], others


# --- Parquet and .npz


def _parquet(path: Path, width: int, columns: Sequence[str] | None) -> tuple[Array, list[str]]:
    module = parquet(path)
    try:
        file = module.ParquetFile(path)
        names = list(file.schema_arrow.names)
        chosen, ignored = _choose(path, names, width, columns)
        wanted = [names[place] for place in chosen]
        table = file.read(columns=wanted)
    except (ValueError, NotImplementedError) as error:  # as ArrowInvalid and ArrowNotImplementedError are
        raise DataError(f"cannot read {path} as Parquet: {error}") from error
    types = importlib.import_module("pyarrow.types")
    rows = np.empty((table.num_rows, width), "float64")
    for place, name in enumerate(wanted):
        column = table.column(name)
        if not any(getattr(types, f"is_{kind}")(column.type) for kind in ("integer", "floating", "decimal", "boolean")):
            first = column[0].as_py() if len(column) else None
            raise _bad(f"{path}, row 1, column '{name}'", f"{first!r} (of type {column.type})")
        rows[:, place] = column.cast("float64", safe=False).to_numpy()
    for row, place in np.argwhere(~(np.abs(rows) <= LARGEST))[:1]:
        found = table.column(wanted[place])[int(row)].as_py()
        where = f"{path}, row {row + 1}, column '{wanted[place]}'"
        raise _bad(where, "nothing" if found is None else repr(found))
    return rows.astype("float32"), ignored


def _npz(path: Path, shape: tuple[int, ...]) -> tuple[Array, list[str]]:
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array without a name")
        with arrays:
            name = "x" if "x" in arrays.files or len(arrays.files) != 1 else arrays.files[0]
            if name not in arrays.files:
                raise DataError(f"{path} has no array 'x' (it has: {', '.join(arrays.files) or 'none'})")
            rows = np.asarray(arrays[name])
    except (DataError, OSError):
        raise
    except Exception as error:  # a damaged zip shows as one of a dozen types
        raise DataError(f"cannot read {path} as an .npz file of plain arrays: {error}") from error
    if rows.shape[1:] != shape or rows.ndim == 0:
        raise DataError(
            f"{path}: '{name}' has the shape {rows.shape}; the model takes (rows, {', '.join(map(str, shape))})"
        )
    if rows.dtype.kind not in "fiub":
        raise DataError(f"{path}: '{name}' is of type {rows.dtype}; a model takes numbers")
    for place in np.argwhere(~(np.abs(rows.astype("float64")) <= LARGEST))[:1]:
        row, *rest = (int(number) for number in place)
        raise _bad(f"{path}, row {row + 1}, {name}{[row, *rest]}", repr(rows[tuple(place)].item()))
    return rows.astype("float32"), []
