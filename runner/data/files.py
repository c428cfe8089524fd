"""Files of named columns: CSV, Parquet, and .npz files in which each array is a column; for
training and for predictions alike.

pandas reads the values. What it lets pass in a CSV, a line that was cut off or a blank one, is
refused before: no row may be missing, and nobody notice. Parquet needs pyarrow, which is imported
where it is used.
"""

import csv
import functools
import importlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from foundation import errors, escape, files
from runner.config import schema
from runner.data import limits, numerals
from runner.data.arrays import Array, is_text
from runner.data.npz import load_arrays
from runner.errors import DataError, Problem, gathered, short

PARQUET = (".parquet", ".pq")
FORMATS = (".csv", *PARQUET, ".npz")
# cells of a CSV that stand for a missing number
NOTHING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
# what pandas says of a column
KINDS = {
    "integer": "number",
    "floating": "number",
    "decimal": "number",
    "boolean": "number",
    "string": "category",
    "categorical": "category",
    "datetime64": "date",
    "datetime": "date",
    "date": "date",
}
# a date, perhaps with a time, that is meant as nothing else
ISO = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[-+]\d\d:?\d\d)?)?"
# whether numbers, and words, are in the cells of a CSV
OF_CELLS = {
    (True, False): "number",
    (False, True): "category",
    (True, True): "mixed",
    (False, False): "empty",
}
NOUNS = {"O": "word", "f": "number", "M": "date"}  # of a cell, by the type of its column
NO_WORDS = ("mixed", "bytes")  # it says so of lists and mappings, too


@dataclass(frozen=True)
class Cells:
    """What a column holds, as far as the content tells: number, category, date, mixed (numbers
    among words), empty, or another type of pandas; its numbers, NaN where a cell holds none; which
    cells hold something else; and why it is unclear how its numbers are written.
    """

    kind: str
    numbers: Array
    others: Array
    doubt: str = ""


@dataclass(eq=False)
class Table:
    """A file of named columns, read whole into a pandas DataFrame.

    `asked` are columns that the config says to be numbers. `styles` say how numbers are written
    where they are not plain; `styled`: they are those of another file, and there are no more. Of a
    CSV, which has no types, `lines` are those on which the rows end, and `how` are the arguments
    with which pandas read it.
    """

    path: Path
    dialect: schema.Dialect
    frame: pandas.DataFrame
    asked: Collection[str] = ()
    styles: dict[str, numerals.Style] = field(default_factory=dict)
    styled: bool = False
    lines: Array | None = None
    how: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.names = [str(name) for name in self.frame]
        self._written = functools.cache(self._of_texts)
        duplicates = {str(name) for name in self.frame.columns[self.frame.columns.duplicated()]}
        if duplicates:
            raise DataError(
                f"{self.path} has several columns {', '.join(map(repr, sorted(duplicates)))}; "
                "rename or delete all but one"
            )

    def parsed(self, name: str) -> Cells:
        """Return what a column holds."""
        column = self.frame[name]
        inferred = pandas.api.types.infer_dtype(column, skipna=True)
        kind = KINDS.get(inferred, inferred)
        is_written = self.how and (inferred == "boolean" or name in self.styles)
        if kind == "category" or is_written:
            return self._written(name)
        if kind == "number":
            numbers = column.to_numpy("float64", na_value=np.nan)
            return Cells(kind, numbers, np.zeros(len(column), bool))
        return Cells(kind, np.full(len(column), np.nan), np.ones(len(column), bool))

    def _of_texts(self, name: str) -> Cells:
        """Return what a column of texts holds."""
        texts = self._column(name).astype(str).str.strip()
        there = ~texts.isin(NOTHING).to_numpy()
        codes, distinct = pandas.factorize(texts[there])
        words = pandas.Series(distinct, dtype=str)
        values = self._plain(words)
        numbers = np.full(len(texts), np.nan)
        if np.isnan(values).any() or self._may_be_grouped(words):
            if not self.styled and words.str.fullmatch(ISO).all():
                return Cells("date", numbers, there)
            cells = numerals.split_cells(words)
            try:
                if not self.styled:
                    self._find_style(name, cells)
            except numerals.DoubtfulNumber as doubt:  # they are numbers all the same
                code, why = doubt.args
                row = np.flatnonzero(there)[codes == code][0]
                return Cells("mixed", numbers, there, f"{self.position(row, name)}: {why}")
            if name in self.styles:
                values = self.styles[name].values(cells)
        numbers[there] = values[codes]
        others = there & np.isnan(numbers)
        has_numbers = bool((there & ~others).any())
        return Cells(OF_CELLS[has_numbers, bool(others.any())], numbers, others)

    def _plain(self, words: "pandas.Series[str]") -> Array:
        """Return words as numbers, NaN where one is none with the decimal sign of the dialect; text
        of a file that has types is none.
        """
        if self.how is None:
            return np.full(len(words), np.nan)
        decimal = self.dialect.decimal
        is_odd = words.str.contains("," if decimal == "." else ".", regex=False)
        pointed = words.mask(is_odd).str.replace(decimal, ".", regex=False)
        return pandas.to_numeric(pointed, errors="coerce").to_numpy("float64")

    def _may_be_grouped(self, words: "pandas.Series[str]") -> bool:
        """Say whether each decimal comma may as well separate thousands."""
        has_commas = self.dialect.decimal == "," and words.str.contains(",").any()
        return bool(has_commas and words.str.fullmatch(numerals.GROUPED).all())

    def _find_style(self, name: str, cells: pandas.DataFrame) -> None:
        """Find out how the numbers of a column are written."""
        is_asked = name in self.asked
        style = numerals.style_of(cells, self.dialect, asked=is_asked)
        if style and (self.how or style.unit or style.thousands or is_asked):
            self.styles[name] = style

    def _column(self, name: str) -> "pandas.Series[Any]":
        """Return a column as text, as it is written: 01, TRUE; "" where nothing is."""
        if self.how and self.frame[name].dtype.kind in "ifb":
            column_number = self.names.index(name)
            again = pandas.read_csv(self.path, **self.how, usecols=[column_number], dtype=str)
            self.frame[name] = again.squeeze("columns")
        column = self.frame[name].astype(object)
        return column.map(str).where(column.notna(), "")

    def columns(
        self, kinds: Mapping[str, str], whole: Collection[str | None] = (), remedy: str = ""
    ) -> dict[str, Array]:
        """Return the columns asked for: numbers as float64, NaN where one is missing; dates as
        datetime64, NaT likewise; categories as text, "" likewise.

        Raises:
            DataError: columns of numbers or dates hold something else, or something is missing in
                those that must be `whole`; the first such cell of each is named.
        """

        def column(name: str) -> Array:
            readers = {"category": self._texts, "text": self._texts, "date": self._dates}
            values = readers.get(kinds[name], self._numbers)(name)
            gaps = np.flatnonzero(missing(values))
            if name in whole and len(gaps):
                raise DataError(
                    f"{self.position(gaps[0], name)}: a {NOUNS[values.dtype.kind]} is missing, "
                    f"the first of {len(gaps)}{remedy}"
                )
            return values

        return gathered(column, kinds)

    def require(self, names: Mapping[str, Iterable[str]]) -> None:
        """Raise DataError where columns are not there that keys of the config ask for."""
        problems = []
        for key, wanted in names.items():
            absent = [name for name in wanted if name not in self.names]
            if absent:
                nearest = errors.suggest(absent[0], self.names)
                what = (
                    f"{self.path} has no column {', '.join(map(repr, absent))}{nearest} "
                    f"(it has: {', '.join(self.names)})"
                )
                problems.append(Problem(key, what))
        if problems:
            raise DataError(problems)

    def position(self, row: int, name: str) -> str:
        """Return where the cell of a row (from 0) stands, for messages."""
        line = "" if self.lines is None else f" (line {self.lines[row]})"
        return f"{self.path}, row {row + 1}{line}, column '{name}'"

    def _texts(self, name: str) -> Array:
        if pandas.api.types.infer_dtype(self.frame[name].astype(object), True) in NO_WORDS:
            raise DataError(
                f"{self.path}: column '{name}' holds lists, structs or bytes; "
                "store it as numbers or text, or leave it out (ignore)"
            )
        return self._column(name).to_numpy(object)

    def _dates(self, name: str) -> Array:
        column = self.frame[name]
        texts = self._column(name).str.strip()
        is_nothing = texts.isin(NOTHING)
        dates = pandas.to_datetime(
            column if column.dtype.kind == "M" else texts.mask(is_nothing),
            format="ISO8601",
            utc=True,
            errors="coerce",
        )
        wrong = (dates.isna() & ~is_nothing).to_numpy()
        self._refuse(name, wrong, "is not an ISO 8601 date such as 2026-11-24")
        return dates.dt.tz_localize(None).to_numpy("datetime64[s]")

    def _numbers(self, name: str) -> Array:
        cells = self.parsed(name)
        if cells.doubt:
            raise DataError(cells.doubt)
        wrong = cells.others | (np.abs(cells.numbers) > np.finfo("float32").max)
        self._refuse(name, wrong, "is not a finite single-precision number")
        return cells.numbers

    def _refuse(self, name: str, wrong: Array, what: str) -> None:
        """Raise DataError where cells of a column are wrong, with the first one and their count."""
        rows = np.flatnonzero(wrong)
        if len(rows):
            cell = short(repr(str(self.frame[name].iloc[rows[0]])))
            more = f"; {len(rows):,} cells are not" if len(rows) > 1 else ""
            raise DataError(f"{self.position(rows[0], name)}: {cell} {what}{more}")


def open_table(
    path: Path,
    dialect: schema.Dialect,
    *,
    asked: Collection[str] = (),
    styles: Mapping[str, numerals.Style] | None = None,
) -> Table:
    """Return the table in a file.

    Args:
        path: its suffix tells which.
        dialect: how it is written.
        asked: columns that the config says to be numbers.
        styles: how numbers are written, where they are not plain, if another file has shown that.

    Raises:
        DataError: it cannot be read, has two columns of one name, or no rows.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise DataError(f"{path} is not a table; its name must end in {', '.join(FORMATS)}")
    lines = how = None
    try:
        limits.regular(path)
        if kind == ".csv":
            frame, lines, how = _csv(path, dialect)
        elif kind == ".npz":
            frame = pandas.DataFrame(load_arrays(path))
        else:
            file = parquet(path).ParquetFile(path)
            # integer objects: 1 is no 1.0 as a category
            frame = file.read().to_pandas(ignore_metadata=True, integer_object_nulls=True)
    except (OSError, ValueError, NotImplementedError) as error:  # as pyarrow's own errors are
        raise DataError(f"cannot read {path} as a table: {error}") from error
    table = Table(path, dialect, frame, asked, dict(styles or {}), styles is not None, lines, how)
    if frame.empty:
        raise DataError(f"{path} holds no rows")
    return table


def _csv(path: Path, dialect: schema.Dialect) -> tuple[pandas.DataFrame, Array, dict[str, Any]]:
    """Return a CSV file with a header: its columns as pandas finds them, of numbers alone or of
    text as it is written; the lines on which its rows end; and how it was read.
    """
    names, lines = _scan(path, dialect)
    how: dict[str, Any] = {
        "names": range(len(names)),
        "header": 0,
        "nrows": len(lines),
        "sep": dialect.separator,
        "encoding": dialect.codec,
        "index_col": False,
        "na_filter": bool(dialect.na_values),
        "na_values": dialect.na_values,
        "keep_default_na": False,
        "skipinitialspace": True,
        "skip_blank_lines": False,
        "low_memory": False,
    }
    frame = pandas.read_csv(path, **how, dtype=str if dialect.decimal == "," else None)
    return frame.set_axis(names, axis=1), lines, how


def _scan(path: Path, dialect: schema.Dialect) -> tuple[list[str], Array]:
    """Return the names in the first line, and the number of the line on which each row ends; refuse
    what is not whole.
    """
    with path.open(encoding=dialect.codec, newline="\n") as lines:
        reader = csv.reader(lines, delimiter=dialect.separator, skipinitialspace=True, strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            rows = ((len(cells), reader.line_num) for cells in reader)
            widths, ends = np.fromiter(rows, np.dtype((int, 2))).T
        except UnicodeDecodeError as error:
            read = lines.buffer.tell() - len(error.object)  # type: ignore[attr-defined]
            line = path.read_bytes().count(b"\n", 0, read + error.start) + 1
            raise DataError(
                f"{path}, line {line} is not {dialect.encoding.upper()}: byte "
                f"0x{error.object[error.start]:02x}; save the file as UTF-8, or set "
                "data.encoding, for example to cp1252 or utf-16"
            ) from error
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: {error}; it is not a CSV file, or was cut off"
            ) from error
    if not names:
        raise DataError(f"{path} is empty, or begins with a blank line")
    count = np.flatnonzero(widths).max(initial=-1) + 1  # blank lines at the end are none
    odd = np.flatnonzero(widths[:count] != len(names))
    if len(odd):
        row = odd[0]
        more = f" {len(odd):,} rows are such" if len(odd) > 1 else ""
        raise DataError(
            f"{path}, row {row + 1} (line {ends[row]}) has {widths[row]} values; the first line "
            f"has {len(names)}; is data.separator right?{more}"
        )
    return names, ends[:count]


def save_table(path: Path, columns: Mapping[str, Array]) -> None:
    """Write columns of equal length (an .npz: arrays) in the format of the path's suffix; in a CSV,
    no text is a formula of a spreadsheet.

    The file is replaced whole, or left as it was; raises OSError.
    """
    kind = path.suffix.lower()
    with files.atomic(path) as temporary:
        if kind == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **columns)
            return
        frame = pandas.DataFrame(columns)
        if kind == ".csv":
            for name, cells in columns.items():
                if cells.dtype.kind == "U":
                    frame[name] = frame[name].map(escape.spreadsheet_cell)
            frame.to_csv(temporary, index=False, lineterminator="\n")
        else:
            frame.to_parquet(temporary, index=False)


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
