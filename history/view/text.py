"""How values look to a person: text as it is, never read as markup or control codes; readable
numbers.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from rich import box, cells, console, padding, segment, style, table, text

from foundation import errors, escape, files
from history import Entry, ranking, registry


def render(content: console.RenderableType) -> str:
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
        terminal.print(content, crop=False)
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


def text_table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> table.Table:
    """Return a table whose cells fold where the terminal is narrow."""
    made = table.Table(
        *(table.Column(text.Text(escape.printable(column)), overflow="fold") for column in columns),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for row in rows:
        made.add_row(*(text.Text(escape.printable(cell)) for cell in row))
    return made


def fact_list(facts: Mapping[str, files.Json]) -> table.Table:
    """Return a row per fact that has a value (`-` is none)."""
    grid = table.Table.grid(padding=(0, 2, 0, 0))
    for key, value in facts.items():
        if value not in (None, {}, [], "", "-"):
            grid.add_row(
                text.Text(f"  {escape.printable(key)}", overflow="fold"),
                text.Text(escape.printable(pairs(value), newlines=True), overflow="fold"),
            )
    return grid


def indented(lines: str) -> padding.Padding:
    """Return paragraphs that are set in, a line each."""
    return padding.Padding.indent(
        text.Text(escape.printable(lines, newlines=True), overflow="fold"), 2
    )


NAMES = ("id", "entry", "pipeline", "experiment", "name")  # columns of names, which may be long


@dataclass(frozen=True)
class EntryRows:
    """A table of one line per entry. Where a terminal has no room for it, long names lose their
    middle; then the columns named in `spare`, in that order, are left out, as is said below; others
    follow in blocks that begin with the first column again. None: the terminal wraps its lines.

    It is written in plain code, since rich's own table takes a millisecond a row.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    spare: Sequence[str] | None = ()

    def __rich_console__(
        self, _: console.Console, options: console.ConsoleOptions
    ) -> console.RenderResult:
        """Yield of each block the header, a rule and the lines."""
        grid = [
            [*map(escape.printable, column)]
            for column in zip(self.columns, *self.rows, strict=True)
        ]
        widths, shown = [max(map(cells.cell_len, column)) for column in grid], [*range(len(grid))]
        room = sys.maxsize if self.spare is None else options.max_width

        def fits(columns: Sequence[int], gap: int = 2) -> bool:
            return sum(widths[n] for n in columns) + gap * (len(columns) - 1) <= room

        for n in [] if fits(shown) else shown:
            if grid[n][0] in NAMES:
                grid[n] = [f"{c[:7]}…{c[-8:]}" if len(c) > 16 else c for c in grid[n]]
                widths[n] = max(map(cells.cell_len, grid[n]))
        for name in self.spare or ():
            if name in self.columns and not fits(shown):
                shown.remove(self.columns.index(name))
        blocks = [shown[:1]]
        for n in shown[1:]:
            if len(blocks[-1]) > 1 and not fits([*blocks[-1], n]):
                blocks.append(shown[:1])
            blocks[-1].append(n)
        for block in blocks:
            between = "   " if fits(block, gap=3) else "  "
            header, *lines = (
                between.join(cells.set_cell_size(cell, widths[n]) for n, cell in row)
                for row in zip(*([(n, cell) for cell in grid[n]] for n in block), strict=True)
            )
            yield segment.Segment("\n" * (block is not blocks[0]))
            yield segment.Segment(header, style.Style(bold=True))
            yield segment.Segment(
                "\n".join(
                    ["", ("-" if options.ascii_only else "─") * cells.cell_len(header), *lines, ""]
                )
            )
        if hidden := [name for n, name in enumerate(self.columns) if n not in shown]:
            yield text.Text(f"--wide shows more: {', '.join(hidden)}", style="dim")
