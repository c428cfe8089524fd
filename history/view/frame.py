"""Entries as one table, a row each: CSV for spreadsheets, a DataFrame for notebooks."""

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from history.entry import Entry
from history.files import to_json

if TYPE_CHECKING:
    import pandas

LEFT_OUT = (
    "search.space",
    "validation.runs",
    "identity",
)  # too large for a cell; the last two of older entries


def flat(document: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return dotted key → value for all that the document holds but LEFT_OUT; lists are JSON
    text.
    """
    found: dict[str, Any] = {}
    for name, value in document.items():
        key = f"{path}.{name}" if path else str(name)
        if key in LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            found |= flat(value, key)
        else:
            found[key] = to_json(value).decode() if isinstance(value, list) else value
    return found


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the keys of all rows as they come, `id` and `created` first and those of one section
    together.
    """
    keys = dict.fromkeys(["id", "created", *(key for row in rows for key in row)])
    places: dict[str, int] = {}

    def place(key: str) -> list[int]:
        sections = accumulate(key.split("."), "{}.{}".format)
        return [places.setdefault(section, len(places)) for section in sections]

    return sorted(keys, key=place)


def to_csv(entries: Iterable[Entry]) -> bytes:
    """Return the entries as CSV in UTF-8 (RFC 4180) with a header; what an entry lacks is empty.

    Text that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV
    Injection).
    """
    rows = [flat(entry.document) for entry in entries]
    columns = columns_of(rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(_harmless, columns))
    writer.writerows([_harmless(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().encode()


def to_frame(entries: Iterable[Entry]) -> "pandas.DataFrame":
    """Return the entries as a table with the columns of the CSV; `created` is a time in UTC."""
    import pandas

    rows = [flat(entry.document) for entry in entries]
    frame = pandas.DataFrame(rows, columns=columns_of(rows))
    frame["created"] = pandas.to_datetime(
        frame["created"], format="ISO8601", utc=True, errors="coerce"
    )
    return frame


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
