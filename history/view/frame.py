"""Entries as one table, a row each: CSV for spreadsheets, a DataFrame for notebooks."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from history import Entry, escape, files, trees

if TYPE_CHECKING:
    import pandas


def columns_of(rows: Iterable[Mapping[str, files.Json]]) -> list[str]:
    """Return the keys of all rows as they come, `id` and `created` first and those of one section
    together.
    """
    keys = dict.fromkeys(["id", "created", *(key for row in rows for key in row)])
    sections = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    return sorted(keys, key=lambda key: sections.index(key.partition(".")[0]))


def to_csv(entries: Iterable[Entry]) -> bytes:
    """Return the entries as CSV in UTF-8 (RFC 4180) with a header; what an entry lacks is empty.
    A spreadsheet runs nothing of it.
    """
    rows = [trees.flat(entry.document) for entry in entries]
    columns = columns_of(rows)
    lines: list[list[files.Json]] = [
        [*columns],
        *([row.get(column) for column in columns] for row in rows),
    ]
    return files.to_csv([escape.spreadsheet_cell(cell) for cell in line] for line in lines).encode()


def to_frame(entries: Iterable[Entry]) -> "pandas.DataFrame":
    """Return the entries as a table with the columns of the CSV; `created` is a time in UTC."""
    import pandas

    rows = [trees.flat(entry.document) for entry in entries]
    frame = pandas.DataFrame(rows, columns=columns_of(rows))
    return frame.assign(
        created=pandas.to_datetime(frame["created"], format="ISO8601", utc=True, errors="coerce")
    )
