"""Shapes in BGR pictures, in place."""

from __future__ import annotations

import cv2
import numpy as np

from mnist_lightning.apps.layout import Rect
from mnist_lightning.apps.text import Colour


def fill(image: np.ndarray, rect: Rect, colour: Colour) -> None:
    """Fill a rectangle; what lies outside the picture is cut off."""
    if rect.width > 0 and rect.height > 0:  # both corners are inclusive in OpenCV
        cv2.rectangle(image, (rect.left, rect.top), (rect.right - 1, rect.bottom - 1), colour, -1)


def rim(rect: Rect, thickness: int) -> tuple[Rect, ...]:
    """The four sides of a rectangle, inside it."""
    thickness = max(min(thickness, rect.width // 2, rect.height // 2), 1)
    return (
        Rect(rect.left, rect.top, rect.width, thickness),
        Rect(rect.left, rect.bottom - thickness, rect.width, thickness),
        Rect(rect.left, rect.top, thickness, rect.height),
        Rect(rect.right - thickness, rect.top, thickness, rect.height),
    )


def border(image: np.ndarray, rect: Rect, colour: Colour, thickness: int = 1) -> None:
    """Draw the rim of a rectangle, inside it."""
    for side in rim(rect, thickness):
        fill(image, side, colour)


def box(image: np.ndarray, rect: Rect, inside: Colour, rim: Colour) -> None:
    """Fill a rectangle and draw its rim."""
    fill(image, rect, inside)
    border(image, rect, rim)


def cut(image: np.ndarray, rect: Rect) -> np.ndarray:
    """The part of a picture in a rectangle, as a view; smaller where it reaches beyond the picture."""
    return image[max(rect.top, 0) : max(rect.bottom, 0), max(rect.left, 0) : max(rect.right, 0)]


def paste(image: np.ndarray, picture: np.ndarray, rect: Rect) -> None:
    """Put a picture, grey [h, w] or BGR [h, w, 3], into a rectangle; what does not lie within `image` is cut off."""
    target = cut(image, rect)
    if not target.size:
        return
    picture = cv2.resize(picture, (rect.width, rect.height), interpolation=cv2.INTER_NEAREST)
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    target[:] = picture[: target.shape[0], : target.shape[1]]
