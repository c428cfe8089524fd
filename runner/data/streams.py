"""Streams of batches from the user's function: tf.data.Dataset and keras.utils.PyDataset objects.

They are never collected. One pass learns what an entry and a model must know of them. Each training
then gets new ones, made after its seed was set: a shuffle depends on that seed, and not on the
passes before it.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runner.config.schema import PARTS
from runner.data.dataset import Array, Part, statistics
from runner.data.rows import numbers
from runner.errors import DataError


@dataclass(frozen=True)
class Stream(Part):
    """Rows of one part that come in batches. `x` holds the first batch alone, `y` the targets of
    all rows.
    """

    open: Callable[[], Any]  # makes the stream anew
    digest: str
    moments: tuple[list[float], list[float]]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self.first.shape[1:]

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        return self.moments

    @property
    def first(self) -> Array:
        """The features of the first batch."""
        return np.asarray(self.x)

    def head(self, rows: int) -> Part:
        x = self.first[:rows]
        return Part(x, self.y[: len(x)])

    def content(self, name: str) -> Iterator[Any]:
        yield f"{name} stream {self.digest} ".encode()

    def given(self) -> tuple[Any, ...]:
        return (self.open(),)

    def predict(self, model: Any, batch_size: int) -> Array:
        return np.asarray(model.predict(self.open(), verbose=0))


def is_stream(value: Any) -> bool:
    """Whether a value is a stream; told by name, so that nothing heavy is imported for it."""
    names = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(value).__mro__}
    return bool(names & {("tensorflow", "DatasetV2"), ("keras", "PyDataset")})


def read(
    function: Callable[[], Mapping[str, Any]], given: Mapping[str, Any], target: str, task: str
) -> tuple[dict[str, Stream], tuple[str, ...] | None]:
    """The parts, after a pass over each and another one over those held out; and the names of the
    classes.

    Args:
        function: the user's, with its arguments.
        given: what it returned, by part.
        target: its dotted path, for messages.
        task: classification or regression.

    Raises:
        DataError: the rows are not such that a model can be trained on them, or are others each
        time.
    """
    for name, source in given.items():
        if not is_stream(source):
            raise DataError(
                f"data._target_: {target} returned streams, but '{name}' is a {type(source).__name__}"
            )
    one, same, other = (_seeded(function, seed) for seed in (1, 1, 2))
    parts: dict[str, Stream] = {}
    for name in (name for name in PARTS if name in given):
        where = f"data._target_: the '{name}' part of {target}"
        parts[name] = part = _pass(one[name], where, functools.partial(_open, function, name))
        if part.shape[1:] != parts["train"].shape[1:]:
            raise DataError(
                f"{where} has rows of shape {part.shape[1:]}; train has {parts['train'].shape[1:]}"
            )
        if name == "train":
            x, y = next(_batches(same[name], where))
            if not (np.array_equal(x, part.first) and np.array_equal(y, part.y[: len(y)])):
                raise DataError(
                    f"{where} begins with other rows each time; draw with a seed of your own, or of Keras"
                )
        else:
            next(
                _batches(other[name], where)
            )  # the first pass may be as it should, and not the second
            getattr(other[name], "on_epoch_end", lambda: None)()
            if _pass(other[name], where, part.open).digest != part.digest:
                raise DataError(
                    f"{where} has other rows, or another order, each time; shuffle the training part alone"
                )
    classes = _classes(parts, target) if task == "classification" else None
    kind = "float32" if classes is None else "int64"
    return {
        name: dataclasses.replace(part, y=part.y.astype(kind)) for name, part in parts.items()
    }, classes


def _open(function: Callable[[], Mapping[str, Any]], name: str) -> Any:
    return function()[name]


def _seeded(function: Callable[[], Mapping[str, Any]], seed: int) -> Mapping[str, Any]:
    import keras

    keras.utils.set_random_seed(seed)
    return function()


def _pass(source: Any, where: str, make: Callable[[], Any]) -> Stream:
    """What one pass over a stream tells."""
    digest = hashlib.sha256()
    first: list[Array] = []
    targets: list[Array] = []

    def features() -> Iterator[Array]:
        for x, y in _batches(source, where):
            for array in (x, y):
                digest.update(f"{array.dtype} {array.shape} ".encode())
                digest.update(np.ascontiguousarray(array).data)
            first.extend([] if first else [x])
            targets.append(y)
            yield x

    found = statistics(features())
    if not targets:
        raise DataError(f"{where} holds no rows")
    return Stream(first[0], np.concatenate(targets), make, digest.hexdigest(), found)


def _batches(source: Any, where: str) -> Iterator[tuple[Array, Array]]:
    """Each batch: features of shape (rows, ...), targets of shape (rows,)."""
    if _is_endless(source):
        raise DataError(
            f"{where} never ends; leave out repeat(), or say with num_batches where it does"
        )
    shape = None
    for number, batch in enumerate(source, 1):
        at = f"{where}, batch {number}"
        if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
            raise DataError(f"{at}: is no pair (x, y)")
        if isinstance(batch[0], (Mapping, tuple, list)):
            raise DataError(f"{at}: x has several inputs; rows of one shape are needed")
        try:
            x, y = (np.asarray(values) for values in batch)
        except (TypeError, ValueError) as error:
            raise DataError(f"{at}: x or y is no array of rows of one shape: {error}") from error
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim == 2 and y.shape[0] == len(x):
            raise DataError(
                f"{at}: y has the shape {y.shape}; one number a row is needed, and no one-hot rows"
            )
        if x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
            raise DataError(f"{at}: x has the shape {x.shape} and y {y.shape}; is batch() missing?")
        shape = shape or x.shape[1:]
        if x.shape[1:] != shape:
            raise DataError(f"{at}: x has rows of shape {x.shape[1:]}; those before have {shape}")
        for name, array in (("x", x), ("y", y)):
            numbers(array, at, f"values of {name}")
        yield x, y


def _is_endless(source: Any) -> bool:
    """Whether a stream says so itself: tf.data by a cardinality of -1, PyDataset by no number of
    batches.
    """
    cardinality = getattr(source, "cardinality", None)
    return source.num_batches is None if cardinality is None else int(cardinality()) == -1


def _classes(parts: Mapping[str, Part], target: str) -> tuple[str, ...]:
    """The names of the classes: their numbers, since fit is given the batches as they are."""
    values = np.unique(np.concatenate([part.y for part in parts.values()]))
    if len(values) < 2 or not np.array_equal(values, np.arange(len(values))):
        found = f"{values[:5].tolist()}{' ...' if len(values) > 5 else ''}"
        raise DataError(
            f"data._target_: the targets of {target} are {found}; classes of streams are numbered from 0"
        )
    return tuple(str(number) for number in range(len(values)))
