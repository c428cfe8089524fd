"""How values look to a person: text as it is, never read as markup or control codes; readable
numbers.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

WIDE = 10_000  # columns where nobody looks: a row is one line, to be searched and cut
BOLD = Style(bold=True)
GAP = "   "  # between the columns of entries


def render(content: RenderableType) -> str:
    """Return the text as it looks in this terminal or, without one, as wide as it needs to be."""
    fixed = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    console = Console(width=None if fixed else WIDE, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(content, crop=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().rstrip().split("\n"))


def printable(value: object, newlines: bool = False) -> str:
    """Return the value as text in which a terminal sees only characters to print."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or (newlines and letter == "\n") else repr(letter)[1:-1]
        for letter in text
    )


def number(value: object) -> str:
    """Return a number with four decimals, or in exponent form where these would say little."""
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-4 <= abs(value) < 1e6 else f"{value:.3e}"


def measured(mean: object, deviation: object, repeats: int) -> str:
    """Return the mean, with its standard deviation where several repeats give one."""
    spread = f" ± {number(deviation)}" if repeats > 1 and deviation is not None else ""
    return number(mean) + (spread if mean is not None else "")


def rounded(cell: str) -> str:
    """Return a number of a report rounded to be read; its file has every digit."""
    try:
        return cell if cell.lstrip("-").isdecimal() else number(float(cell))
    except ValueError:
        return cell


def local_time(created: str) -> str:
    """Return an ISO 8601 time as local time, to the minute; other text as it is."""
    try:
        return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return created


def duration(value: object) -> str:
    """Return a number of seconds with its unit."""
    return f"{value:.1f} s" if isinstance(value, int | float) else "-"


def pairs(values: object) -> str:
    """Return nested values on one line: `a=1, b=2`."""
    if isinstance(values, Mapping):
        return ", ".join(f"{key}={pairs(value)}" for key, value in values.items()) or "{}"
    if isinstance(values, list):
        return ", ".join(map(pairs, values)) or "[]"
    return "-" if values is None else str(values)


def text_table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    """Return a table whose cells fold where the terminal is narrow."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(Text(printable(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def fact_list(facts: Mapping[str, Any]) -> Table | None:
    """Return a line per fact that has a value, or None if none has."""
    rows = {key: pairs(value) for key, value in facts.items() if value not in (None, {}, [], "")}
    if not rows:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    for key, value in rows.items():
        table.add_row(
            Text(f"  {printable(key)}", overflow="fold"), Text(printable(value), overflow="fold")
        )
    return table


def indented(text: str, style: str = "") -> Padding:
    """Return a paragraph that is set in."""
    return Padding(Text(text, style=style, overflow="fold"), (0, 0, 0, 2))


def fold(text: str, width: int) -> list[str]:
    """Return the text as lines of at most that many cells, broken at spaces where there are any."""
    lines, line, used = [], "", 0
    for word in text.split(" "):
        size = cells(word)
        if line and used + 1 + size <= width:
            line, used = f"{line} {word}", used + 1 + size
            continue
        *full, last = chop_cells(word, width) if size > width else [word]
        lines += [line, *full] if line else full
        line, used = last, cells(last)
    return [*lines, line]


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    return len(text) if text.isascii() else cell_len(text)


@dataclass(frozen=True)
class EntryRows:
    """A row per entry as a table or, where the terminal is too narrow for one, as a paragraph each.

    Written in plain code, since rich's own table takes a millisecond a row. `below` has a text for
    each row, which stands under it, or is empty.
    """

    columns: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    below: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the one that fits."""
        columns = [_plain(column) for column in zip(self.columns, *self.rows, strict=True)]
        below = [_set_in(printable(text), options.max_width) for text in self.below] or [""] * len(
            self.rows
        )
        header, *lines = map(GAP.join, zip(*map(_padded, columns), strict=True))
        width = cells(header)
        if width > options.max_width:
            yield from _paragraphs(zip(*columns, strict=True), below, options.max_width)
            return
        yield Segment(header, BOLD)
        yield Segment(f"\n{('-' if options.ascii_only else '─') * width}\n")
        yield Segment("".join(f"{line}\n{text}" for line, text in zip(lines, below, strict=True)))


def _plain(column: Sequence[str]) -> Sequence[str]:
    return column if "".join(column).isprintable() else [printable(cell) for cell in column]


def _padded(column: Sequence[str]) -> list[str]:
    if "".join(column).isascii():
        width = max(map(len, column))
        return [cell.ljust(width) for cell in column]
    width = max(map(cells, column))
    return [cell + " " * (width - cells(cell)) for cell in column]


def _paragraphs(
    rows: Iterator[Sequence[str]], below: Sequence[str], width: int
) -> Iterator[Segment]:
    _, *names = next(rows)
    for (id, *said), text in zip(rows, below, strict=True):
        facts = " · ".join(
            f"{name} {cell}" for name, cell in zip(names, said, strict=True) if cell != "-"
        )
        yield Segment("\n".join(fold(id, width)), BOLD)
        yield Segment(f"\n{_set_in(facts, width)}{text}")


def _set_in(text: str, width: int) -> str:
    return "".join(f"  {line}\n" for line in fold(text, max(width - 2, 1)) if line)
