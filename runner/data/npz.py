"""Files of NumPy arrays (.npz). Nothing is unpickled, and no memory is taken that is not free, or
for more than there is in the file.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foundation import errors
from runner.data import limits
from runner.data.dataset import Array
from runner.errors import DataError

# of arrays of plain numbers and text, by the version of their format
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def load_arrays(path: Path, *names: str) -> dict[str, Array]:
    """Return the arrays of those names in a file, or all of them where none is named; raises
    DataError where it cannot be read, or has no such array.
    """
    try:
        with zipfile.ZipFile(limits.regular(path)) as file:
            members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            absent = sorted(set(names).difference(members))
            if absent:
                raise ValueError("; ".join(errors.unknown("array", n, members) for n in absent))
            wanted = {name: members[name] for name in names or members}
            size = sum(info.file_size for info in wanted.values())
            limits.must_fit(size, "they", "smaller file")
            return {name: _array(file, info) for name, info in wanted.items()}
    except Exception as error:  # a file that means harm finds more than those of its format
        raise DataError(f"cannot read {path} as an .npz file of plain arrays: {error}") from error


def _array(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    """Return an array that is as large as it says."""
    with file.open(info) as member:
        version = np.lib.format.read_magic(member)
        shape, _, dtype = HEADERS[version](member)
        size = info.file_size - member.tell()
        if not dtype.itemsize or math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{info.filename} claims to hold {shape} of {dtype}: {size} bytes")
        member.seek(0)
        return np.lib.format.read_array(member, allow_pickle=False)


def split_file(rows: Mapping[str, Array]) -> bytes:
    """Return the numbers of rows as an .npz file, an array for each part; nothing without any."""
    file = io.BytesIO()
    if rows:
        np.savez_compressed(file, **dict[str, Any](rows))
    return file.getvalue()
