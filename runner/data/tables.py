"""Files of rows: CSV and Parquet by column, .npz by array; and what is predicted, written in the same formats.

pandas reads the values. What it lets pass in a CSV, a line that was cut off or a blank one, is refused before: no row
may be missing, and nobody notice. Parquet needs pyarrow, which is imported where it is used.
"""

import contextlib
import csv
import importlib
import math
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from history.errors import suggest, unknown
from history.files import atomic
from runner.data import Array, Features
from runner.errors import DataError

PARQUET = (".parquet", ".pq")
FORMATS = (".csv", *PARQUET, ".npz")
NOTHING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")  # cells of a CSV that stand for a missing number
LARGEST = float(np.finfo("float32").max)  # what models compute with
CHUNK = 65536  # rows that are turned into text at a time


class Table(Protocol):
    """A file of named columns."""

    names: list[str]

    def kinds(self) -> dict[str, str]:
        """Column → number or category, or what else it holds, as far as the content tells."""

    def columns(self, kinds: Mapping[str, str]) -> dict[str, Array]:
        """The columns asked for: numbers as float64, NaN where one is missing; categories as text, "" likewise.

        Raises:
            DataError: a column of numbers holds something else; the first such cell is named.
        """

    def row(self, number: int) -> str:
        """Where the row of that number (from 0) stands, for messages."""


def open_table(path: Path, separator: str = ",", decimal: str = ".", width: int | None = None) -> Table:
    """A table in a file.

    Args:
        path: its suffix tells which.
        separator: of the columns of a CSV.
        decimal: point or comma of the numbers of a CSV.
        width: how many columns are wanted of a file that may have no header; None: the first line is one.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if path.suffix.lower() in PARQUET:
            return _Parquet(path)
        if path.suffix.lower() == ".csv":
            return _Csv(path, separator, decimal, width)
        if path.suffix.lower() == ".npz":
            return _Npz(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    raise DataError(f"{path} is no table; its name must end in {', '.join(FORMATS)}")


def read(
    path: Path,
    shape: Sequence[int],
    columns: Mapping[str, str] | None,
    *,
    separator: str = ",",
    decimal: str = ".",
    may_miss: bool = False,
) -> tuple[Features, list[str]]:
    """Rows of features for a model that was trained, and the names of the columns that were left out.

    Args:
        path: a file of one of FORMATS.
        shape: of one row.
        columns: names and kinds of the features, in order, by which a table's columns are chosen; None: all columns
            are numbers, in order.
        separator, decimal: of a CSV.
        may_miss: numbers may be missing.

    Raises:
        DataError: the file cannot be read, or does not hold such rows; the first wrong value is named.
    """
    if path.suffix.lower() == ".npz":
        return _npz(path, tuple(shape)), []
    width = math.prod(shape)
    table = open_table(path, separator, decimal, None if columns else width)
    kinds, ignored = _choose(path, table.names, width, columns)
    found = table.columns(kinds)
    if not may_miss:
        refuse_missing(table, found, path)
    x = features(found, path)
    return (x if isinstance(x, dict) else x.reshape(-1, *shape)), ignored


def features(columns: Mapping[str, Array], path: Path) -> Features:
    """What a model takes of columns: one array of numbers or, where some are categories, each by itself."""
    if not len(next(iter(columns.values()))):
        raise DataError(f"{path} holds no rows")
    x = {name: column if _is_text(column) else column.astype("float32") for name, column in columns.items()}
    return x if any(map(_is_text, x.values())) else np.stack(list(x.values()), axis=1)


def refuse_missing(table: Table, columns: Mapping[str, Array], path: Path) -> None:
    """Raises DataError where a number is missing, naming the first."""
    for name, column in columns.items():
        if not _is_text(column) and np.isnan(column).any():
            where = f"{path}, {table.row(int(np.isnan(column).argmax()))}, column '{name}'"
            raise DataError(f"{where}: nothing, where a number must be")


def _is_text(column: Array) -> bool:
    return column.dtype.kind == "O"


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


def _bad(where: str, found: str) -> DataError:
    found = found if len(found) <= 60 else f"{found[:57]}..."
    return DataError(f"{where}: {found} is no finite number of single precision")


def _choose(
    path: Path, names: Sequence[str], width: int, columns: Mapping[str, str] | None
) -> tuple[dict[str, str], list[str]]:
    """The columns that are wanted, in the order wanted, with their kinds; and the names of the others."""
    commas = "; columns are separated by commas" if len(names) == 1 and {*";\t|"} & set(names[0]) else ""
    if columns is None:
        if len(names) != width:
            raise DataError(f"{path} has {len(names)} columns; the model takes {width}{commas}")
        return dict.fromkeys(names, "number"), []
    missing = [column for column in columns if column not in names]
    if len(missing) == len(columns):
        wanted = ",".join(columns)
        raise DataError(f"{path} names none of the columns of the model; its header must be {wanted}{commas}")
    others = [name for name in names if name not in columns]
    if missing:
        listed = ", ".join(f"'{name}'" for name in missing)
        raise DataError(
            f"{path} has no column {listed}{suggest(missing[0], others)} (others: {', '.join(others) or 'none'})"
        )
    return dict(columns), others


def _once(path: Path, names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path} has several columns '{name}'; rename or delete all but one")
    return names


class _Csv:
    """A CSV file in UTF-8 with a header, or perhaps without one."""

    def __init__(self, path: Path, separator: str, decimal: str, width: int | None) -> None:
        self.path, self.separator, self.decimal = path, separator, decimal
        first, self.lines = self._scan()
        self.header = width is None or self._is_header(first)
        names = [name.strip() for name in first] if self.header else [str(place + 1) for place in range(len(first))]
        self.names = _once(path, names)
        if self.header:
            self.lines = self.lines[1:]

    def _scan(self) -> tuple[list[str], "array[int]"]:
        """The cells of the first line, and the number of the line on which each row ends; refuses what is not whole."""
        first: list[str] = []
        lines, blank = array("q"), 0
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, delimiter=self.separator)
            try:
                for cells in reader:
                    line = reader.line_num
                    if not cells:
                        blank = blank or line
                        continue
                    if blank and first:
                        raise DataError(
                            f"{self.path}, line {blank} is blank: a row is missing, or the line is to be deleted"
                        )
                    first = first or cells
                    if len(cells) != len(first):
                        where = f"{self.path}, row {len(lines)} (line {line})"
                        hint = "; is another separator meant?" if len(first) == 1 and {*";\t|"} & set(first[0]) else ""
                        raise DataError(f"{where} has {len(cells)} values; the first line has {len(first)}{hint}")
                    blank = 0
                    lines.append(line)
            except UnicodeDecodeError as error:
                where = f"{self.path}, line {_first_undecodable(self.path)}"
                raise DataError(f"{where} is not UTF-8; save the file as UTF-8") from error
            except csv.Error as error:
                what = f"{self.path}, line {reader.line_num}: {error}; it is no CSV, or was cut off"
                raise DataError(what) from error
        if not first:
            raise DataError(f"{self.path} is empty")
        return first, lines

    def _is_header(self, cells: list[str]) -> bool:
        """Whether the first line names the columns, where their names are not known."""
        texts = [cell for cell in cells if not is_number(cell)]
        counted = len(cells) > 1 and cells == [str(place) for place in range(len(cells))]
        if counted or 0 < len(texts) < len(cells):
            what = "counts from 0" if counted else f"holds both numbers and other text ({texts[0]!r:.40})"
            raise DataError(
                f"{self.path}: line 1 {what}: name the columns by texts that are no numbers, or give a row of numbers"
            )
        return bool(texts)

    def kinds(self) -> dict[str, str]:
        frame = self._frame(dict.fromkeys(self.names, "number"))
        return {name: "number" if column.dtype.kind in "if" else "category" for name, column in frame.items()}

    def columns(self, kinds: Mapping[str, str]) -> dict[str, Array]:
        frame = self._frame(kinds)
        return {
            name: frame[name].to_numpy(object) if kind == "category" else self._numbers(frame[name])
            for name, kind in kinds.items()
        }

    def row(self, number: int) -> str:
        return f"row {number + 1} (line {self.lines[number]})"

    def _frame(self, kinds: Mapping[str, str]) -> Any:
        """The columns asked for: words as they are written, numbers as pandas finds them."""
        import pandas

        numbers = [name for name, kind in kinds.items() if kind == "number"]
        return pandas.read_csv(
            self.path,
            sep=self.separator,
            decimal=self.decimal,
            encoding="utf-8-sig",
            header=0 if self.header else None,
            names=self.names,
            index_col=False,
            usecols=list(kinds),
            dtype={name: str for name, kind in kinds.items() if kind == "category"},
            keep_default_na=False,
            na_values={name: list(NOTHING) for name in numbers},
            skipinitialspace=True,
            low_memory=False,  # a column is of one type, whatever its length
        )

    def _numbers(self, column: Any) -> Array:
        import pandas

        if column.dtype.kind in "if":
            found: Array = column.to_numpy("float64")
            wrong = np.abs(found) > LARGEST
        else:
            texts = column.astype(str).str.strip().str.replace(self.decimal, ".", regex=False)
            found = pandas.to_numeric(texts, errors="coerce").to_numpy("float64")
            wrong = ~(np.abs(found) <= LARGEST) & ~(column.isna() | texts.isin(NOTHING)).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            raise _bad(f"{self.path}, {self.row(row)}, column '{column.name}'", repr(str(column.iloc[row])))
        return found


def _first_undecodable(path: Path) -> int:
    """The number of the first line that is not UTF-8: a decoder reads ahead."""
    with path.open("rb") as lines:
        return next(number for number, line in enumerate(lines, 1) if line.decode(errors="ignore").encode() != line)


def is_number(cell: str) -> bool:
    """Whether the text of a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python alone reads 1_000 as a number


class _Parquet:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        module = parquet(path)
        self.path = path
        try:
            self.file = module.ParquetFile(path)
        except (ValueError, NotImplementedError) as error:  # as ArrowInvalid and ArrowNotImplementedError are
            raise DataError(f"cannot read {path} as Parquet: {error}") from error
        self.names = _once(path, list(self.file.schema_arrow.names))

    def kinds(self) -> dict[str, str]:
        types = importlib.import_module("pyarrow.types")
        known = {"number": ("integer", "floating", "decimal", "boolean")}
        known["category"] = ("string", "large_string", "string_view", "dictionary")
        found = {}
        for field in self.file.schema_arrow:
            named = (kind for kind, names in known.items() if any(getattr(types, f"is_{n}")(field.type) for n in names))
            found[field.name] = next(named, str(field.type))
        return found

    def columns(self, kinds: Mapping[str, str]) -> dict[str, Array]:
        try:
            table = self.file.read(columns=list(kinds))
        except (ValueError, NotImplementedError) as error:
            raise DataError(f"cannot read {self.path} as Parquet: {error}") from error
        types, found = self.kinds(), {}
        for name, kind in kinds.items():
            column = table.column(name)
            if kind == "category":
                found[name] = np.array(["" if v is None else str(v) for v in column.to_pylist()], dtype=object)
            elif types[name] != "number":
                first = column[0].as_py() if len(column) else None
                raise _bad(f"{self.path}, row 1, column '{name}'", f"{first!r} (of type {column.type})")
            else:
                found[name] = self._numbers(name, column)
        return found

    def row(self, number: int) -> str:
        return f"row {number + 1}"

    def _numbers(self, name: str, column: Any) -> Array:
        found: Array = column.cast("float64", safe=False).to_numpy()
        for row in np.flatnonzero(np.abs(found) > LARGEST)[:1]:
            raise _bad(f"{self.path}, {self.row(row)}, column '{name}'", repr(column[int(row)].as_py()))
        return found


class _Npz:
    """An .npz file in which each array is a column."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as found:
            self.arrays = {name: found[name] for name in found.files}
        self.names = list(self.arrays)
        for name, column in self.arrays.items():
            if column.shape != (len(self.arrays[self.names[0]]),):
                what = "as a table, it holds columns of equal length"
                raise DataError(f"{path}: the array '{name}' has the shape {column.shape}; {what}")

    def kinds(self) -> dict[str, str]:
        types = dict.fromkeys("fiub", "number") | dict.fromkeys("U", "category")
        return {name: types.get(column.dtype.kind, str(column.dtype)) for name, column in self.arrays.items()}

    def columns(self, kinds: Mapping[str, str]) -> dict[str, Array]:
        types, found = self.kinds(), {}
        for name, kind in kinds.items():
            column = self.arrays[name]
            if kind == "category":
                found[name] = column.astype(str).astype(object)
                continue
            if types[name] != "number":
                raise _bad(f"{self.path}, row 1, column '{name}'", f"{column[0]} (of type {column.dtype})")
            found[name] = column.astype("float64")
            for row in np.flatnonzero(np.abs(found[name]) > LARGEST)[:1]:
                raise _bad(f"{self.path}, {self.row(row)}, column '{name}'", repr(column[row].item()))
        return found

    def row(self, number: int) -> str:
        return f"row {number + 1}"


def load_arrays(path: Path, *names: str) -> list[Array]:
    """The arrays of those names in an .npz file or, where none is asked for, `x` or its only one.

    Raises:
        DataError: it cannot be read, or has no such array. Nothing is unpickled.
    """
    with _opened(path) as found:
        wanted = names or (("x",) if "x" in found.files or len(found.files) != 1 else tuple(found.files))
        for name in wanted:
            if name not in found.files:
                raise DataError(f"{path}: {unknown('array', name, found.files)}")
        return [found[name] for name in wanted]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array without a name")
        with found:
            yield found
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(f"cannot read {path} as an .npz file of plain arrays: {error}") from error


def _npz(path: Path, shape: tuple[int, ...]) -> Array:
    (rows,) = load_arrays(path)
    if rows.shape[1:] != shape or rows.ndim == 0:
        raise DataError(f"{path}: its rows are of shape {rows.shape[1:]}; those of the model of {shape}")
    if not len(rows):
        raise DataError(f"{path} holds no rows")
    if rows.dtype.kind not in "fiub":
        raise DataError(f"{path}: its rows are of type {rows.dtype}; a model takes numbers")
    for place in np.argwhere(~(np.abs(rows.astype("float64")) <= LARGEST))[:1]:
        row, *rest = (int(number) for number in place)
        raise _bad(f"{path}, row {row + 1}, x{[row, *rest]}", repr(rows[tuple(place)].item()))
    return rows.astype("float32")
