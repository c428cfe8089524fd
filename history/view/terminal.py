"""A page as a terminal shows it: text as it is, never read as markup or control codes."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box, cells, console, padding, segment, style, table, text

from foundation import escape
from history.view.page import Facts, Page, Part, Table, Text
from history.view.text import pairs


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
