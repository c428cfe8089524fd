"""A page as a terminal shows it: text as it is, never read as markup or control codes."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich import box, cells, console, padding, segment, style, table, text

from foundation import escape
from history.view.page import Facts, Page, Part, Table, Text
from history.view.text import pairs

NAMES = ("id", "entry", "pipeline", "experiment", "name")  # columns of names, which may be long


def render(content: Page, wide: bool = False) -> str:
    """Return the page as it looks in this terminal or, without one, as wide as it needs to be.

    Sections that have nothing to show are left out. Arguments: `wide`, whether the lines of tables
    may be longer than the terminal is wide.
    """
    terminal = console.Console(
        # Where nobody looks, a row is one line, to be searched and cut.
        width=None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else 10_000,
        color_system=None if os.environ.get("NO_COLOR") else "auto",  # bold is told by it as well
        highlight=False,
        markup=False,
        emoji=False,
    )
    with terminal.capture() as captured:
        for section in content.sections:
            if not section.is_empty():
                if section.title:
                    terminal.print(text.Text(escape.printable(section.title), "bold"), crop=False)
                for part in section.parts:
                    terminal.print(_part(part, terminal, wide), crop=False, end="")
                terminal.print()
    return "".join(f"{line.rstrip()}\n" for line in captured.get().rstrip().splitlines())


def _part(part: Part, terminal: console.Console, wide: bool) -> console.RenderableType:
    if isinstance(part, Facts):
        return _fact_list(part)
    if isinstance(part, Text):
        return _paragraphs(part)
    if part.folds:
        return _folded(part)
    room = sys.maxsize if wide else terminal.width
    return console.Group(*_lines(part, room, terminal.options.ascii_only))


def _paragraphs(part: Text) -> console.RenderableType:
    lines = escape.printable(part.lines, newlines=True)
    paragraphs = text.Text(lines, part.style, overflow="fold")
    return padding.Padding.indent(paragraphs, part.indent)


def _folded(content: Table) -> table.Table:
    """Return a table whose cells fold where the terminal is narrow."""
    grid = table.Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in content.columns:
        grid.add_column(_text(column), overflow="fold")
    for row in content.rows:
        grid.add_row(*map(_text, row))
    return grid


def _fact_list(facts: Facts) -> table.Table:
    grid = table.Table.grid(padding=(0, 2, 0, 0))
    for key, value in facts.known().items():
        grid.add_row(_text(f"  {key}"), _text(pairs(value), newlines=True))
    return grid


def _text(words: str, newlines: bool = False) -> text.Text:
    return text.Text(escape.printable(words, newlines), overflow="fold")


class _Column(NamedTuple):
    cells: list[str]  # the header first
    width: int


def _column(column: Sequence[str]) -> _Column:
    return _Column(list(column), max(map(cells.cell_len, column)))


def _lines(content: Table, room: int, is_ascii: bool) -> Iterator[console.RenderableType]:
    """Yield a table of one line per row, with the header and a rule. Where there is no room for it,
    long names lose their middle; then the spare columns are left out, as is said below; others
    follow in blocks that begin with the first column again.

    It is written in plain code, since rich's own table takes a millisecond a row.
    """
    columns = [
        _column(list(map(escape.printable, column)))
        for column in zip(content.columns, *content.rows, strict=True)
    ]
    if not _fit(columns, room):
        columns = [_shortened(column) for column in columns]
    for name in content.spare:
        if not _fit(columns, room):
            columns = [column for column in columns if column.cells[0] != name]
    for number, block in enumerate(_blocks(columns, room)):
        gap = "   " if _fit(block, room, gap=3) else "  "
        padded = [[cells.set_cell_size(c, column.width) for c in column.cells] for column in block]
        header, *rows = [gap.join(row) for row in zip(*padded, strict=True)]
        rule = ("-" if is_ascii else "─") * cells.cell_len(header)
        if number:
            yield segment.Segments([segment.Segment("\n")])
        body = "\n".join(["", rule, *rows, ""])
        bold = style.Style(bold=True)
        yield segment.Segments([segment.Segment(header, bold), segment.Segment(body)])
    shown = [column.cells[0] for column in columns]
    hidden = [name for name in map(escape.printable, content.columns) if name not in shown]
    if hidden:
        yield text.Text(f"--wide shows more: {', '.join(hidden)}", style="dim")


def _blocks(columns: Sequence[_Column], room: int) -> list[list[_Column]]:
    """Return the columns that stand beside each other, block by block."""
    first, *others = columns
    blocks = [[first]]
    for column in others:
        if len(blocks[-1]) > 1 and not _fit([*blocks[-1], column], room):
            blocks.append([first])
        blocks[-1].append(column)
    return blocks


def _fit(columns: Sequence[_Column], room: int, gap: int = 2) -> bool:
    """Say whether there is room for columns, with a gap between them."""
    return sum(column.width for column in columns) + gap * (len(columns) - 1) <= room


def _shortened(column: _Column) -> _Column:
    if column.cells[0] not in NAMES:
        return column
    return _column([_without_middle(cell) for cell in column.cells])


def _without_middle(cell: str) -> str:
    return f"{cell[:7]}…{cell[-8:]}" if len(cell) > 16 else cell
