"""How wide strokes are, and the same strokes with another width. Ink is uint8 [h, w], bright on 0.

Ink is rarely even: a ball pen skips, a scanner thins a hairline out, a shrunken picture leaves some of a stroke at a
fifth of the grey level of the rest. So what belongs to a stroke is decided by its neighbourhood, and no stroke is lost
because another one is darker.
"""

from __future__ import annotations

import cv2
import numpy as np

_FLOOR = 0.2  # share of the strongest ink; weaker ink is not fully evened, or dirt would become strokes
_THINNEST = 3.0  # half the width that thinning leaves a stroke, pixels
_REACH = 6  # of the neighbourhood in which the width of a stroke is then looked for, pixels
_FAINT = 25  # of 255; ink below it is a rim, or noise


def stretch(peak: int) -> np.ndarray:
    """Table [256] for `cv2.LUT` that takes `peak` to 255 (on big pictures much faster than multiplying)."""
    return np.minimum(np.arange(256) * (255 / max(peak, 1)) + 0.5, 255).astype(np.uint8)


def measure_stroke_width(ink: np.ndarray) -> float:
    """Mean width of the strokes in ink [h, w], in its pixels.

    Across a stroke of width w the distance to its edge runs evenly from 0 to w / 2, mean w / 4.
    """
    mask = cv2.threshold(ink, 127, 255, cv2.THRESH_BINARY)[1]
    # The rim makes ink that touches the edge of the picture end there.
    distance = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    pixels = cv2.countNonZero(mask)
    return 4 * (cv2.sumElems(distance)[0] / pixels - 0.5) if pixels else 0.0


def even_ink(ink: np.ndarray, reach: int) -> np.ndarray:
    """Ink whose strokes are all about 255, whatever the grey levels they were drawn with.

    Each pixel is divided by the strongest ink within `reach` pixels: the flank of a strong stroke stays faint, and a
    faint stroke that stands alone becomes strong.
    """
    side = 2 * reach + 1
    peak = cv2.blur(cv2.dilate(ink, np.ones((side, side), np.uint8)), (side, side), borderType=cv2.BORDER_REPLICATE)
    lowest = max(round(_FLOOR * cv2.minMaxLoc(ink)[1]), 1)
    return cv2.divide(ink, np.maximum(peak, np.uint8(lowest)), scale=255)


def is_even(ink: np.ndarray, reach: int) -> bool:
    """Whether one level, half of the strongest ink, tells strokes from paper as well as each neighbourhood's own."""
    strong = cv2.countNonZero(cv2.threshold(ink, 127, 255, cv2.THRESH_BINARY)[1])
    visible = cv2.countNonZero(cv2.threshold(ink, _FAINT, 255, cv2.THRESH_BINARY)[1])
    if visible <= 1.35 * strong:  # little ink is faint at all: the soft rims of the strokes
        return True
    return strong > 0.85 * cv2.countNonZero(cv2.threshold(even_ink(ink, reach), 127, 255, cv2.THRESH_BINARY)[1])


def redraw(ink: np.ndarray, grow: float) -> np.ndarray:
    """Ink with each edge of its strokes moved outwards by `grow` pixels (inwards where it is negative).

    Returns:
        uint8, larger than `ink` by a margin on each side; all zeros where the strokes were thinned to nothing.
    """
    margin = 8 + round(abs(grow))
    mask = cv2.threshold(ink, 127, 255, cv2.THRESH_BINARY)[1]
    mask = cv2.copyMakeBorder(mask, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    # Signed distance to the edge, positive inside.
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(cv2.bitwise_not(mask), cv2.DIST_L2, 5)
    signed = np.where(mask > 0, inside - 0.5, 0.5 - outside)
    if grow < 0:  # what is thin already is not thinned away
        half = cv2.dilate(inside, np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)) - 0.5
        signed = signed + np.maximum(0, np.minimum(_THINNEST - half, 0) - grow)
    return np.clip((signed + grow + 0.5) * 255, 0, 255).astype(np.uint8)
