"""A Dataset: one source, split into training, validation and test rows, with the facts that a model
is built from.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runner.data.arrays import Array as Array
from runner.data.arrays import Features as Features
from runner.data.arrays import is_text as is_text
from runner.data.arrays import moments, shapes
from runner.data.facts import Facts as Facts
from runner.data.vocabulary import frequent

BATCH = 256  # rows predicted at a time, everywhere: results depend on it in the last digit
# what a model takes of a date, and pandas' word for it; the last is counted from the first date on
DATE = {"year": "year", "month": "month", "weekday": "day_of_week", "days": ""}
CHUNK = 2**22  # values of which mean and variance are taken at a time


@dataclass(frozen=True)
class Part:
    """Rows of one part: the features `x`, and `y` of shape (rows,); classes are numbers from 0."""

    x: Features
    y: Array

    def __len__(self) -> int:
        return len(self.y)

    @property
    def features(self) -> dict[str, Array]:
        """The features by name; that of a single array is empty."""
        return self.x if isinstance(self.x, dict) else {"": self.x}

    @property
    def arrays(self) -> list[tuple[str, Array]]:
        """All arrays with their names: those of the features, and the targets."""
        return [*self.features.items(), ("", self.y)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first; those of a table with categories have as many values as it has columns."""
        of_a_row = (len(self.x),) if isinstance(self.x, dict) else self.x.shape[1:]
        return len(self), *of_a_row

    @property
    def at_hand(self) -> int:
        """The number of rows whose features are here: of a stream, those of the first batch."""
        return len(next(iter(self.features.values()), ()))

    @property
    def numbers(self) -> Array:
        """The features that are numbers, rows first; none where inputs have several values."""
        if not isinstance(self.x, dict):
            return self.x
        columns = [column for column in self.x.values() if not is_text(column)]
        if not columns or any(column.ndim > 1 for column in columns):
            return np.empty((self.at_hand, 0))
        return np.stack(columns, axis=1)

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and variance over the last axis of the numbers, or of each column, missing ones left
        out.
        """
        x = self.numbers
        step = max(1, CHUNK // max(x[0].size, 1))
        return moments(x[start : start + step] for start in range(0, len(x), step))

    def content(self, name: str = "") -> Iterator[bytes | memoryview]:
        """Yield what a fingerprint is taken over: the arrays, with their dtypes and shapes."""
        for column, array in self.arrays:
            yield f"{name}{column}{array.dtype} {array.shape} ".encode()
            if is_text(array):
                yield "\0".join(array).encode()
            else:
                yield np.ascontiguousarray(array).data

    def take(self, rows: Array | slice) -> "Part":
        """Return rows by their numbers or as a slice; of a stream, rows of its first batch."""
        return self._of(
            {name: column[rows] for name, column in self.features.items()},
            self.y[: self.at_hand][rows],
        )

    def joined(self, other: "Part") -> "Part":
        """Return these rows followed by those of another part."""
        columns = {
            name: np.concatenate([column, other.features[name]])
            for name, column in self.features.items()
        }
        return self._of(columns, np.concatenate([self.y, other.y]))

    def _of(self, columns: dict[str, Array], y: Array) -> "Part":
        return Part(columns if isinstance(self.x, dict) else columns[""], y)

    def given(self) -> tuple[object, ...]:
        """Return what Keras' fit takes, by position and as `validation_data`."""
        return self.x, self.y


@dataclass(frozen=True)
class Stream(Part):
    """Rows of one part that come in batches and are never collected: `x` holds the first batch
    alone, `y` the targets of all rows. Each training gets new ones, made after its seed was set: a
    shuffle depends on that seed, and not on the passes before it.
    """

    function: Callable[[], Any]  # the user's: a tf.data.Dataset or PyDataset by part
    name: str  # of the part
    digest: str
    moments: tuple[list[float], list[float]]

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        return self.moments

    def content(self, name: str = "") -> Iterator[bytes]:
        yield f"{name}stream {self.digest} ".encode()

    def given(self) -> tuple[object, ...]:
        return (self.anew(),)

    def anew(self) -> Any:
        """Call the user's function again, and return the batches of this part."""
        return self.function()[self.name]


@dataclass(frozen=True)
class Dataset:
    """One source, split into parts.

    Args:
        parts: train, validation and perhaps test, in this order.
        classes: the class names in the order of their numbers; None for regression.
        source: the section `data` of the config.
        columns: the kind of each feature of a table: number, category, date or text; None where
            features have no names.
        notes: what an entry keeps of how the source was read.
        rows: the numbers, from 0, of each part's rows in the source, if there is one source.
        by: the values that the split goes by, for the rows of each part, if there are any.
    """

    parts: Mapping[str, Part]
    classes: tuple[str, ...] | None
    source: Mapping[str, object]
    columns: Mapping[str, str] | None
    notes: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)
    by: Mapping[str, Array] = field(default_factory=dict)

    @property
    def train(self) -> Part:
        """The rows to train on."""
        return self.parts["train"]

    @property
    def validation(self) -> Part:
        """The rows that trials are scored on."""
        return self.parts["validation"]

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shapes of several inputs by name; none where the rows are one array, or of a
        table.
        """
        return {} if self.columns else shapes(self.train.x)

    @property
    def bytes(self) -> int:
        """Memory that the arrays take."""
        return sum(array.nbytes for part in self.parts.values() for _, array in part.arrays)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content of every part."""
        result = hashlib.sha256()
        for name, part in self.parts.items():
            for content in part.content(f"{name} "):
                result.update(content)
        result.update("\0".join(self.classes or ()).encode())
        return result.hexdigest()

    @property
    def is_series(self) -> bool:
        """Say whether the rows are windows over a series of numbers that are predicted."""
        return self.source.get("kind") == "windows" and self.classes is None

    @property
    def naive_error(self) -> float | None:
        """How far the targets of a series are from their last values on average, in the training
        part; from the targets before where windows have none of these. None for other data.
        """
        if not self.is_series:
            return None
        past = self.facts.past
        if past is None:
            off = np.diff(self.train.y)
        else:
            off = self.train.y - self.train.numbers[:, -1, past]
        return float(np.abs(off).mean()) if len(off) else None

    @functools.cached_property
    def facts(self) -> Facts:
        """What a model is built from, taken from the training part only."""
        train = self.train
        kinds = self.columns or {}
        categories = {}
        texts = {}
        if not isinstance(train, Stream):
            for name, column in train.features.items():
                if kinds.get(name) == "text":
                    texts[name] = frequent(column)
                elif is_text(column):
                    categories[name] = sorted({*column})
        target_mean = 0.0
        target_deviation = 1.0
        if self.classes is None:
            y = train.y.astype("float64")
            target_mean = float(y.mean())
            target_deviation = float(y.std()) or 1.0
        past = None
        target = self.source.get("target")
        if self.is_series and target in kinds:
            past = [*kinds].index(str(target))
        mean, variance = train.statistics
        return Facts(
            self.inputs or train.shape[1:],
            len(self.classes) if self.classes else None,
            mean,
            variance,
            target_mean,
            target_deviation,
            columns=features_of(self.columns) if self.columns is not None else None,
            categories=categories,
            texts=texts,
            may_miss=self.source.get("missing") == "fill",
            past=past,
            train=train,
        )

    def describe(self, fingerprint: str) -> dict[str, Any]:
        """Return the data as an entry records it, with the fingerprint that was computed before."""
        record: dict[str, Any] = {
            "source": self.source,
            "fingerprint": fingerprint,
            "shapes": {name: list(part.shape) for name, part in self.parts.items()},
        }
        if self.classes:
            record["classes"] = list(self.classes)
        if self.columns:
            record["columns"] = self.columns
        if self.inputs:
            record["inputs"] = {name: list(shape) for name, shape in self.inputs.items()}
        return record | dict(self.notes)


def features_of(columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the features that columns become: of a date there are several."""
    names = []
    for name, kind in columns.items():
        names += [f"{name} {part}" for part in DATE] if kind == "date" else [name]
    return tuple(names)
