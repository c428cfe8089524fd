"""Data that one process has loaded, for all the others: its arrays stand in memory that they share,
where the system has such, and are not copied.
"""

import hashlib
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundation import files
from runner.data.dataset import Dataset

KEPT = 2 * 10**9  # bytes of data that stay loaded for pipelines to come
ALIGNED = 64  # bytes: TensorFlow takes arrays at such addresses as they lie


@dataclass(frozen=True)
class Loaded:
    """What other processes need to know of loaded data: its fingerprint, its record in an entry,
    the seconds that loading took, and where the arrays are, if they are shared.
    """

    content: str
    record: files.JsonObject
    seconds: float
    size: int  # bytes that the arrays take
    by: str = ""  # the fingerprint of what a split goes by, if it does by anything
    code: Mapping[str, str] | None = None  # of the pipeline that it is given to, if it is known
    path: Path | None = None  # of the memory
    # where each array begins there, and its size; then the same of all but the arrays, pickled
    places: tuple[tuple[int, int], ...] = ()


def loaded(dataset: Dataset, seconds: float, path: Path | None) -> Loaded:
    """Return what other processes need of a dataset, its arrays put into the memory at `path`;
    one that cannot be pickled, as a stream of a local function, is loaded by each.
    """
    content = dataset.fingerprint
    by = ""
    if dataset.by:
        values = [list(column) for column in dataset.by.values()]
        by = hashlib.sha256(repr(values).encode()).hexdigest()
    rest = b""
    buffers = list[pickle.PickleBuffer]()
    try:
        if path is not None:
            rest = pickle.dumps(dataset, protocol=5, buffer_callback=buffers.append)
    except (pickle.PicklingError, AttributeError, TypeError):
        path = None
    places = []
    if path is not None:
        with path.open("r+b") as memory:
            for part in [*(buffer.raw() for buffer in buffers), memoryview(rest)]:
                start = math.ceil(memory.tell() / ALIGNED) * ALIGNED
                memory.seek(start)
                memory.write(part)
                places.append((start, part.nbytes))
    record = dataset.describe(content)
    return Loaded(content, record, seconds, dataset.bytes, by, path=path, places=tuple(places))


def adopted(given: Loaded) -> Dataset:
    """Return a dataset over arrays that are shared; what this process writes to it sees alone."""
    assert given.path is not None
    memory = np.memmap(given.path, mode="c")
    *arrays, rest = (memory[start : start + size] for start, size in given.places)
    return pickle.loads(rest.tobytes(), buffers=arrays)  # type: ignore[no-any-return]
