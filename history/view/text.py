"""How values look to a person: text as it is, never read as markup or control codes; readable
numbers.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from rich import box, cells, console, padding, segment, style, table, text

from foundation import errors, escape, files
from history import Entry, ranking, registry
from history.view.page import Facts, Page, Part, Table, Text


def render(content: Page) -> str:
    """Return the text as it looks in this terminal or, without one, as wide as it needs to be."""
    terminal = console.Console(
        # Where nobody looks, a row is one line, to be searched and cut.
        width=None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else 10_000,
        color_system=None if os.environ.get("NO_COLOR") else "auto",  # bold is told by it as well
        highlight=False,
        markup=False,
        emoji=False,
    )
    with terminal.capture() as captured:
        terminal.print(printed(content), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().rstrip().splitlines())


def number(value: object) -> str:
    """Return a number with four decimals, or in exponent form where these would say little."""
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-4 <= abs(value) < 1e6 else f"{value:.3e}"


def measured(entry: Entry, part: str, metric: str) -> str:
    """Return a metric over the rows of a part, as `shown` has it."""
    return shown(ranking.measurement(entry, part, metric))


def shown(found: ranking.Score) -> str:
    """Return a mean, with its standard deviation where several repeats give one."""
    return number(found.mean) + (
        f" ± {number(found.deviation)}"
        if None not in (found.mean, found.deviation) and found.repeats > 1
        else ""
    )


def not_better(entry: Entry, metric: str, direction: ranking.Direction) -> str:
    """Say it where an entry is not better than the best of its baselines, beyond noise as far as
    that is known; "" where it is, or has none.
    """
    own = ranking.measurement(entry, "validation", metric)
    name, best = ranking.baseline(entry, metric, direction) or ("", None)
    near = ranking.indistinguishable(own, ranking.Score(best, 0.0, own.repeats))
    gain = ranking.merit(own.mean, direction) - ranking.merit(best, direction)
    if own.mean is None or (gain > 0 and not near):  # infinite without baselines
        return ""
    return (
        f"{entry.pipeline} does not beat the baseline {name}{' beyond noise' * bool(near)}: "
        f"{metric} {shown(own)} against {number(best)}"
    )


def ranked_by(entry: Entry) -> tuple[str, ranking.Direction]:
    """Return the metric that entries like this one are ranked by and its direction: its manager's
    or, where it lacks that or the manager is not installed, the first it has.
    """
    metrics = entry.value("validation.metrics", {})
    with suppress(errors.RegistryError):
        own = registry.manager_class(entry.manager or entry.task)
        metric = own.ranking if own.ranking in metrics else next(iter(metrics), own.ranking)
        return metric, own.metrics.get(metric, "max")
    return next(iter(metrics), ""), "max"


def duration(seconds: float) -> str:
    """Return a time to be read at a glance: `12.3 s`, `14 min` or `2.5 h`; none as `-`."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds else "-"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def rounded(cell: str) -> str:
    """Return a number of a report rounded to be read; its file has every digit."""
    try:
        return cell if cell.lstrip("-").isdecimal() else number(float(cell))
    except ValueError:
        return cell


def bars(values: Sequence[float], width: int = 40) -> str:
    """Return numbers as bars beside each other, the last one among them; of more than there is room
    for, some.
    """
    shown = values[:: -(-len(values) // width) * -1][::-1]
    low, span = min(shown), (max(shown) - min(shown)) or 1
    return "".join("▁▂▃▄▅▆▇█"[int((value - low) / span * 7.99)] for value in shown)


def local_time(created: str) -> str:
    """Return an ISO 8601 time as local time, to the minute."""
    return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")


def brief(value: files.Json) -> str:
    """Return a value of a hyperparameter, or another fact, as it is read."""
    return f"{value:.5g}" if isinstance(value, float) else pairs(value)


def pairs(values: files.Json) -> str:
    """Return nested values on one line: `a=1, b=2`."""
    if isinstance(values, Mapping):
        return ", ".join(f"{key}={pairs(value)}" for key, value in values.items()) or "{}"
    if isinstance(values, list):
        return ", ".join(map(pairs, values)) or "[]"
    return "-" if values is None else str(values)


def printed(content: Page) -> console.Group:
    """Return a page as rich prints it; sections that have nothing to show are left out."""
    blocks: list[console.RenderableType] = []
    for section in content.sections:
        if section.is_empty():
            continue
        if section.title:
            blocks.append(text.Text(escape.printable(section.title), "bold"))
        for part in section.parts:
            blocks.append(_part(part))
        blocks.append(text.Text())
    return console.Group(*blocks)


def _part(part: Part) -> console.RenderableType:
    if isinstance(part, Facts):
        return _fact_list(part)
    if isinstance(part, Text):
        return _paragraphs(part)
    return _folded(part) if part.folds else Lines(part)


def _paragraphs(part: Text) -> console.RenderableType:
    lines = escape.printable(part.lines, newlines=True)
    paragraphs = text.Text(lines, part.style, overflow="fold")
    return padding.Padding.indent(paragraphs, part.indent) if part.indent else paragraphs


def _folded(content: Table) -> table.Table:
    """Return a table whose cells fold where the terminal is narrow."""
    grid = table.Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in content.columns:
        grid.add_column(text.Text(escape.printable(column)), overflow="fold")
    for row in content.rows:
        grid.add_row(*(text.Text(escape.printable(cell)) for cell in row))
    return grid


def _fact_list(facts: Facts) -> table.Table:
    grid = table.Table.grid(padding=(0, 2, 0, 0))
    for key, value in facts.known().items():
        name = text.Text(f"  {escape.printable(key)}", overflow="fold")
        shown_value = escape.printable(pairs(value), newlines=True)
        grid.add_row(name, text.Text(shown_value, overflow="fold"))
    return grid


NAMES = ("id", "entry", "pipeline", "experiment", "name")  # columns of names, which may be long


@dataclass(frozen=True)
class Lines:
    """Prints a table of one line per row. Where a terminal has no room for it, long names lose
    their middle; then the spare columns are left out, as is said below; others follow in blocks
    that begin with the first column again.

    It is written in plain code, since rich's own table takes a millisecond a row.
    """

    table: Table

    def __rich_console__(
        self, _: console.Console, options: console.ConsoleOptions
    ) -> console.RenderResult:
        """Yield of each block the header, a rule and the lines."""
        layout = _Layout(self.table, options.max_width)
        rule = "-" if options.ascii_only else "─"
        blocks = layout.blocks()
        for block in blocks:
            header, *rows = layout.lines(block)
            lines = [rule * cells.cell_len(header), *rows]
            if block is not blocks[0]:
                yield segment.Segment("\n")
            yield segment.Segment(header, style.Style(bold=True))
            yield segment.Segment("\n" + "\n".join(lines) + "\n")
        hidden = layout.hidden()
        if hidden:
            yield text.Text(f"--wide shows more: {', '.join(hidden)}", style="dim")


class _Layout:
    """Which columns of a table are shown in a terminal's width, how wide, and beside which."""

    def __init__(self, content: Table, width: int) -> None:
        self.columns = content.columns
        self.room = sys.maxsize if content.spare is None else width
        self.grid = [
            [escape.printable(cell) for cell in column]
            for column in zip(content.columns, *content.rows, strict=True)
        ]
        self.widths = [_width(column) for column in self.grid]
        self.shown = list(range(len(self.grid)))
        if not self.fits(self.shown):
            self._shorten_names()
        for name in content.spare or ():
            if name in self.columns and not self.fits(self.shown):
                self.shown.remove(self.columns.index(name))

    def fits(self, columns: Sequence[int], gap: int = 2) -> bool:
        """Say whether there is room for columns, with a gap between them."""
        return sum(self.widths[n] for n in columns) + gap * (len(columns) - 1) <= self.room

    def _shorten_names(self) -> None:
        for n, column in enumerate(self.grid):
            if column[0] in NAMES:
                self.grid[n] = [_without_middle(cell) for cell in column]
                self.widths[n] = _width(self.grid[n])

    def blocks(self) -> list[list[int]]:
        """Return the columns that are shown beside each other, block by block."""
        blocks = [self.shown[:1]]
        for n in self.shown[1:]:
            if len(blocks[-1]) > 1 and not self.fits([*blocks[-1], n]):
                blocks.append(self.shown[:1])
            blocks[-1].append(n)
        return blocks

    def lines(self, block: Sequence[int]) -> list[str]:
        """Return the header and the rows of a block."""
        between = "   " if self.fits(block, gap=3) else "  "
        columns = [
            [cells.set_cell_size(cell, self.widths[n]) for cell in self.grid[n]] for n in block
        ]
        return [between.join(row) for row in zip(*columns, strict=True)]

    def hidden(self) -> list[str]:
        """Return the columns for which there was no room."""
        return [name for n, name in enumerate(self.columns) if n not in self.shown]


def _width(column: Sequence[str]) -> int:
    return max(cells.cell_len(cell) for cell in column)


def _without_middle(cell: str) -> str:
    return f"{cell[:7]}…{cell[-8:]}" if len(cell) > 16 else cell
