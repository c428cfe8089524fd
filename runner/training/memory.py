"""What Keras saves, made in memory and put on disk by our own atomic write: HDF5 that writes to a
disk which fills leaves half a file, and may crash Python at its end.
"""

import io
from collections.abc import Callable


class InMemory(io.BytesIO):
    """A file in memory, which Keras tells by the end of its name as it tells one on disk."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.called = name  # not `name`: Keras would look for a folder of that file

    def __str__(self) -> str:
        return self.called


def saved(save: Callable[[InMemory], object], name: str) -> bytes:
    """Return what a model's `save` or `save_weights` writes to a file of that name."""
    file = InMemory(name)
    save(file)
    return file.getvalue()
