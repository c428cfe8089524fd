"""Streams of batches from the user's function: tf.data.Dataset and keras.utils.PyDataset objects.

They are never collected. One pass learns what an entry and a model must know of them. Each training
then gets new ones, made after its seed was set: a shuffle depends on that seed, and not on the
passes before it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from runner.data import dataset
from runner.data.dataset import Array, Part, Rows
from runner.errors import DataError, short

if TYPE_CHECKING:
    import keras
    import tensorflow

    Source: TypeAlias = "tensorflow.data.Dataset | keras.utils.PyDataset"
Function: TypeAlias = "Callable[[], Mapping[str, Source]]"


@dataclass(frozen=True)
class Stream(Part):
    """Rows of one part that come in batches. `x` holds the first batch alone, `y` the targets of
    all rows.
    """

    x: Array
    function: Function  # the user's, which makes the streams anew
    name: str
    digest: str
    moments: tuple[list[float], list[float]]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self.x.shape[1:]

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        return self.moments

    def take(self, rows: Array | slice) -> Part:
        return Part(self.x, self.y[: len(self.x)]).take(rows)

    def content(self, name: str) -> Iterator[bytes]:
        yield f"{name} stream {self.digest} ".encode()

    def given(self) -> tuple[object, ...]:
        return (self.function()[self.name],)

    def predict(self, model: "keras.Model", batch_size: int) -> Array:
        return np.asarray(model.predict(*self.given(), verbose=0))


def is_stream(value: object) -> bool:
    """Say whether a value tells how many batches it has, as TensorFlow's and Keras' streams do."""
    return hasattr(value, "cardinality") or hasattr(value, "num_batches")


def read(function: Function, target: str, task: str) -> Rows:
    """Return the parts, after a pass over each and another one over those held out.

    Args:
        function: the user's, with its arguments; it returns streams by part.
        target: its dotted path, for messages.
        task: classification or regression.

    Raises:
        DataError: the rows are not such that a model can be trained on them, or are others each
            time.
    """
    import keras

    keras.utils.set_random_seed(1)
    first = function()
    parts: dict[str, Stream] = {}
    for name in first:
        where = f"the '{name}' part of {target}"
        part = parts[name] = _pass(first[name], where, function, name)
        keras.utils.set_random_seed(1 if name == "train" else 2)
        again = function()[name]
        x, y = next(_batches(again, where))
        alike = np.array_equal(x, part.x) and np.array_equal(y, part.y[: len(y)])
        if name != "train":  # the first pass may be as it should, and not the second
            getattr(again, "on_epoch_end", lambda: None)()
            alike = _pass(again, where, function, name).digest == part.digest
        if not alike:
            raise DataError(
                f"{where} has other rows, or another order, each time; shuffle the training part "
                "alone, and draw with a seed of your own, or of Keras"
            )
    values = np.unique(np.concatenate([part.y for part in parts.values()]))
    if task == "classification" and not np.array_equal(values, np.arange(len(values))):
        raise DataError(
            f"the targets of {target} are {short(values.tolist())}; "
            "classes of streams are numbered from 0"
        )
    return Rows(parts, comparable=False)


def _pass(source: "Source", where: str, function: Function, name: str) -> Stream:
    """Return what one pass over a stream tells."""
    digest = hashlib.sha256()
    first: list[Array] = []
    targets: list[Array] = []

    def rows() -> Iterator[Array]:
        for x, y in _batches(source, where):
            for array in (x, y):
                digest.update(f"{array.dtype} {array.shape} ".encode())
                digest.update(np.ascontiguousarray(array).data)
            if not targets:
                first.append(x)
            targets.append(y)
            yield x

    found = dataset.moments(rows())
    if not targets:
        raise DataError(f"{where} holds no rows")
    return Stream(first[0], np.concatenate(targets), function, name, digest.hexdigest(), found)


def _batches(source: "Source", where: str) -> Iterator[tuple[Array, Array]]:
    """Yield each batch: features of shape (rows, ...), targets of shape (rows,)."""
    batches = source.cardinality() if hasattr(source, "cardinality") else source.num_batches
    if batches is None or int(batches) == -1:
        raise DataError(
            f"{where} never ends; leave out repeat(), or say with num_batches where it does"
        )
    for number, batch in enumerate(source, 1):
        at = f"{where}, batch {number}"
        if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
            raise DataError(f"{at}: is no pair (x, y)")
        if isinstance(batch[0], (Mapping, tuple, list)) or len(batch[0].shape) < 2:
            raise DataError(f"{at}: x is no array of rows of one shape; is batch() missing?")
        dataset.features(batch[0], at)
        x = np.asarray(batch[0])
        y = dataset.one_each(batch[1], len(x), at)
        dataset.numbers(y, f"targets of {at}")
        yield x, y
