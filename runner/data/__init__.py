"""Data: a source, split into training, validation and test rows, with the facts that a model is built from."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
# One array (rows, ...), or the columns of a table that has categories, each (rows,): numbers as float32, where NaN is a
# missing one, and words as text, where "" is a missing one.
Features = Array | dict[str, Array]


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

    def head(self, rows: int) -> "Part":
        """Its first rows."""
        return Part(take(self.x, slice(rows)), self.y[:rows])


@dataclass(frozen=True)
class Facts:
    """What the training part tells a model. The statistics are over the last axis of the numbers, missing ones left
    out; `columns` are the names of a table's columns, and `categories` the words of those that hold no numbers."""

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
    """One source, split. `classes` are the class names in the order of their numbers; None for regression.

    `columns` maps the names of a table's features to number or category; None where they have no names.
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
        return sum(array.nbytes for part in self.parts().values() for _, array in (*arrays(part.x), ("", part.y)))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content of every part, dtypes and shapes included."""
        result = hashlib.sha256()
        for name, part in self.parts().items():
            for column, array in (*arrays(part.x), ("", part.y)):
                result.update(f"{name} {column}{array.dtype} {array.shape} ".encode())
                text = array.dtype.kind == "O"
                result.update("\0".join(array).encode() if text else np.ascontiguousarray(array).tobytes())
        result.update("\0".join(self.classes or ()).encode())
        return result.hexdigest()

    @property
    def facts(self) -> Facts:
        """What a model is built from, taken from the training part only."""
        x, y = self.train.x, self.train.y
        words = {name: sorted(set(array)) for name, array in arrays(x) if array.dtype.kind == "O"}
        mean, variance = _statistics([array for name, array in arrays(x) if name not in words])
        target = {}
        if self.classes is None:
            numbers = y.astype("float64")
            target = {"target_mean": float(numbers.mean()), "target_deviation": float(numbers.std()) or 1.0}
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


def _statistics(numbers: list[Array]) -> tuple[list[float], list[float]]:
    """Mean and variance over the last axis of one array, or of each column; float32 sums would drift."""
    mean: list[float] = []
    variance: list[float] = []
    for array in numbers:
        axes = tuple(range(max(array.ndim - 1, 1)))
        for found, statistic in ((mean, np.nanmean), (variance, np.nanvar)):
            found += np.atleast_1d(statistic(array, axis=axes, dtype="float64")).tolist()
    return mean, variance
