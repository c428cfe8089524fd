"""Files of named columns: CSV, Parquet, and .npz files in which each array is a column; for
training and for predictions alike.

pandas reads the values. What it lets pass in a CSV, a line that was cut off or a blank one, is
refused before: no row may be missing, and nobody notice. Parquet needs pyarrow, which is imported
where it is used.
"""

import csv
import functools
import importlib
import math
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas

from foundation import errors, escape, files
from runner.config import schema
from runner.data import dataset, numerals
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


Styles: TypeAlias = Mapping[str, numerals.Style]


class Table:
    """A file of named columns, read whole into a pandas DataFrame. Of a CSV, which has no types,
    `lines` are those on which the rows end, and `how` it was read by pandas. `styles` are how
    numbers are written where they are not plain, and `doubts` say of columns why that cannot be
    told.
    """

    def __init__(
        self,
        path: Path,
        dialect: schema.Dialect,
        frame: pandas.DataFrame,
        lines: dataset.Array | None = None,
        how: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.dialect, self.frame, self.lines, self.how = path, dialect, frame, lines, how
        self.names = [str(name) for name in frame]
        self.styles, self.doubts = dict[str, numerals.Style](), dict[str, str]()
        self.styled = False  # styles are those of another file, and there are no more
        self.asked: Collection[str] = ()  # columns that were said to be numbers
        self._written = functools.cache(self._of_texts)
        if again := {str(name) for name in frame.columns[frame.columns.duplicated()]}:
            raise DataError(
                f"{path} has several columns {', '.join(map(repr, sorted(again)))}; rename or "
                "delete all but one"
            )

    def parsed(self, name: str) -> tuple[str, dataset.Array, dataset.Array]:
        """Return what a column holds, as far as the content tells: number, category, date, mixed
        (numbers among words), empty, or more; it as numbers, NaN where there is none; and which of
        its cells hold something else.
        """
        column, none = self.frame[name], np.zeros(len(self.frame), bool)
        said = pandas.api.types.infer_dtype(column, skipna=True)
        kind = KINDS.get(said, said)
        if kind == "category" or (self.how and (said == "boolean" or name in self.styles)):
            return self._written(name)
        if kind == "number":
            return kind, column.to_numpy("float64", na_value=np.nan), none
        return kind, none * np.nan, ~none

    def _of_texts(self, name: str) -> tuple[str, dataset.Array, dataset.Array]:
        """Return the same of a column of texts."""
        texts, numbers = (
            self._column(name).astype(str).str.strip(),
            np.full(len(self.frame), np.nan),
        )
        there = ~texts.isin(NOTHING).to_numpy()
        codes, different = pandas.factorize(texts[there])
        words, dialect = pandas.Series(different, dtype=str), self.dialect
        odd = words.str.contains(  # typed text is no number
            ("," if dialect.decimal == "." else ".") if self.how else "", regex=False
        )
        points = words.mask(odd).str.replace(dialect.decimal, ".", regex=False)
        plain = pandas.to_numeric(points, errors="coerce").to_numpy("float64")
        if np.isnan(plain).any() or (
            dialect.decimal == ","
            and words.str.contains(",").any()
            and words.str.fullmatch(numerals.GROUPED).all()
        ):
            if not self.styled and words.str.fullmatch(ISO).all():
                return "date", numbers, there
            found = numerals.cells(words)
            if not self.styled:
                style, (place, why) = numerals.style_of(
                    found, dialect.decimal, dialect.thousands, asked=name in self.asked
                )
                if style and (self.how or style.unit or style.thousands or name in self.asked):
                    self.styles[name] = style
                elif why:
                    at = self.place(np.flatnonzero(there)[codes == place][0], name)
                    self.doubts[name] = f"{at}: {why}"
            if name in self.styles:
                plain = self.styles[name].values(found)
        numbers[there] = plain[codes]
        wrong = there & np.isnan(numbers)
        if name in self.doubts:  # its cells are numbers all the same
            return "mixed", numbers, there
        return OF_CELLS[bool((there & ~wrong).any()), bool(wrong.any())], numbers, wrong

    def _column(self, name: str) -> "pandas.Series[Any]":
        """Return a column as text, as it is written: 01, TRUE; "" where nothing is."""
        if self.how and self.frame[name].dtype.kind in "ifb":
            self.frame[name] = pandas.read_csv(
                self.path, **self.how, usecols=[self.names.index(name)], dtype=str
            ).squeeze("columns")
        column = self.frame[name].astype(object)
        return column.map(str).where(column.notna(), "")

    def columns(
        self, kinds: Mapping[str, str], whole: Collection[str | None] = (), remedy: str = ""
    ) -> dict[str, dataset.Array]:
        """Return the columns asked for: numbers as float64, NaN where one is missing; dates as
        datetime64, NaT likewise; categories as text, "" likewise.

        Raises:
            DataError: columns of numbers or dates hold something else, or something is missing in
                those that must be `whole`; the first such cell of each is named.
        """

        def column(name: str) -> dataset.Array:
            readers = {"category": self._texts, "text": self._texts, "date": self._dates}
            found = readers.get(kinds[name], self._numbers)(name)
            if name in whole and (gaps := missing(found)).any():
                raise DataError(
                    f"{self.place(int(gaps.argmax()), name)}: "
                    f"a {NOUNS[found.dtype.kind]} is missing, "
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

    def _texts(self, name: str) -> dataset.Array:
        if pandas.api.types.infer_dtype(self.frame[name].astype(object), True) in NO_WORDS:
            raise DataError(
                f"{self.path}: column '{name}' holds lists, structs or bytes; "
                "store it as numbers or text, or leave it out (ignore)"
            )
        return self._column(name).to_numpy(object)

    def _dates(self, name: str) -> dataset.Array:
        column, texts = self.frame[name], self._column(name).str.strip()
        found = pandas.to_datetime(
            column if column.dtype.kind == "M" else texts.mask(texts.isin(NOTHING)),
            format="ISO8601",
            utc=True,
            errors="coerce",
        )
        self._refuse(
            name,
            (found.isna() & ~texts.isin(NOTHING)).to_numpy(),
            "is not an ISO 8601 date such as 2026-11-24",
        )
        return found.dt.tz_localize(None).to_numpy("datetime64[s]")

    def _numbers(self, name: str) -> dataset.Array:
        _, numbers, wrong = self.parsed(name)
        if name in self.doubts:
            raise DataError(self.doubts[name])
        wrong = wrong | (np.abs(numbers) > np.finfo("float32").max)
        self._refuse(name, wrong, "is not a finite single-precision number")
        return numbers

    def _refuse(self, name: str, wrong: dataset.Array, what: str) -> None:
        """Raise DataError where cells of a column are wrong, with the first one and their count."""
        if wrong.any():
            cell = str(self.frame[name].iloc[row := int(wrong.argmax())])
            more = f"; {wrong.sum():,} cells are not" if wrong.sum() > 1 else ""
            raise DataError(f"{self.place(row, name)}: {short(repr(cell))} {what}{more}")


def _csv(path: Path, dialect: schema.Dialect) -> Table:
    """Return a CSV file with a header."""
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
    # the columns as pandas finds them: of numbers alone, or of text as it is written
    frame = pandas.read_csv(path, **how, dtype=str if dialect.decimal == "," else None)
    return Table(path, dialect, frame.set_axis(names, axis=1), lines, how)


def open_table(
    path: Path,
    dialect: schema.Dialect | None = None,
    *,
    asked: Collection[str] = (),
    styles: Styles | None = None,
) -> Table:
    """Return the table in a file.

    Args:
        path: its suffix tells which.
        dialect: how it is written.
        asked: columns that were said to be numbers.
        styles: how numbers are written, where they are not plain, if another file has told that.

    Raises:
        DataError: it cannot be read, has two columns of one name, or no rows.
    """
    kind, dialect = path.suffix.lower(), dialect or schema.Dialect()
    if kind not in FORMATS:
        raise DataError(f"{path} is not a table; its name must end in {', '.join(FORMATS)}")
    try:
        regular(path)
        if kind == ".csv":
            table = _csv(path, dialect)
        elif kind == ".npz":
            table = Table(path, dialect, pandas.DataFrame(load_arrays(path)))
        else:
            # integer objects: 1 is no 1.0 as a category
            how = {"ignore_metadata": True, "integer_object_nulls": True}
            table = Table(path, dialect, parquet(path).ParquetFile(path).read().to_pandas(**how))
    except (OSError, ValueError, NotImplementedError) as error:  # as pyarrow's own errors are
        raise DataError(f"cannot read {path} as a table: {error}") from error
    if table.frame.empty:
        raise DataError(f"{path} holds no rows")
    table.asked, table.styled = asked, styles is not None
    table.styles |= styles or {}
    return table


def load_arrays(path: Path, *names: str) -> dict[str, dataset.Array]:
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
            dataset.must_fit(
                sum(info.file_size for info in wanted.values()), "they", "smaller file"
            )
            return {name: _array(file, info) for name, info in wanted.items()}
    except Exception as error:  # a file that means harm finds more than those of its format
        raise DataError(f"cannot read {path} as an .npz file of plain arrays: {error}") from error


def _array(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> dataset.Array:
    with file.open(info) as member:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(member)](member)
        size = info.file_size - member.tell()
        if not dtype.itemsize or math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{info.filename} claims to hold {shape} of {dtype}: {size} bytes")
        member.seek(0)
        return np.lib.format.read_array(member, allow_pickle=False)


def regular(path: Path) -> Path:
    """Return the path of a file; raises DataError where something else is there, such as a FIFO,
    which a reader would wait for.
    """
    if not path.is_file() and path.exists():
        raise DataError(f"{path} is not a regular file (but a folder, FIFO or device)")
    return path


def save_table(path: Path, columns: Mapping[str, dataset.Array]) -> None:
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


def missing(column: dataset.Array) -> dataset.Array:
    """Return which cells of a column lack a value."""
    return column == "" if dataset.is_text(column) else np.isnan(column)


def _scan(path: Path, dialect: schema.Dialect) -> tuple[list[str], dataset.Array]:
    """Return the names in the first line, and the number of the line on which each row ends; refuse
    what is not whole.
    """
    with path.open(encoding=dialect.codec, newline="\n") as lines:
        reader = csv.reader(lines, delimiter=dialect.separator, skipinitialspace=True, strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            widths, ends = np.fromiter(
                ((len(cells), reader.line_num) for cells in reader), np.dtype((int, 2))
            ).T
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
    rows = np.flatnonzero(widths).max(initial=-1) + 1  # blank lines at the end are none
    odd = np.flatnonzero(widths[:rows] != len(names))
    for row in odd[:1]:
        raise DataError(
            f"{path}, row {row + 1} (line {ends[row]}) has {widths[row]} values; the first line "
            f"has {len(names)}; is data.separator "
            f"right?{f' {len(odd):,} rows are such' if len(odd) > 1 else ''}"
        )
    return names, ends[:rows]
