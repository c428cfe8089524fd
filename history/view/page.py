"""What a page shows: sections of tables, facts and text, whatever they are written to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foundation.files import Json


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns.

    Without room for it, the columns in `spare` are left out in that order, unless its cells are
    folded.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    spare: Sequence[str] = ()
    folds: bool = False

    def is_empty(self) -> bool:
        """Say whether there is no row."""
        return not self.rows


@dataclass(frozen=True)
class Facts:
    """Values by their names; those without a value (`-` is none) are not shown."""

    values: Mapping[str, Json]

    def known(self) -> dict[str, Json]:
        """Return those that have a value."""
        nothing: tuple[Json, ...] = (None, {}, [], "", "-")
        return {key: value for key, value in self.values.items() if value not in nothing}

    def is_empty(self) -> bool:
        """Say whether no fact has a value."""
        return not self.known()


@dataclass(frozen=True)
class Text:
    """Lines of text, in a style of rich's and set in by some columns."""

    lines: str
    style: str = ""
    indent: int = 0

    def is_empty(self) -> bool:
        """Say whether there is no text."""
        return not self.lines


@dataclass(frozen=True)
class Figure:
    """A picture: its title, and SVG that stands alone."""

    title: str
    svg: str


Part = Table | Facts | Text


@dataclass(frozen=True)
class Section:
    """Parts below a title, or without one; it is shown if any of them has something to show."""

    title: str
    parts: Sequence[Part]

    def is_empty(self) -> bool:
        """Say whether no part has anything to show."""
        return all(part.is_empty() for part in self.parts)


@dataclass(frozen=True)
class Page:
    """Sections, with a blank line between them."""

    sections: Sequence[Section]
