"""What a reader gives: rows as they are in the source, before they are split."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from runner.data import arrays, words
from runner.data.dataset import Part
from runner.errors import DataError, Faults

WHOLE = ""  # the name of rows that are to be split


@dataclass(frozen=True)
class Rows:
    """`parts` are those that the source gives, or all rows under the name WHOLE. `where` they come
    from, for messages; "": their features were checked. `classes` are names of the classes, where
    the source has them, and `columns` a table's features: number, category or date; `notes` are
    what an entry keeps of how they were read. `rows` are the numbers that rows of a part
    have in the source, from 0, where these are not as they come. `by` is what a split goes by, one
    value a row. `comparable` is false where equal rows of two parts tell nothing, as in a series,
    or where rows are not kept.
    """

    parts: Mapping[str, Part]
    where: str = ""
    classes: tuple[str, ...] | None = None
    columns: Mapping[str, str] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, arrays.Array] = field(default_factory=dict)
    by: arrays.Array | None = None
    comparable: bool = True

    def checked(self, task: str) -> "Rows":
        """Return them such that a model can be trained on them: targets as numbers, from 0 for
        classes, whose names are then known.

        Raises:
            DataError: features are no finite numbers, do not fit the targets, or these do not suit
                the task.
        """
        faults, parts = Faults(), dict(self.parts)
        targets = list[arrays.Array]()
        for name, part in self.parts.items():
            if not self.where:
                targets.append(part.y)
                continue
            with faults:
                targets.append(arrays.one_each(part.y, part.at_hand, self.where))
            with faults:
                parts[name] = replace(part, x=arrays.features(part.x, self.where))
        by = self.by
        with faults:
            if len(targets) == len(parts):
                y, classes = arrays.numbered(np.concatenate(targets), task)
                if by is not None:
                    by = arrays.one_each(by, len(y), "data.split.column")
        faults.tell()
        start = 0
        for name, part in parts.items():
            end = start + len(part)
            parts[name] = replace(part, y=y[start:end])
            start = end
        shapes = {name: arrays.shapes(part.x) or part.shape[1:] for name, part in parts.items()}
        if len({str(shape) for shape in shapes.values()}) > 1:
            raise DataError(f"the parts have rows of different shapes: {shapes}")
        return replace(self, parts=parts, classes=classes and (self.classes or classes), by=by)

    def say_what_is_alike(self) -> None:
        """Log which classes, and words of a column, only the spaces around them tell apart."""
        words.say_what_is_alike("classes", self.classes or ())
        columns = defaultdict[str, set[str]](set)
        for part in self.parts.values():
            for name, column in part.features.items():
                if arrays.is_text(column) and (self.columns or {}).get(name) != "text":
                    columns[f"words of column {name!r}"].update(column)
        if self.by is not None and self.by.dtype.kind in "OU":
            columns["words that the split goes by"].update(self.by)
        for what, known in columns.items():
            words.say_what_is_alike(what, known)


def unchecked(x: Any, y: Any) -> Part:
    """Return as a part what a file or a function of the user's holds, whatever that is."""
    if isinstance(x, Mapping):
        return Part({name: np.atleast_1d(column) for name, column in x.items()}, y)
    return Part(np.atleast_1d(x), y)
