"""Files of named columns: CSV, Parquet, and .npz files in which each array is a column.

pandas reads the values. What it lets pass in a CSV, a line that was cut off or a blank one, is
refused before: no row may be missing, and nobody notice. Parquet needs pyarrow, which is imported
where it is used.
"""

import contextlib
import csv
import importlib
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from history.errors import unknown
from runner.data.dataset import Array
from runner.errors import DataError, short

PARQUET = (".parquet", ".pq")
FORMATS = (".csv", *PARQUET, ".npz")
NOTHING = (
    "",
    "NA",
    "N/A",
    "NaN",
    "nan",
    "NULL",
    "null",
    "None",
)  # cells of a CSV that stand for a missing number
LARGEST = float(np.finfo("float32").max)  # what models compute with
KINDS = dict.fromkeys(
    ("integer", "floating", "decimal", "boolean"), "number"
)  # of what pandas says of a column
KINDS |= dict.fromkeys(("string", "categorical"), "category")


class Table:
    """A file of named columns, read whole into a pandas DataFrame."""

    def __init__(self, path: Path, frame: Any) -> None:
        self.path, self.frame = path, frame
        self.names: list[str] = list(frame)

    def kind(self, name: str) -> str:
        """What a column holds, as far as the content tells: number, category, mixed (numbers among
        words), or more.
        """
        import pandas

        found = pandas.api.types.infer_dtype(self.frame[name], skipna=True)
        return KINDS.get(found, found)

    def parsed(self, name: str) -> tuple[Array, Array]:
        """A column as numbers, NaN where there is none; and which of its cells hold something
        else.
        """
        column = self.frame[name]
        if self.kind(name) == "number":
            return column.to_numpy("float64", na_value=np.nan), np.zeros(len(column), bool)
        return np.full(len(column), np.nan), np.ones(len(column), bool)

    def columns(self, kinds: Mapping[str, str]) -> dict[str, Array]:
        """The columns asked for: numbers as float64, NaN where one is missing; categories as text,
        "" likewise.

        Raises:
            DataError: a column of numbers holds something else; the first such cell is named.
        """
        return {
            name: self._texts(name) if kind == "category" else self._numbers(name)
            for name, kind in kinds.items()
        }

    def row(self, number: int) -> str:
        """Where the row of that number (from 0) stands, for messages."""
        return f"row {number + 1}"

    def _texts(self, name: str) -> Array:
        column = self.frame[name].astype(object)
        return np.where(column.isna(), "", column.map(str)).astype(object)

    def _numbers(self, name: str) -> Array:
        numbers, wrong = self.parsed(name)
        for row in np.flatnonzero(wrong | (np.abs(numbers) > LARGEST))[:1]:
            where = f"{self.path}, {self.row(row)}, column '{name}'"
            found = short(repr(str(self.frame[name].iloc[row])))
            raise DataError(f"{where}: {found} is no finite number of single precision")
        return numbers


def open_table(
    path: Path, separator: str = ",", decimal: str = ".", width: int | None = None
) -> Table:
    """A table in a file.

    Args:
        path: its suffix tells which.
        separator: of the columns of a CSV.
        decimal: point or comma of the numbers of a CSV.
        width: how many columns are wanted of a file that may have no header; None: the first line
            is one.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if path.suffix.lower() in PARQUET:
            return _parquet(path)
        if path.suffix.lower() == ".csv":
            return _Csv(path, separator, decimal, width)
        if path.suffix.lower() == ".npz":
            return _npz(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    raise DataError(f"{path} is no table; its name must end in {', '.join(FORMATS)}")


def load_arrays(path: Path, *names: str) -> list[Array]:
    """The arrays of those names in an .npz file or, where none is asked for, `x` or its only one.

    Raises:
        DataError: it cannot be read, or has no such array. Nothing is unpickled.
    """
    with _opened(path) as found:
        wanted = names or (
            ("x",) if "x" in found.files or len(found.files) != 1 else tuple(found.files)
        )
        for name in wanted:
            if name not in found.files:
                raise DataError(f"{path}: {unknown('array', name, found.files)}")
        return [found[name] for name in wanted]


def parquet(path: Path) -> Any:
    """The module pyarrow.parquet; raises DataError where it is not installed."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"{path}: needs pyarrow: pip install 'keras-experiment-runner[parquet]' (the extra `parquet`)"
        ) from error


def is_unsplit(names: Sequence[str]) -> bool:
    """Whether columns were perhaps not told apart, for want of the right separator."""
    return len(names) == 1 and bool({*";\t|"} & {*names[0]})


class _Csv(Table):
    """A CSV file in UTF-8 with a header, or perhaps without one."""

    def __init__(self, path: Path, separator: str, decimal: str, width: int | None) -> None:
        first, self.lines = _scan(path, separator)
        has_header = width is None or _is_header(path, first)
        names = (
            [name.strip() for name in first]
            if has_header
            else [str(place + 1) for place in range(len(first))]
        )
        self.lines = self.lines[has_header:]
        self._how: dict[str, Any] = {
            "names": _once(path, names),
            "header": 0 if has_header else None,
            "sep": separator,
        }
        self._how |= {
            "decimal": decimal,
            "encoding": "utf-8-sig",
            "index_col": False,
            "na_filter": False,
            "skipinitialspace": True,
        }
        super().__init__(path, self._read(path))

    def kind(self, name: str) -> str:
        numbers, wrong = self.parsed(name)
        return "number" if not wrong.any() else "category" if np.isnan(numbers).all() else "mixed"

    def parsed(self, name: str) -> tuple[Array, Array]:
        import pandas

        column = self.frame[name]
        if column.dtype.kind in "if":
            return column.to_numpy("float64"), np.zeros(len(column), bool)
        texts = column.astype(str).str.strip().str.replace(self._how["decimal"], ".", regex=False)
        missing = texts.isin(NOTHING)
        numbers = pandas.to_numeric(texts.mask(missing), errors="coerce").to_numpy("float64")
        return numbers, np.isnan(numbers) & ~missing.to_numpy()

    def columns(self, kinds: Mapping[str, str]) -> dict[str, Array]:
        words = [
            name
            for name, kind in kinds.items()
            if kind == "category" and self.frame[name].dtype.kind in "ifb"
        ]
        if words:
            self.frame[words] = self._read(self.path, usecols=words, dtype=str)[
                words
            ]  # as they are written: 01, TRUE
        return super().columns(kinds)

    def row(self, number: int) -> str:
        return f"row {number + 1} (line {self.lines[number]})"

    def _read(self, path: Path, **how: Any) -> Any:
        """The columns as pandas finds them: of numbers alone, or of text as it is written."""
        import pandas

        return pandas.read_csv(path, low_memory=False, **self._how, **how)


def _scan(path: Path, separator: str) -> tuple[list[str], "array[int]"]:
    """The cells of the first line, and the number of the line on which each row ends; refuses what
    is not whole.
    """
    first: list[str] = []
    lines, blank = array("q"), 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=separator)
        try:
            for cells in reader:
                line = reader.line_num
                if not cells:
                    blank = blank or line
                    continue
                if blank and first:
                    raise DataError(
                        f"{path}, line {blank} is blank: a row is missing, or the line is to be deleted"
                    )
                first = first or cells
                if len(cells) != len(first):
                    where = f"{path}, row {len(lines)} (line {line})"
                    hint = "; is another separator meant?" if is_unsplit(first) else ""
                    raise DataError(
                        f"{where} has {len(cells)} values; the first line has {len(first)}{hint}"
                    )
                blank = 0
                lines.append(line)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {_first_undecodable(path)} is not UTF-8; save the file as UTF-8"
            ) from error
        except csv.Error as error:
            what = f"{path}, line {reader.line_num}: {error}; it is no CSV, or was cut off"
            raise DataError(what) from error
    if not first:
        raise DataError(f"{path} is empty")
    return first, lines


def _is_header(path: Path, cells: list[str]) -> bool:
    """Whether the first line names the columns, where their names are not known."""
    texts = [cell for cell in cells if not is_number(cell)]
    counted = len(cells) > 1 and cells == [str(place) for place in range(len(cells))]
    if counted or 0 < len(texts) < len(cells):
        what = (
            "counts from 0" if counted else f"holds both numbers and other text ({texts[0]!r:.40})"
        )
        raise DataError(
            f"{path}: line 1 {what}: name the columns by texts that are no numbers, or give a row of numbers"
        )
    return bool(texts)


def _first_undecodable(path: Path) -> int:
    """The number of the first line that is not UTF-8: a decoder reads ahead."""
    with path.open("rb") as lines:
        return next(
            number
            for number, line in enumerate(lines, 1)
            if line.decode(errors="ignore").encode() != line
        )


def is_number(cell: str) -> bool:
    """Whether the text of a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python alone reads 1_000 as a number


def _once(path: Path, names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path} has several columns '{name}'; rename or delete all but one")
    return names


def _parquet(path: Path) -> Table:
    try:
        found = parquet(path).ParquetFile(path).read()
    except (
        ValueError,
        NotImplementedError,
    ) as error:  # as ArrowInvalid and ArrowNotImplementedError are
        raise DataError(f"cannot read {path} as Parquet: {error}") from error
    _once(path, found.column_names)
    return Table(
        path, found.to_pandas(ignore_metadata=True, integer_object_nulls=True)
    )  # 1 is no 1.0 as a category


def _npz(path: Path) -> Table:
    import pandas

    with _opened(path) as found:
        arrays = {name: found[name] for name in found.files}
    lengths = {len(column) for column in arrays.values() if column.ndim == 1}
    for name, column in arrays.items():
        if column.ndim != 1 or len(lengths) > 1:
            what = "as a table, it holds columns of equal length"
            raise DataError(f"{path}: the array '{name}' has the shape {column.shape}; {what}")
    return Table(path, pandas.DataFrame(arrays))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array without a name")
        with found:
            yield found
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise DataError(f"cannot read {path} as an .npz file of plain arrays: {error}") from error
