"""Untrusted image files: their type and size, checked before they are decoded."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from mnist_lightning.errors import UserError
from mnist_lightning.ink.images import decode_picture
from mnist_lightning.service.problems import Problem

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GREY = b"\x08\x00"  # of a PNG: eight bits per pixel, no colour
_SMALL = 64  # longest side of a picture that is decoded without Pillow, pixels
_MOST_SCANS = 100  # of a progressive JPEG; each costs a pass over all pixels


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height that a PNG or JPEG file claims.

    Raises:
        Problem: it is neither (415), or broken (422).
    """
    try:
        if data.startswith(_PNG):
            width, height = struct.unpack(">II", data[16:24])
            return width, height
        if data.startswith(_JPEG):
            return _jpeg_size(data)
    except (struct.error, IndexError):
        raise Problem(422, "The picture is broken: its header is cut off.") from None
    raise Problem(415, "The picture is neither PNG nor JPEG: send one of these.")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    if data.count(b"\xff\xda") > _MOST_SCANS:
        raise Problem(422, f"The JPEG has more than {_MOST_SCANS} scans: save it again.")
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker, length = struct.unpack(">xBH", data[at : at + 4])
        if data[at] != 0xFF or length < 2:
            raise IndexError
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of a frame
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length


def decode(data: bytes, most_pixels: int) -> tuple[np.ndarray, int]:
    """Decode a PNG or JPEG file of at most `most_pixels` pixels.

    Returns:
        uint8, grey [H, W], BGR [H, W, 3] or BGRA [H, W, 4]; and how many pixels of the file, along each side, became
        one of these.

    Raises:
        Problem: it is neither (415), broken (422), or too large (413).
    """
    width, height = size_of(data)
    if width * height > most_pixels:
        raise Problem(413, f"The picture has {width} x {height} pixels: at most {most_pixels:,} are read.")
    if data[24:26] == _GREY and max(width, height) <= _SMALL and b"tRNS" not in data and b"eXIf" not in data:
        plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # in a tenth of the time
        if plain is not None:
            return plain, 1
    try:
        picture = decode_picture(data, "The picture")
    except UserError as error:
        raise Problem(422, str(error)) from None
    return picture.pixels, picture.shrunk
