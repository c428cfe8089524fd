"""Data: a source, split into training, validation and test rows, with the facts that a model is built from."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Rows of one part: `x` of shape (rows, ...), `y` of shape (rows,); classes are numbers from 0."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Facts:
    """What the training part tells a model. The statistics are over the last axis of the features."""

    input_shape: tuple[int, ...]
    num_classes: int | None  # None: regression
    feature_mean: list[float]
    feature_variance: list[float]
    target_mean: float = 0.0
    target_deviation: float = 1.0


@dataclass(frozen=True)
class Dataset:
    """One source, split. `classes` are the class names in the order of their numbers; None for regression.

    `columns` are the names of a table's features; None where they have none.
    """

    train: Part
    validation: Part
    test: Part | None
    classes: tuple[str, ...] | None
    source: dict[str, Any]
    seconds: float = 0.0  # that loading took
    columns: tuple[str, ...] | None = None

    def parts(self) -> dict[str, Part]:
        """The parts by name, in order; `test` only where there is one."""
        found = {"train": self.train, "validation": self.validation}
        return found | ({"test": self.test} if self.test is not None else {})

    @property
    def bytes(self) -> int:
        """Memory that the arrays take."""
        return sum(int(part.x.nbytes + part.y.nbytes) for part in self.parts().values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content of every part, dtypes and shapes included."""
        result = hashlib.sha256()
        for name, part in self.parts().items():
            for array in (part.x, part.y):
                result.update(f"{name} {array.dtype} {array.shape} ".encode())
                result.update(np.ascontiguousarray(array).tobytes())
        result.update("\0".join(self.classes or ()).encode())
        return result.hexdigest()

    @property
    def facts(self) -> Facts:
        """What a model is built from, taken from the training part only."""
        x = self.train.x
        axes = tuple(range(x.ndim - 1))
        shape = tuple(int(size) for size in x.shape[1:])
        mean, variance = (f(x, axis=axes, dtype="float64") for f in (np.mean, np.var))  # float32 sums drift
        if self.classes is not None:
            return Facts(shape, len(self.classes), mean.tolist(), variance.tolist())
        y = self.train.y.astype("float64")
        return Facts(shape, None, mean.tolist(), variance.tolist(), float(y.mean()), float(y.std()) or 1.0)

    def describe(self, fingerprint: str) -> dict[str, Any]:
        """The data as an entry records it, with the fingerprint that was computed before."""
        shapes = {name: list(part.x.shape) for name, part in self.parts().items()}
        names = {"classes": self.classes, "columns": self.columns}
        return {"source": self.source, "fingerprint": fingerprint, "shapes": shapes} | {
            key: list(value) for key, value in names.items() if value is not None
        }
