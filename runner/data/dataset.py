"""Data: a source, split into training, validation and test rows, with the facts that a model is
built from.
"""

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
# One array (rows, ...), or the columns of a table that has categories, each (rows,): numbers as
# float32, where NaN is a
# missing one, and words as text, where "" is a missing one.
Features = Array | dict[str, Array]
CHUNK = 2**22  # values of which mean and variance are taken at a time


def take(x: Features, rows: Any) -> Features:
    """Some rows, given by their numbers or as a slice."""
    return {name: column[rows] for name, column in x.items()} if isinstance(x, dict) else x[rows]


def arrays(x: Features) -> Iterator[tuple[str, Array]]:
    """The arrays that features are made of, by name."""
    yield from x.items() if isinstance(x, dict) else [("", x)]


@dataclass(frozen=True)
class Part:
    """Rows of one part: the features `x`, and `y` of shape (rows,); classes are numbers from 0."""

    x: Features
    y: Array

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first; those of a table with categories have as many values as it has columns."""
        return (len(self.y), len(self.x)) if isinstance(self.x, dict) else self.x.shape

    @property
    def bytes(self) -> int:
        """Memory that the arrays take."""
        return sum(array.nbytes for _, array in (*arrays(self.x), ("", self.y)))

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and variance over the last axis of the numbers, or of each column, missing ones left
        out.
        """
        x = self.x
        if isinstance(x, dict):
            numbers = [column for column in x.values() if column.dtype.kind != "O"]
            if not numbers:
                return [], []
            x = np.stack(numbers, axis=1)
        step = max(1, CHUNK // max(x[0].size, 1))
        return statistics(x[start : start + step] for start in range(0, len(x), step))

    def content(self, name: str) -> Iterator[Any]:
        """What a fingerprint is taken over: the arrays, with their dtypes and shapes."""
        for column, array in (*arrays(self.x), ("", self.y)):
            yield f"{name} {column}{array.dtype} {array.shape} ".encode()
            yield (
                "\0".join(array).encode()
                if array.dtype.kind == "O"
                else np.ascontiguousarray(array).data
            )

    def head(self, rows: int) -> "Part":
        """Its first rows."""
        return Part(take(self.x, slice(rows)), self.y[:rows])

    def given(self) -> tuple[Any, ...]:
        """What Keras' fit takes, by position and as `validation_data`."""
        return self.x, self.y

    def predict(self, model: Any, batch_size: int) -> Array:
        """What a model predicts for each row."""
        return np.asarray(model.predict(self.x, batch_size=batch_size, verbose=0))


@dataclass(frozen=True)
class Facts:
    """What the training part tells a model. The statistics are over the last axis of the numbers,
    missing ones left out; `columns` are the names of a table's columns, and `categories` the words
    of those that hold no numbers.
    """

    input_shape: tuple[int, ...]
    num_classes: int | None  # None: regression
    feature_mean: list[float]
    feature_variance: list[float]
    target_mean: float = 0.0
    target_deviation: float = 1.0
    columns: tuple[str, ...] | None = None
    categories: Mapping[str, list[str]] = field(default_factory=dict)
    may_miss: bool = False  # numbers may be missing


@dataclass(frozen=True)
class Dataset:
    """One source, split. `classes` are the class names in the order of their numbers; None for
    regression.

    `columns` maps the names of a table's features to number or category; None where they have no
    names.
    """

    train: Part
    validation: Part
    test: Part | None
    classes: tuple[str, ...] | None
    source: dict[str, Any]
    seconds: float = 0.0  # that loading took
    columns: Mapping[str, str] | None = None

    def parts(self) -> dict[str, Part]:
        """The parts by name, in order; `test` only where there is one."""
        found = {"train": self.train, "validation": self.validation}
        return found | ({"test": self.test} if self.test is not None else {})

    @property
    def bytes(self) -> int:
        """Memory that the arrays take."""
        return sum(part.bytes for part in self.parts().values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content of every part."""
        result = hashlib.sha256()
        for name, part in self.parts().items():
            for content in part.content(name):
                result.update(content)
        result.update("\0".join(self.classes or ()).encode())
        return result.hexdigest()

    @functools.cached_property
    def facts(self) -> Facts:
        """What a model is built from, taken from the training part only."""
        x, y = self.train.x, self.train.y
        words = {name: sorted(set(array)) for name, array in arrays(x) if array.dtype.kind == "O"}
        mean, variance = self.train.statistics
        target = {}
        if self.classes is None:
            numbers = y.astype("float64")
            target = {
                "target_mean": float(numbers.mean()),
                "target_deviation": float(numbers.std()) or 1.0,
            }
        return Facts(
            self.train.shape[1:],
            None if self.classes is None else len(self.classes),
            mean,
            variance,
            columns=None if self.columns is None else tuple(self.columns),
            categories=words,
            may_miss=self.source.get("missing") == "fill",
            **target,
        )

    def describe(self, fingerprint: str) -> dict[str, Any]:
        """The data as an entry records it, with the fingerprint that was computed before."""
        shapes = {name: list(part.shape) for name, part in self.parts().items()}
        found = {"source": self.source, "fingerprint": fingerprint, "shapes": shapes}
        found |= {} if self.classes is None else {"classes": list(self.classes)}
        return found | ({} if self.columns is None else {"columns": dict(self.columns)})


def statistics(chunks: Iterable[Array]) -> tuple[list[float], list[float]]:
    """Mean and variance over the last axis, missing numbers left out, in one pass over chunks of
    rows (Chan, Golub and LeVeque, 1979).
    """
    known = mean = variance = np.zeros(1)
    for chunk in chunks:
        rows = chunk.reshape(-1, chunk.shape[-1]).astype("float64")
        there = ~np.isnan(rows)
        count = there.sum(axis=0)
        centre = rows.sum(axis=0, where=there) / np.maximum(count, 1)
        spread = ((rows - centre) ** 2).sum(axis=0, where=there) / np.maximum(count, 1)
        known = known + count
        share = count / np.maximum(known, 1)
        away = centre - mean
        mean = mean + away * share
        variance = variance * (1 - share) + spread * share + away**2 * share * (1 - share)
    return [float(value) for value in mean], [float(value) for value in variance]
