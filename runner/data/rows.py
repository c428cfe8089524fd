"""What a reader gives: rows as they are in the source, before they are split."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from runner.data import log
from runner.data.arrays import Array, features, is_text, numbered, one_each, shapes
from runner.data.dataset import Part
from runner.errors import DataError, Faults

WHOLE = ""  # the name of rows that are to be split


@dataclass(frozen=True)
class Rows:
    """Rows of a source.

    Args:
        parts: those that the source names, or all rows under the name WHOLE.
        where: the source, for messages, if its features are still to be checked.
        classes: the names of the classes, if the source has them.
        columns: the kind of each feature of a table: number, category, date or text.
        notes: what an entry keeps of how they were read.
        rows: the numbers of a part's rows in the source, from 0, unless all of them were taken in
            order.
        by: the values that the split goes by, one for each row.
        comparable: false where equal rows in two parts prove nothing, as in a series, or where rows
            are not kept.
    """

    parts: Mapping[str, Part]
    where: str = ""
    classes: tuple[str, ...] | None = None
    columns: Mapping[str, str] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)
    by: Array | None = None
    comparable: bool = True

    def checked(self, task: str) -> "Rows":
        """Return rows that a model can be trained on: targets as numbers, those of classes from 0,
        with the names of the classes.

        Raises:
            DataError: features are not finite numbers or do not fit the targets, or the targets do
                not suit the task.
        """
        faults = Faults()
        parts = dict(self.parts)
        targets = []
        for name, part in self.parts.items():
            if not self.where:
                targets.append(part.y)
                continue
            with faults:
                targets.append(one_each(part.y, part.at_hand, self.where))
            with faults:
                parts[name] = replace(part, x=features(part.x, self.where))
        by = self.by
        with faults:
            if len(targets) == len(parts):
                y, classes = numbered(np.concatenate(targets), task)
                if by is not None:
                    by = one_each(by, len(y), "data.split.column")
        faults.tell()
        start = 0
        for name, part in parts.items():
            end = start + len(part)
            parts[name] = replace(part, y=y[start:end])
            start = end
        different = {name: shapes(part.x) or part.shape[1:] for name, part in parts.items()}
        if len({str(shape) for shape in different.values()}) > 1:
            raise DataError(f"the parts have rows of different shapes: {different}")
        return replace(self, parts=parts, classes=classes and (self.classes or classes), by=by)

    def say_what_is_alike(self) -> None:
        """Warn of classes, and of words in a column, that differ only in the spaces around them."""
        words = defaultdict[str, set[str]](set)
        words["classes"].update(self.classes or ())
        for part in self.parts.values():
            for name, column in part.features.items():
                if is_text(column) and (self.columns or {}).get(name) != "text":
                    words[f"words of column {name!r}"].update(column)
        if self.by is not None and self.by.dtype.kind in "OU":
            words["words that the split goes by"].update(self.by)
        for what, different in words.items():
            by_text = defaultdict[str, list[str]](list)
            for word in sorted(different, key=lambda word: (word.strip(), word)):
                by_text[word.strip()].append(repr(word))
            for alike in by_text.values():
                if len(alike) > 1:
                    log.warning(
                        "the %s %s differ only in the spaces around them; they count as "
                        "different values",
                        what,
                        ", ".join(alike),
                    )


def unchecked(x: Any, y: Any) -> Part:
    """Return whatever a user's file or function holds as a part, to be checked later."""
    if isinstance(x, Mapping):
        return Part({name: np.atleast_1d(column) for name, column in x.items()}, y)
    return Part(np.atleast_1d(x), y)
