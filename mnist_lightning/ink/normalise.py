"""Any picture of one digit -> 28x28, prepared the way MNIST was.

Knows nothing of strokes, windows or networks: an array goes in, an array comes out. The recipe is that
of LeCun, Cortes and Burges (http://yann.lecun.com/exdb/mnist): the ink is shrunk into a 20x20 box with
its aspect kept and area anti-aliasing, then shifted by whole pixels until its centre of mass lies on the
pixel (14, 14) of a 28x28 field. An image that is already in that form is a fixed point.
"""

from __future__ import annotations

import cv2
import numpy as np

from mnist_lightning.ink import Box
from mnist_lightning.ink.extract import FAINT, extract_ink
from mnist_lightning.ink.width import even_ink, is_even, measure_stroke_width, redraw, stretch

SIZE = 28  # side of the field that the network sees, pixels
BOX = 20  # longest side of the ink in it, pixels
CENTRE = 14  # index of the pixel on which MNIST puts the centre of mass (measured: 13.5 to 14.5 in all)

STROKE_WIDTH_RANGE = (2.0, 3.5)  # pixels of the 28x28 field; the middle 80 % of MNIST's training set
_MNIST_WIDTHS = (1.3, 4.9)  # 1st and 99th percentile there; what already has MNIST's size may have these

_FINE = 4  # oversampling of the box where stroke width is measured and changed
_REACH = 4  # of a pixel's neighbourhood there, fine pixels: half of a stroke's width
_LARGEST = 4 * BOX * _FINE  # larger ink is shrunk to this longest side and evened before it is shrunk further


def normalise(image: np.ndarray, *, stroke_width: tuple[float, float] | None = STROKE_WIDTH_RANGE) -> np.ndarray:
    """Bring a picture of one digit into the form of MNIST.

    Args:
        image: uint8, grey [H, W] or [H, W, 1], BGR [H, W, 3] or BGRA [H, W, 4]; dark ink on light or light
            ink on dark, drawn, scanned or photographed, with or without a frame.
        stroke_width: thinnest and thickest stroke allowed in the result, in its pixels; ink outside is
            thickened or thinned to the nearer bound. `None` leaves the width as it is.

    Returns:
        uint8 [28, 28], bright ink on 0; all zeros if there is no ink.
    """
    return normalise_ink(extract_ink(image), stroke_width)


def normalise_ink(ink: np.ndarray, stroke_width: tuple[float, float] | None = STROKE_WIDTH_RANGE) -> np.ndarray:
    """As `normalise`, for a picture that is already ink, uint8 [H, W], bright on exactly 0."""
    # The faint rim of a stroke may be JPEG's ringing: it is kept, but the box does not follow it.
    box = bounding_box(cv2.threshold(ink, FAINT, 255, cv2.THRESH_BINARY)[1]) if ink.size else None
    if box is None:
        return np.zeros((SIZE, SIZE), np.uint8)
    left, top, right, bottom = box
    fitted = _fit(ink[top:bottom, left:right], stroke_width)
    if fitted is None:  # its strokes and its size are MNIST's already
        fitted = ink[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
    return centre(fitted)


def bounding_box(ink: np.ndarray) -> Box | None:
    """The box of the pixels above 0, or None if there are none."""
    left, top, width, height = cv2.boundingRect(ink) if ink.size else (0, 0, 0, 0)
    return (left, top, left + width, top + height) if width else None


def centre(ink: np.ndarray) -> np.ndarray:
    """Lay ink [h, w] (at most 28x28, ideally 20x20) on a 28x28 field by its centre of mass.

    Whole-pixel shifts only, as in MNIST: nothing is blurred. Ink that would leave the field is kept in it.
    """
    field = np.zeros((SIZE, SIZE), np.uint8)
    moments = cv2.moments(ink)
    if moments["m00"] == 0:
        return field
    height, width = ink.shape
    top = CENTRE - round(moments["m01"] / moments["m00"])
    left = CENTRE - round(moments["m10"] / moments["m00"])
    top, left = min(max(top, 0), SIZE - height), min(max(left, 0), SIZE - width)
    field[top : top + height, left : left + width] = ink
    return field


def _fit(ink: np.ndarray, stroke_width: tuple[float, float] | None) -> np.ndarray | None:
    """Shrink (or blow up) tightly cropped ink so that its longest side is 20; None if there is nothing to do."""
    is_fitted = max(ink.shape) == BOX
    if stroke_width is None:
        return None if is_fitted else _resize(ink, BOX)
    fine = ink
    if max(ink.shape) > _LARGEST:  # a hairline keeps little of its grey level: restored before it is lost
        fine = _resize(fine, _LARGEST)
        fine = cv2.LUT(fine, stretch(int(cv2.minMaxLoc(fine)[1])))
        if not is_even(fine, _REACH):
            fine = even_ink(fine, _REACH)
    fine = _resize(fine, BOX * _FINE)
    fine = cv2.LUT(fine, stretch(int(cv2.minMaxLoc(fine)[1])))
    evened = fine if is_even(fine, _REACH) else even_ink(fine, _REACH)
    width = measure_stroke_width(evened) / _FINE
    thinnest, thickest = _MNIST_WIDTHS if is_fitted and stroke_width == STROKE_WIDTH_RANGE else stroke_width
    if evened is fine and thinnest <= width <= thickest:
        return None if is_fitted else _resize(ink, BOX)
    return _with_width(evened, width, min(max(width, stroke_width[0]), stroke_width[1]))


def _resize(ink: np.ndarray, longest: int) -> np.ndarray:
    scale = longest / max(ink.shape)
    if scale == 1:
        return ink
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    return cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _with_width(fine: np.ndarray, width: float, wanted: float) -> np.ndarray:
    """Redraw ink, oversampled in its box, with strokes of another width; the result fits the box again."""
    # The pen's path is `width` smaller than the ink; after the change the ink must again be BOX long.
    scale = max(BOX - wanted, 1.0) / max(BOX - width, 1.0)
    redrawn = redraw(fine, _FINE * (wanted / scale - width) / 2)
    box = bounding_box(redrawn)
    if box is None:  # thinned to nothing: better too thick
        return _resize(fine, BOX)
    left, top, right, bottom = box
    return _resize(redrawn[top:bottom, left:right], BOX)
