"""Data that one process has loaded, for all the others: its arrays stand in memory that they share,
where the system has such, and are not copied.
"""

import hashlib
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
    """What is known of data that was loaded: its fingerprint, its record in an entry, and the
    seconds that it took; and where its arrays stand, if they are shared.
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
    content, places, buffers = dataset.fingerprint, [], list[pickle.PickleBuffer]()
    try:
        rest = pickle.dumps(dataset, protocol=5, buffer_callback=buffers.append) if path else b""
    except (pickle.PicklingError, AttributeError, TypeError):
        path = None
    if path is not None:
        with path.open("r+b") as memory:
            for part in (*(buffer.raw() for buffer in buffers), memoryview(rest)):
                places.append((memory.seek(-(-memory.tell() // ALIGNED) * ALIGNED), part.nbytes))
                memory.write(part)
    return Loaded(
        content,
        dataset.describe(content),
        seconds,
        dataset.bytes,
        hashlib.sha256(repr([*map(list, dataset.by.values())]).encode()).hexdigest()
        if dataset.by
        else "",
        path=path,
        places=tuple(places),
    )


def adopted(given: Loaded) -> Dataset:
    """Return a dataset over arrays that are shared; what this process writes to it sees alone."""
    assert given.path is not None
    memory = np.memmap(given.path, mode="c")
    *arrays, rest = (memory[start : start + size] for start, size in given.places)
    return pickle.loads(rest.tobytes(), buffers=arrays)  # type: ignore[no-any-return]
