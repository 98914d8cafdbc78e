"""IDX, the file format of MNIST: a magic number, the sizes, then the bare values (big-endian throughout).

The format: http://yann.lecun.com/exdb/mnist. Knows nothing of digits or downloads.
"""

import math
import os
from pathlib import Path

import numpy as np

from mnist_lightning.data.download import part_file

_TYPES: dict[int, np.dtype] = {0x08: np.dtype(np.uint8), 0x0C: np.dtype(">i4")}  # the two that digit data sets use
_LONGEST_HEADER = 16  # bytes: the magic number and three sizes


class BrokenFile(Exception):
    """A file that is not IDX, is incomplete, or holds the wrong kind of values."""


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes straight into one array; only its header and its length are checked.

    Returns:
        uint8 values in the shape that the header gives.

    Raises:
        BrokenFile: not IDX, not of bytes, or longer or shorter than its header says.
        OSError: the file is missing or cannot be read.
    """
    return read_idx_with_status(path)[0]


def read_idx_with_status(path: Path) -> tuple[np.ndarray, os.stat_result]:
    """As `read_idx`, with the status of the very file that the values were read from."""
    with path.open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        dtype, shape, offset = _parse_header(file.read(_LONGEST_HEADER), status.st_size)
        if dtype != np.uint8:
            raise BrokenFile("does not hold bytes")
        file.seek(offset)
        values = np.fromfile(file, dtype)
    if values.size != math.prod(shape):
        raise BrokenFile("was cut short while it was read")
    return values.reshape(shape), status


def decode_idx(content: bytes) -> np.ndarray:
    """The values of an IDX file that is already in memory: uint8 or big-endian int32, sharing that memory.

    Raises:
        BrokenFile: not IDX, or longer or shorter than its header says.
    """
    dtype, shape, offset = _parse_header(content[:_LONGEST_HEADER], len(content))
    return np.frombuffer(content, dtype, offset=offset).reshape(shape)


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write uint8 values [N, ...], at most three axes, so that at any moment `path` is a whole file or missing.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    with part_file(path) as part:
        with part.open("xb") as file:
            file.write(encode_header(values))
            file.write(np.ascontiguousarray(values, np.uint8).data)
            file.flush()
            os.fsync(file.fileno())  # otherwise a power cut may keep the new name and lose the content
        part.replace(path)


def encode_header(values: np.ndarray) -> bytes:
    """The header of the IDX file that holds these uint8 values."""
    return np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes()


def _parse_header(header: bytes, size: int) -> tuple[np.dtype, tuple[int, ...], int]:
    """Type, shape and length in bytes of the header, checked against the size of the whole file in bytes."""
    axes = header[3] if len(header) >= 4 else 0
    offset = 4 + 4 * axes
    if not 1 <= axes <= 3 or len(header) < offset or header[:2] != b"\0\0" or header[2] not in _TYPES:
        raise BrokenFile("is not an IDX file")
    dtype = _TYPES[header[2]]
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", count=axes, offset=4))
    expected = offset + dtype.itemsize * math.prod(shape)
    if size != expected:
        raise BrokenFile(f"has {size:,} bytes instead of the {expected:,} that its header announces")
    return dtype, shape, offset
