"""Files of named columns: CSV, Parquet, and .npz files in which each array is a column; for
training and for predictions alike.

pandas reads the values. What it lets pass in a CSV, a line that was cut off or a blank one, is
refused before: no row may be missing, and nobody notice. Parquet needs pyarrow, which is imported
where it is used.
"""

import csv
import importlib
import math
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from history import errors, escape, files
from runner.data.dataset import Array, is_text, must_fit
from runner.errors import DataError, Problem, gathered, short

PARQUET = (".parquet", ".pq")
FORMATS = (".csv", *PARQUET, ".npz")
# cells of a CSV that stand for a missing number
NOTHING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
# of arrays of plain numbers and text, by the version of their format
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# what pandas says of a column
KINDS = {
    "integer": "number",
    "floating": "number",
    "decimal": "number",
    "boolean": "number",
    "string": "category",
    "categorical": "category",
}
# whether numbers, and words, are in the cells of a CSV
OF_CELLS = {
    (True, False): "number",
    (False, True): "category",
    (True, True): "mixed",
    (False, False): "empty",
}
NO_WORDS = ("mixed", "bytes")  # it says so of lists and mappings, too


class Table:
    """A file of named columns, read whole into a pandas DataFrame; `lines` are those of a CSV on
    which the rows end.
    """

    def __init__(self, path: Path, frame: pandas.DataFrame, lines: Array | None = None) -> None:
        self.path, self.frame, self.lines = path, frame, lines
        self.names = [str(name) for name in frame]
        for name in frame.columns[frame.columns.duplicated()]:
            raise DataError(f"{path} has several columns '{name}'; rename or delete all but one")

    def parsed(self, name: str) -> tuple[str, Array, Array]:
        """Return what a column holds, as far as the content tells: number, category, mixed (numbers
        among words), empty, or more; it as numbers, NaN where there is none; and which of its cells
        hold something else.
        """
        column = self.frame[name]
        said = pandas.api.types.infer_dtype(column, skipna=True)
        if KINDS.get(said) == "number":
            return (
                "number",
                column.to_numpy("float64", na_value=np.nan),
                np.zeros(len(column), bool),
            )
        return KINDS.get(said, said), np.full(len(column), np.nan), np.ones(len(column), bool)

    def columns(
        self, kinds: Mapping[str, str], whole: Collection[str | None] = (), remedy: str = ""
    ) -> dict[str, Array]:
        """Return the columns asked for: numbers as float64, NaN where one is missing; categories as
        text, "" likewise.

        Raises:
            DataError: columns of numbers hold something else, or something is missing in those that
                must be `whole`; the first such cell of each is named.
        """

        def column(name: str) -> Array:
            found = self._texts(name) if kinds[name] == "category" else self._numbers(name)
            if name in whole and (gaps := missing(found)).any():
                raise DataError(
                    f"{self.place(int(gaps.argmax()), name)}: "
                    f"a {'word' if is_text(found) else 'number'} is missing, "
                    f"the first of {gaps.sum()}{remedy}"
                )
            return found

        return gathered(column, kinds)

    def require(self, names: Mapping[str, Iterable[str]]) -> None:
        """Raise DataError where columns are not there that keys of the config ask for."""
        if problems := [
            Problem(
                key,
                f"{self.path} has no column {', '.join(map(repr, absent))}"
                f"{errors.suggest(absent[0], self.names)} (it has: {', '.join(self.names)})",
            )
            for key, asked in names.items()
            if (absent := [name for name in asked if name not in self.names])
        ]:
            raise DataError(problems)

    def place(self, row: int, name: str) -> str:
        """Return where the cell of a row (from 0) stands, for messages."""
        line = "" if self.lines is None else f" (line {self.lines[row]})"
        return f"{self.path}, row {row + 1}{line}, column '{name}'"

    def _texts(self, name: str) -> Array:
        column = self.frame[name].astype(object)
        if pandas.api.types.infer_dtype(column, skipna=True) in NO_WORDS:
            raise DataError(
                f"{self.path}: column '{name}' holds lists, structs or bytes; "
                "store it as numbers or text, or leave it out (ignore)"
            )
        return column.map(str).where(column.notna(), "").to_numpy(object)

    def _numbers(self, name: str) -> Array:
        _, numbers, wrong = self.parsed(name)
        for row in np.flatnonzero(wrong | (np.abs(numbers) > np.finfo("float32").max))[:1]:
            raise DataError(
                f"{self.place(row, name)}: {short(repr(str(self.frame[name].iloc[row])))} "
                "is no finite number of single precision"
            )
        return numbers


class _Csv(Table):
    """A CSV file in UTF-8 with a header."""

    def __init__(self, path: Path, separator: str, decimal: str) -> None:
        names, lines = _scan(path, separator)
        self.decimal = decimal
        self._how: dict[str, Any] = {
            "names": range(len(names)),
            "header": 0,
            "nrows": len(lines),
            "sep": separator,
            "decimal": decimal,
            "encoding": "utf-8-sig",
            "index_col": False,
            "na_filter": False,
            "skipinitialspace": True,
            "skip_blank_lines": False,
            "low_memory": False,
        }
        # the columns as pandas finds them: of numbers alone, or of text as it is written
        super().__init__(path, pandas.read_csv(path, **self._how).set_axis(names, axis=1), lines)

    def parsed(self, name: str) -> tuple[str, Array, Array]:
        if self.frame[name].dtype.kind in "if":
            return super().parsed(name)
        texts = self.frame[name].astype(str).str.strip().str.replace(self.decimal, ".", regex=False)
        gaps = texts.isin(NOTHING).to_numpy()
        numbers = pandas.to_numeric(texts.mask(gaps), errors="coerce").to_numpy("float64")
        there = ~np.isnan(numbers)
        words = ~there & ~gaps
        return OF_CELLS[bool(there.any()), bool(words.any())], numbers, words

    def _texts(self, name: str) -> Array:
        if self.frame[name].dtype.kind in "ifb":  # wanted as they are written: 01, TRUE
            self.frame[name] = pandas.read_csv(
                self.path, **self._how, usecols=[self.names.index(name)], dtype=str
            ).squeeze("columns")
        return super()._texts(name)


def open_table(path: Path, separator: str = ",", decimal: str = ".") -> Table:
    """Return the table in a file.

    Args:
        path: its suffix tells which.
        separator: of the columns of a CSV.
        decimal: point or comma of the numbers of a CSV.

    Raises:
        DataError: it cannot be read, has two columns of one name, or no rows.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise DataError(f"{path} is no table; its name must end in {', '.join(FORMATS)}")
    try:
        regular(path)
        if kind == ".csv":
            table: Table = _Csv(path, separator, decimal)
        elif kind == ".npz":
            table = Table(path, pandas.DataFrame(load_arrays(path)))
        else:
            found = parquet(path).ParquetFile(path).read()
            # integer objects: 1 is no 1.0 as a category
            table = Table(path, found.to_pandas(ignore_metadata=True, integer_object_nulls=True))
    except (OSError, ValueError, NotImplementedError) as error:  # as pyarrow's own errors are
        raise DataError(f"cannot read {path} as a table: {error}") from error
    if table.frame.empty:
        raise DataError(f"{path} holds no rows")
    return table


def load_arrays(path: Path, *names: str) -> dict[str, Array]:
    """Return the arrays of those names in an .npz file, or all of them where none is named.

    Raises:
        DataError: it cannot be read, or has no such array. Nothing is unpickled, and no memory is
            taken that is not free, or for more than there is in the file.
    """
    try:
        with zipfile.ZipFile(regular(path)) as file:
            members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            if absent := sorted({*names} - {*members}):
                raise ValueError("; ".join(errors.unknown("array", n, members) for n in absent))
            wanted = {name: members[name] for name in names or members}
            must_fit(sum(info.file_size for info in wanted.values()), "they", "smaller file")
            return {name: _array(file, info) for name, info in wanted.items()}
    except Exception as error:  # a file that means harm finds more than those of its format
        raise DataError(f"cannot read {path} as an .npz file of plain arrays: {error}") from error


def _array(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with file.open(info) as member:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(member)](member)
        size = info.file_size - member.tell()
        if not dtype.itemsize or math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{info.filename} says that it holds {shape} of {dtype}: {size} bytes")
        member.seek(0)
        return np.lib.format.read_array(member, allow_pickle=False)


def regular(path: Path) -> Path:
    """Return the path of a file; raises DataError where something else is there, such as a FIFO,
    which a reader would wait for.
    """
    if not path.is_file() and path.exists():
        raise DataError(f"{path} is no regular file (but a folder, FIFO or device)")
    return path


def save_table(path: Path, columns: Mapping[str, Array]) -> None:
    """Write columns of equal length (an .npz: arrays) in the format of the path's suffix; in a CSV,
    no text is a formula of a spreadsheet.

    The file is replaced whole, or left as it was; raises OSError.
    """
    kind = path.suffix.lower()
    with files.atomic(path) as temporary:
        if kind == ".csv":
            pandas.DataFrame(
                {
                    name: [*map(escape.spreadsheet_cell, cells)]
                    if cells.dtype.kind == "U"
                    else cells
                    for name, cells in columns.items()
                }
            ).to_csv(temporary, index=False, lineterminator="\n")
        elif kind == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **columns)
        else:
            pandas.DataFrame(columns).to_parquet(temporary, index=False)


def parquet(path: Path) -> Any:  # pyarrow has no types
    """Return the module pyarrow.parquet; raises DataError where it is not installed."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"{path}: needs pyarrow: pip install 'keras-experiment-runner[parquet]' "
            "(the extra `parquet`)"
        ) from error


def missing(column: Array) -> Array:
    """Return which cells of a column lack a value."""
    return column == "" if is_text(column) else np.isnan(column)


def _scan(path: Path, separator: str) -> tuple[list[str], Array]:
    """Return the names in the first line, and the number of the line on which each row ends; refuse
    what is not whole.
    """
    with path.open("rb") as file:
        reader = csv.reader(
            (line.decode("utf-8-sig") for line in file),
            delimiter=separator,
            skipinitialspace=True,
            strict=True,
        )
        try:
            names = [name.strip() for name in next(reader, [])]
            widths, ends = np.fromiter(
                ((len(cells), reader.line_num) for cells in reader), np.dtype((int, 2))
            ).T
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {reader.line_num + 1} is not UTF-8; save the file as UTF-8"
            ) from error
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: {error}; it is no CSV, or was cut off"
            ) from error
    if not names:
        raise DataError(f"{path} is empty, or begins with a blank line")
    rows = np.flatnonzero(widths).max(initial=-1) + 1  # blank lines at the end are none
    for row in np.flatnonzero(widths[:rows] != len(names))[:1]:
        raise DataError(
            f"{path}, row {row + 1} (line {ends[row]}) has {widths[row]} values; "
            f"the first line has {len(names)}; is another separator meant?"
        )
    return names, ends[:rows]
