"""The sheet of paper in a photograph that also shows what it lies on."""

from __future__ import annotations

import cv2
import numpy as np

_SIDE = 96  # longest side of the picture that the sheet is looked for in, pixels
_SHARE = 0.1, 0.95  # of the picture that a sheet covers, at least and at most
_RECTANGLE = 0.85  # share of the smallest rectangle around it that a sheet fills
_EVEN = 0.6  # share of a sheet that is paper
_APART = 25.0  # least difference in grey level between a sheet and what it lies on
_INSET = 0.03  # share of a sheet's sides that is left out, with its soft edge and its shadow


def only_sheet(image: np.ndarray) -> np.ndarray:
    """Cover what a sheet lies on with the colour of the sheet.

    Args:
        image: uint8, grey [H, W] or BGR [H, W, 3], a photograph.

    Returns:
        A picture of the same shape; `image` itself if no sheet with all its corners is visible.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    small = cv2.resize(
        image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    grey = cv2.GaussianBlur(small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (3, 3), 0)
    bright = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    for mask in (bright, cv2.bitwise_not(bright)):
        corners = _rectangle(mask, grey)
        if corners is None:
            continue
        inside = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(inside, np.round((corners + 0.5) / scale - 0.5).astype(np.int32), 255)
        paper = np.median(image[inside > 0].reshape(-1, *image.shape[2:]), axis=0).astype(np.uint8)
        result = np.full_like(image, paper)
        result[inside > 0] = image[inside > 0]
        return result
    return image


def _rectangle(mask: np.ndarray, grey: np.ndarray) -> np.ndarray | None:
    """Corners, float [4, 2], of the largest piece of a mask [h, w], a little inside it, if it is a sheet; else None."""
    height, width = mask.shape
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)
    left, top, across, down = cv2.boundingRect(outline)
    sides = sum((left <= 0, top <= 0, left + across >= width, top + down >= height))
    (x, y), size, angle = cv2.minAreaRect(outline)
    area = cv2.contourArea(outline)
    if sides > 1 or not _SHARE[0] <= area / mask.size <= _SHARE[1] or area < _RECTANGLE * size[0] * size[1]:
        return None
    filled = cv2.drawContours(np.zeros_like(mask), [outline], -1, 255, -1)
    inner, outer = grey[(filled > 0) & (mask > 0)], grey[filled == 0]
    if cv2.countNonZero(mask & filled) < _EVEN * cv2.countNonZero(filled):
        return None
    if abs(float(np.median(inner)) - float(np.median(outer))) < _APART:
        return None
    inset = 2 * max(1.5, _INSET * min(size))
    return cv2.boxPoints(((x, y), (max(size[0] - inset, 1), max(size[1] - inset, 1)), angle))
