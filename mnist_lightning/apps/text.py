"""Text in pictures: OpenCV's built-in TrueType font, anti-aliased, placed by its left, middle or right."""

from __future__ import annotations

import functools
import unicodedata

import cv2
import numpy as np

Colour = tuple[int, int, int]
"""Blue, green, red, each 0 to 255."""


@functools.cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")  # Rubik, which is built in


@functools.lru_cache(maxsize=4096)
def drawable(text: str) -> str:
    """The text without what OpenCV cannot draw: half a surrogate pair ends the process, a control code has no shape."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: int, weight: int = 400) -> int:
    """Width of a line of text in pixels."""
    return int(cv2.getTextSize((0, 0), drawable(text), (0, 0), _font(), size, weight)[2])


def write(image: np.ndarray, text: str, at: tuple[int, int], size: int, colour: Colour, weight: int = 400) -> None:
    """Write a line of text into a BGR image, in place.

    Args:
        image: uint8 [H, W, 3].
        text: the line.
        at: x of its left end and y of its baseline, pixels; see `centred` and `ended`.
        size: of the letters, pixels.
        colour: BGR.
        weight: 300 light, 400 regular, 600 strong, 800 heavy.
    """
    if text:
        cv2.putText(image, drawable(text), at, colour, _font(), size, weight)


def centred(text: str, at: tuple[int, int], size: int, weight: int = 400) -> tuple[int, int]:
    """Where a line of text begins if its middle is at `at`."""
    return at[0] - text_width(text, size, weight) // 2, at[1]


def write_centred(
    image: np.ndarray, text: str, at: tuple[int, int], size: int, colour: Colour, weight: int = 400
) -> None:
    """As `write`, with the middle of the line at `at`."""
    write(image, text, centred(text, at, size, weight), size, colour, weight)


def ended(text: str, at: tuple[int, int], size: int, weight: int = 400) -> tuple[int, int]:
    """Where a line of text begins if its right end is at `at`."""
    return at[0] - text_width(text, size, weight), at[1]


def shortened(text: str, size: int, room: int, weight: int = 400) -> str:
    """The text, cut off with an ellipsis where it is wider than `room` pixels."""
    if text_width(text, size, weight) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        if text_width(text[:middle] + "…", size, weight) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"
