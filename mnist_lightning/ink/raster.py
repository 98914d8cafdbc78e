"""Strokes -> anti-aliased grey images.

Two pictures of the same strokes: `Layer` is the sheet that a person looks at, at any resolution and with
the pen's own width, kept up to date stroke by stroke; `draw_digit` is what `normalise` is given, free of
where, how large and with what pen the digit was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mnist_lightning.ink.normalise import BOX
from mnist_lightning.ink.paths import smooth_path
from mnist_lightning.ink.strokes import Stroke

STROKE_WIDTH = 2.3  # of a digit drawn for the network, pixels of the 28x28 field; measures as MNIST's median

_FINE = 4  # oversampling of that field
_SHIFT = 4  # OpenCV draws at coordinates in 1/16 pixel
_SPACING = 4.0  # longest straight piece of a curve, pixels


def draw_digit(strokes: Sequence[Stroke], width: float = STROKE_WIDTH) -> np.ndarray:
    """Draw strokes as `normalise` likes them: four times MNIST's size, with MNIST's stroke width.

    Because the pen's path is known, its width need not be guessed and mended in the pixels: the picture
    is the same wherever, however large and with whatever pen the digit was drawn.

    Args:
        strokes: one digit, in any unit.
        width: width of the strokes, pixels of the 28x28 field.

    Returns:
        uint8 [h, w], bright ink on 0, cropped, longest side 80; [1, 1] zero without strokes.
    """
    paths = [stroke.path() for stroke in strokes if stroke.points]
    if not paths:
        return np.zeros((1, 1), np.uint8)
    points = np.concatenate(paths)
    corner, extent = points.min(axis=0), np.ptp(points, axis=0)
    # What is smaller than the pen is a dot; blowing it up would draw the mouse's jitter.
    longest = max(float(extent.max()), max(stroke.width for stroke in strokes))
    radius = width * _FINE / 2
    margin = round(radius - 0.5)
    scale = (BOX * _FINE - 1 - 2 * margin) / longest
    across, down = (round(side) + 1 + 2 * margin for side in (extent * scale).tolist())
    paper = np.full((down, across), 255, np.uint8)
    for path in paths:
        fine = smooth_path((path - corner) * scale + margin, _SPACING)
        fixed = np.round(fine[:, None] * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(paper, [fixed], False, 0, 1, cv2.LINE_8, _SHIFT)
    # OpenCV's thick lines come in whole odd widths; the distance to a thin line gives any width exactly.
    distance = cv2.distanceTransform(paper, cv2.DIST_L2, 5)
    return cv2.addWeighted(distance, -255, distance, 0, 255 * (radius + 0.5), dtype=cv2.CV_8U)


class Layer:
    """The ink of a drawing at the resolution of a screen, redrawn only where it changed."""

    def __init__(self, height: int, width: int, scale: float = 1.0) -> None:
        """An empty sheet of height x width pixels; `scale` is pixels per unit of the strokes' coordinates."""
        self.scale = scale
        self._settled = np.zeros((height, width), np.uint8)
        self._drawn: list[tuple[Stroke, int]] = []  # strokes on it, and up to which point

    def update(self, strokes: Sequence[Stroke]) -> np.ndarray:
        """Bring the sheet up to date.

        Costs the new points only, as long as strokes are added or the last ones grow; anything else
        (undo, erase, clear) draws all again.

        Returns:
            uint8 [height, width], ink 255 on 0, anti-aliased; a new array, the caller's to keep.
        """
        kept = len(self._drawn) <= len(strokes) and all(
            drawn is stroke for (drawn, _), stroke in zip(self._drawn, strokes, strict=False)
        )
        if not kept:
            self._settled[:] = 0
            self._drawn = []
        for index, stroke in enumerate(strokes):
            if index == len(self._drawn):
                self._drawn.append((stroke, 0))
            done = self._drawn[index][1]
            # The last step of the stroke being drawn still bends with the next point: it is not settled.
            settled = len(stroke.points) - (2 if index == len(strokes) - 1 else 1)
            if settled > done or (settled == 0 and index < len(strokes) - 1):
                self._draw(self._settled, stroke, done, settled)
                self._drawn[index] = (stroke, settled)
        shown = self._settled.copy()
        if strokes:
            self._draw(shown, strokes[-1], self._drawn[-1][1], len(strokes[-1].points) - 1)
        return shown

    def _draw(self, image: np.ndarray, stroke: Stroke, start: int, end: int) -> None:
        points = stroke.path() * self.scale
        _draw_path(image, smooth_path(points, _SPACING, start, end), stroke.width * self.scale)


def _draw_path(image: np.ndarray, path: np.ndarray, width: float) -> None:
    """Draw a polyline of pixel coordinates [n, 2] with round ends and joints into a uint8 image, in place."""
    thickness = max(1, 2 * round((width - 1.5) / 2))  # OpenCV draws 2 n as 2 n + 1.5 wide, and 1 as 1.3
    fixed = np.round(np.clip(path, -1e4, 3e4) * (1 << _SHIFT)).astype(np.int32)
    if len(fixed) == 1:
        centre = (int(fixed[0, 0]), int(fixed[0, 1]))
        cv2.circle(image, centre, round(width * (1 << _SHIFT) / 2), 255, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    else:
        cv2.polylines(image, [fixed[:, None]], False, 255, thickness, cv2.LINE_AA, _SHIFT)
