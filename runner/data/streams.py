"""Streams of batches, which a user's function returns. They are read batch by batch, and their
features are never held in memory all at once.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from runner import later as keras
from runner.data.arrays import (
    UNNAMED,
    Array,
    Features,
    features,
    is_text,
    moments,
    numbers,
    one_each,
)
from runner.data.dataset import Part, Stream
from runner.data.rows import Rows
from runner.errors import DataError, gathered, short


def is_stream(part: object) -> bool:
    """Say whether an object is a tf.data.Dataset or a PyDataset."""
    return hasattr(part, "cardinality") or hasattr(part, "num_batches")


def read(function: Callable[[], Any], target: str, task: str) -> Rows:
    """Return the parts after one pass over each, and a second one over those held out.

    Args:
        function: the user's, its arguments bound; it returns a stream for each part.
        target: its dotted path, for messages.
        task: classification or regression.

    Raises:
        DataError: a model cannot be trained on the rows, or they differ from pass to pass.
    """

    def part(name: str) -> Stream:
        where = f"the '{name}' part of {target}"
        stream = _pass(streams[name], where, function, name)
        keras.utils.set_random_seed(1 if name == "train" else 2)
        again = stream.anew()
        batch = next(_batches(again, where))
        is_alike = b"".join(batch.content()) == b"".join(stream.take(slice(None)).content())
        if name != "train":  # the first pass may be as it should, and not the second
            if hasattr(again, "on_epoch_end"):
                again.on_epoch_end()
            is_alike = _pass(again, where, function, name).digest == stream.digest
        if not is_alike:
            raise DataError(
                f"{where} yields other rows, or another order, each time; shuffle only the "
                "training part, with a fixed seed or Keras' own"
            )
        return stream

    keras.utils.set_random_seed(1)
    streams = function()
    parts = gathered(part, streams)
    values = np.unique(np.concatenate([stream.y for stream in parts.values()]))
    if task == "classification" and not np.array_equal(values, np.arange(len(values))):
        raise DataError(
            f"the targets of {target} are {short(values.tolist())}; the classes of a stream must "
            "be numbered from 0"
        )
    return Rows(parts, comparable=False)


def _pass(source: Any, where: str, function: Callable[[], Any], name: str) -> Stream:
    """Return a part with the digest and statistics of one pass over it."""
    digest = hashlib.sha256()
    firsts = list[Features]()
    targets = list[Array]()

    def all_numbers() -> Iterator[Array]:
        for batch in _batches(source, where):
            for content in batch.content():
                digest.update(content)
            if not targets:
                firsts.append(batch.x)
            targets.append(batch.y)
            yield batch.numbers
        if not targets:
            raise DataError(f"{where} holds no rows")

    statistics = moments(all_numbers())
    return Stream(
        firsts[0], np.concatenate(targets), function, name, digest.hexdigest(), statistics
    )


def _batches(source: Any, where: str) -> Iterator[Part]:
    """Yield each batch: features of shape (rows, ...), or several such inputs by name, and targets
    of shape (rows,).
    """
    count = source.cardinality() if hasattr(source, "cardinality") else source.num_batches
    if count is None or int(count) == -1:
        raise DataError(f"{where} never ends; remove repeat(), or define num_batches")
    for number, batch in enumerate(source, 1):
        yield _batch(batch, f"{where}, batch {number}")


def _batch(batch: Any, where: str) -> Part:
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
        raise DataError(f"{where}: is not a pair (x, y)")
    x, y = batch
    if isinstance(x, (tuple, list)):
        raise DataError(f"{where}: x is a {type(x).__name__}; {UNNAMED}")
    if not isinstance(x, Mapping) and len(x.shape) < 2:
        raise DataError(f"{where}: x is not an array of rows of one shape; is batch() missing?")
    checked = features(x, where)
    rows: Features
    if isinstance(checked, dict):
        rows = {
            name: column if is_text(column) else np.asarray(x[name])
            for name, column in checked.items()
        }
    else:
        rows = np.asarray(x)
    y = one_each(y, Part(rows, y).at_hand, where)
    numbers(y, f"targets of {where}")
    return Part(rows, y)
