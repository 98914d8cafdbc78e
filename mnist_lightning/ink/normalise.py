"""Any picture of one digit -> 28x28, prepared the way MNIST was.

Knows nothing of strokes, windows or networks: an array goes in, an array comes out. The recipe is that
of LeCun, Cortes and Burges (http://yann.lecun.com/exdb/mnist): the ink is shrunk into a 20x20 box with
its aspect kept and area anti-aliasing, then shifted by whole pixels until its centre of mass lies on the
pixel (14, 14) of a 28x28 field. An image that already is in that form is a fixed point.
"""

from __future__ import annotations

import cv2
import numpy as np

from mnist_lightning.ink.extract import FAINT, extract_ink, stretch

SIZE = 28  # side of the field that the network sees, pixels
BOX = 20  # longest side of the ink in it, pixels
CENTRE = 14  # index of the pixel on which MNIST puts the centre of mass (measured: 13.5 to 14.5 in all)

STROKE_WIDTH_RANGE = (1.3, 4.9)  # pixels of the 28x28 field; 1st and 99th percentile of MNIST, training set

_FINE = 4  # oversampling of the box where stroke width is measured and changed


def normalise(image: np.ndarray, *, stroke_width: tuple[float, float] | None = STROKE_WIDTH_RANGE) -> np.ndarray:
    """Bring a picture of one digit into the form of MNIST.

    Args:
        image: uint8, grey [H, W] or [H, W, 1], BGR [H, W, 3] or BGRA [H, W, 4]; dark ink on light or light
            ink on dark, drawn, scanned or photographed. The background is what most of the rim shows.
        stroke_width: thinnest and thickest stroke allowed in the result, in its pixels; ink outside is
            thickened or thinned to the nearer bound. `None` leaves the width as it is.

    Returns:
        uint8 [28, 28], bright ink on 0; all zeros if there is no ink.
    """
    return normalise_ink(extract_ink(image), stroke_width)


def normalise_ink(ink: np.ndarray, stroke_width: tuple[float, float] | None = STROKE_WIDTH_RANGE) -> np.ndarray:
    """As `normalise`, for a picture that is known to be ink, uint8 [H, W], bright on exact 0: no paper to be found."""
    # The faint rim of a stroke may be JPEG's ringing: it is kept, but the box does not follow it.
    box = bounding_box(cv2.threshold(ink, FAINT, 255, cv2.THRESH_BINARY)[1]) if ink.size else None
    if box is None:
        return np.zeros((SIZE, SIZE), np.uint8)
    left, top, right, bottom = box
    fitted = _fit(ink[top:bottom, left:right], stroke_width)
    if fitted is None:  # its strokes and its size are MNIST's already
        fitted = ink[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
    return centre(fitted)


def bounding_box(ink: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the pixels above 0 (right and bottom exclusive), or None if there are none."""
    left, top, width, height = cv2.boundingRect(ink) if ink.size else (0, 0, 0, 0)
    return (left, top, left + width, top + height) if width else None


def centre(ink: np.ndarray) -> np.ndarray:
    """Lay ink [h, w] (at most 28x28, or 20x20 at its best) on a 28x28 field by its centre of mass.

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


def measure_stroke_width(ink: np.ndarray) -> float:
    """Mean width of the strokes in ink [h, w], in its pixels.

    Across a stroke of width w the distance to its edge runs evenly from 0 to w / 2, mean w / 4.
    """
    mask = cv2.threshold(ink, 127, 255, cv2.THRESH_BINARY)[1]
    # The rim makes ink that touches the edge of the picture end there.
    distance = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    pixels = cv2.countNonZero(mask)
    return 4 * (float(distance.sum()) / pixels - 0.5) if pixels else 0.0


def _fit(ink: np.ndarray, stroke_width: tuple[float, float] | None) -> np.ndarray | None:
    """Shrink (or blow up) tightly cropped ink so that its longest side is 20; None if nothing is to do."""
    if max(ink.shape) > BOX * _FINE:
        ink = _resize(ink, BOX * _FINE)
    if stroke_width is not None:
        fine = _resize(ink, BOX * _FINE)
        peak = int(cv2.minMaxLoc(fine)[1])
        width = measure_stroke_width(cv2.LUT(fine, stretch(peak))) / _FINE
        wanted = min(max(width, stroke_width[0]), stroke_width[1])
        if wanted != width:
            return _with_width(cv2.LUT(fine, stretch(peak)), width, wanted)
    return None if max(ink.shape) == BOX else _resize(ink, BOX)


def _resize(ink: np.ndarray, longest: int) -> np.ndarray:
    scale = longest / max(ink.shape)
    if scale == 1:
        return ink
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    return cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _with_width(fine: np.ndarray, width: float, wanted: float) -> np.ndarray:
    """Redraw ink, oversampled in its box, with strokes of another width; the result fits the box again."""
    # The pen's path is `width` smaller than the ink; after the change the ink must again be BOX long.
    path = max(BOX - width, 1.0)
    scale = max(BOX - wanted, 1.0) / path
    pad = 2 * _FINE + round(_FINE * abs(wanted - width))
    fine = cv2.copyMakeBorder(fine, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    mask = cv2.threshold(fine, 127, 255, cv2.THRESH_BINARY)[1]
    # Signed distance to the edge, positive inside, in fine pixels.
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(cv2.bitwise_not(mask), cv2.DIST_L2, 5)
    signed = np.where(mask > 0, inside - 0.5, 0.5 - outside)
    grow = _FINE * (wanted / scale - width) / 2
    redrawn = np.clip((signed + grow + 0.5) * 255, 0, 255).astype(np.uint8)
    box = bounding_box(redrawn)
    if box is None:  # thinned to nothing: better too thick
        return _resize(fine[pad:-pad, pad:-pad], BOX)
    left, top, right, bottom = box
    return _resize(redrawn[top:bottom, left:right], BOX)
