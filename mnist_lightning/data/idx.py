"""IDX, the file format of MNIST: a magic number, the sizes, then the bare values (big-endian throughout).

The format: http://yann.lecun.com/exdb/mnist. Knows nothing of digits and downloads.
"""

import math
import os
from pathlib import Path

import numpy as np

from mnist_lightning.data.download import part_file

_TYPES: dict[int, np.dtype] = {0x08: np.dtype(np.uint8), 0x0C: np.dtype(">i4")}  # the two that digit data sets use
_LONGEST_HEADER = 16  # bytes: the magic number and three sizes


class BrokenFile(Exception):
    """A file that is no IDX file, or not the whole of one, or not of the kind that it should be."""


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes straight into one array; only its header and its length are checked.

    Returns:
        uint8 values in the shape that the header gives.

    Raises:
        BrokenFile: not IDX, not of bytes, or longer or shorter than its header says.
        OSError: not there, or not readable.
    """
    with path.open("rb", buffering=0) as file:
        dtype, shape, offset = _parse_header(file.read(_LONGEST_HEADER), os.fstat(file.fileno()).st_size)
        if dtype != np.uint8:
            raise BrokenFile("does not hold bytes")
        file.seek(offset)
        values = np.fromfile(file, dtype)
    return values.reshape(shape)


def decode_idx(content: bytes) -> np.ndarray:
    """The values of an IDX file that is already in memory: uint8 or big-endian int32, sharing that memory.

    Raises:
        BrokenFile: not IDX, or longer or shorter than its header says.
    """
    dtype, shape, offset = _parse_header(content[:_LONGEST_HEADER], len(content))
    return np.frombuffer(content, dtype, offset=offset).reshape(shape)


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write uint8 values [N, ...], at most three axes, so that `path` at any moment is a whole file or not there.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    with part_file(path) as part:
        with part.open("xb") as file:
            file.write(np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes())
            file.write(np.ascontiguousarray(values, np.uint8).data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut may keep the new name and lose the content
        part.replace(path)


def _parse_header(header: bytes, size: int) -> tuple[np.dtype, tuple[int, ...], int]:
    """Type, shape and length in bytes of the header, checked against the size of the whole file in bytes."""
    axes = header[3] if len(header) >= 4 else 0
    offset = 4 + 4 * axes
    if header[:2] != b"\0\0" or header[2] not in _TYPES or not 1 <= axes <= 3 or len(header) < offset:
        raise BrokenFile("is no IDX file")
    dtype = _TYPES[header[2]]
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", count=axes, offset=4))
    expected = offset + dtype.itemsize * math.prod(shape)
    if size != expected:
        raise BrokenFile(f"has {size:,} bytes instead of the {expected:,} that its header announces")
    return dtype, shape, offset
