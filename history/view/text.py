"""How values look to a person: text as it is, never read as markup or control codes; readable
numbers.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich import box, cells, padding, segment, style
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from history import Entry, escape, files, ranking


def render(content: RenderableType) -> str:
    """Return the text as it looks in this terminal or, without one, as wide as it needs to be."""
    console = Console(
        # Where nobody looks, a row is one line, to be searched and cut.
        width=None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else 10_000,
        highlight=False,
        markup=False,
        emoji=False,
    )
    with console.capture() as captured:
        console.print(content, crop=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().rstrip().splitlines())


def number(value: object) -> str:
    """Return a number with four decimals, or in exponent form where these would say little."""
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-4 <= abs(value) < 1e6 else f"{value:.3e}"


def measured(entry: Entry, part: str, metric: str) -> str:
    """Return a metric over the rows of a part, as `shown` has it."""
    return shown(ranking.measurement(entry, part, metric))


def shown(found: ranking.Measured) -> str:
    """Return a mean, with its standard deviation where several repeats give one."""
    known = None not in (found.mean, found.deviation) and found.repeats > 1
    return number(found.mean) + (f" ± {number(found.deviation)}" if known else "")


def not_better(entry: Entry, metric: str, direction: ranking.Direction) -> str:
    """Say it where an entry is not better than the best of its baselines, beyond noise as far as
    that is known; "" where it is, or has none.
    """
    own = ranking.measurement(entry, "validation", metric)
    name, best = ranking.baseline(entry, metric, direction) or ("", None)
    near = ranking.indistinguishable(own, ranking.Measured(best, 0.0, own.repeats))
    gain = ranking.merit(own.mean, direction) - ranking.merit(best, direction)
    if own.mean is None or (gain > 0 and not near):  # infinite without baselines
        return ""
    return (
        f"{entry.pipeline} does not beat the baseline {name}{' beyond noise' * bool(near)}: "
        f"{metric} {shown(own)} against {number(best)}"
    )


def rounded(cell: str) -> str:
    """Return a number of a report rounded to be read; its file has every digit."""
    try:
        return cell if cell.lstrip("-").isdecimal() else number(float(cell))
    except ValueError:
        return cell


def local_time(created: str) -> str:
    """Return an ISO 8601 time as local time, to the minute."""
    return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")


def pairs(values: files.Json) -> str:
    """Return nested values on one line: `a=1, b=2`."""
    if isinstance(values, Mapping):
        return ", ".join(f"{key}={pairs(value)}" for key, value in values.items()) or "{}"
    if isinstance(values, list):
        return ", ".join(map(pairs, values)) or "[]"
    return "-" if values is None else str(values)


def text_table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table whose cells fold where the terminal is narrow."""
    table = Table(
        *(Column(Text(escape.printable(column)), overflow="fold") for column in columns),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for row in rows:
        table.add_row(*(Text(escape.printable(cell)) for cell in row))
    return table


def fact_list(facts: Mapping[str, files.Json]) -> Table:
    """Return a row per fact that has a value (`-` is none)."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for key, value in facts.items():
        if value not in (None, {}, [], "", "-"):
            table.add_row(
                Text(f"  {escape.printable(key)}", overflow="fold"),
                Text(escape.printable(pairs(value), newlines=True), overflow="fold"),
            )
    return table


def indented(text: str) -> padding.Padding:
    """Return paragraphs that are set in, a line each."""
    return padding.Padding.indent(Text(escape.printable(text, newlines=True), overflow="fold"), 2)


@dataclass(frozen=True)
class EntryRows:
    """A table of one line per entry, which a narrow terminal wraps.

    It is written in plain code, since rich's own table takes a millisecond a row.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the header, a rule and the lines."""
        table = [[*map(escape.printable, row)] for row in (self.columns, *self.rows)]
        widths = [max(map(cells.cell_len, column)) for column in zip(*table, strict=True)]
        header, *lines = ("   ".join(map(cells.set_cell_size, row, widths)) for row in table)
        rule = ("-" if options.ascii_only else "─") * cells.cell_len(header)
        yield segment.Segment(header, style.Style(bold=True))
        yield segment.Segment("\n".join(["", rule, *lines, ""]))
