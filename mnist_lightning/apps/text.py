"""Text in pictures: OpenCV's own TrueType font, anti-aliased, placed by its left, middle or right."""

from __future__ import annotations

import functools

import cv2
import numpy as np

Colour = tuple[int, int, int]
"""Blue, green, red, each 0 to 255."""


@functools.cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")  # Rubik, which is built in


def drawable(text: str) -> str:
    """The text with "?" for half a surrogate pair, at which OpenCV ends with a segmentation fault."""
    return text.encode("utf-8", "replace").decode("utf-8")


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: int, weight: int = 400) -> int:
    """Width of a line of text in pixels."""
    return int(cv2.getTextSize((0, 0), drawable(text), (0, 0), _font(), size, weight)[2])


def write(
    image: np.ndarray,
    text: str,
    at: tuple[int, int],
    size: int,
    colour: Colour,
    weight: int = 400,
    align: str = "left",
) -> None:
    """Write a line of text into a BGR image, in place.

    Args:
        image: uint8 [H, W, 3].
        text: the line.
        at: x of its left, middle or right, and y of the line that its letters stand on, pixels.
        size: of the letters, pixels.
        colour: BGR.
        weight: 300 light, 400 regular, 600 strong, 800 heavy.
        align: "left", "middle" or "right".
    """
    if not text:
        return
    x, y = at
    if align != "left":
        x -= text_width(text, size, weight) // (2 if align == "middle" else 1)
    cv2.putText(image, drawable(text), (x, y), colour, _font(), size, weight)
