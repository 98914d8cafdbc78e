"""Strokes -> anti-aliased grey images.

Two pictures of the same strokes: `Layer` is the sheet that a person looks at, at any resolution and with
the pen's own width, kept up to date stroke by stroke; `draw_digit` is what `normalise` is given, independent of
where, how large and with what pen the digit was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mnist_lightning.ink import Box
from mnist_lightning.ink.normalise import BOX
from mnist_lightning.ink.paths import smooth_path
from mnist_lightning.ink.strokes import Stroke

STROKE_WIDTH = 2.3  # of a digit drawn for the network, pixels of the 28x28 field; measures the same as MNIST's median

_FINE = 4  # oversampling of that field
_SHIFT = 4  # OpenCV draws at coordinates in 1/16 pixel
_SPACING = 4.0  # longest straight piece of a curve, pixels


def draw_digit(strokes: Sequence[Stroke], width: float = STROKE_WIDTH) -> np.ndarray:
    """Draw strokes in the form that suits `normalise`: four times MNIST's size, with MNIST's stroke width.

    Because the pen's path is known, its width need not be estimated and corrected in the pixels: the picture
    is the same wherever, however large and with whatever pen the digit was drawn.

    Args:
        strokes: one digit, in any unit.
        width: width of the strokes, pixels of the 28x28 field.

    Returns:
        uint8 [h, w], bright ink on 0, its longest side 80 in a rim of one pixel; [1, 1] zero without strokes.
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
    ink = cv2.addWeighted(distance, -255, distance, 0, 255 * (radius + 0.5), dtype=cv2.CV_8U)
    return cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT)  # a rim that shows the background


class Layer:
    """The ink of a drawing at the resolution of a screen, redrawn only where it changed.

    Attributes:
        changed: the part of the sheet that the last `update` may have changed.
    """

    def __init__(self, height: int, width: int, scale: float = 1.0) -> None:
        """An empty sheet of height x width pixels; `scale` is pixels per unit of the strokes' coordinates."""
        self.scale = scale
        self.changed: Box = (0, 0, 0, 0)
        self._shown = np.zeros((height, width), np.uint8)
        self._settled = np.zeros((height, width), np.uint8)
        self._drawn: list[tuple[Stroke, int]] = []  # strokes on it, and up to which point
        self._loose: Box = (0, 0, 0, 0)  # where what is shown differs from what is settled

    def update(self, strokes: Sequence[Stroke]) -> np.ndarray:
        """Bring the sheet up to date.

        Costs the new points only, as long as strokes are added or the last one grows; anything else
        (undo, erase, clear) redraws everything.

        Returns:
            uint8 [height, width], ink 255 on 0, anti-aliased; not to be written to, valid until the next call.
        """
        parts = [self._loose]
        kept = len(self._drawn) <= len(strokes) and all(
            drawn is stroke for (drawn, _), stroke in zip(self._drawn, strokes, strict=False)
        )
        if not kept:
            self._settled[:] = 0
            self._drawn = []
            parts.append((0, 0, self._settled.shape[1], self._settled.shape[0]))
        for index, stroke in enumerate(strokes):
            if index == len(self._drawn):
                self._drawn.append((stroke, -1))
            done = self._drawn[index][1]
            # The last step of the stroke being drawn still bends with the next point: it is not settled.
            settled = len(stroke.points) - (2 if index == len(strokes) - 1 else 1)
            if settled > done:
                parts.append(self._draw(self._settled, stroke, max(done, 0), settled))
                self._drawn[index] = (stroke, settled)
        left, top, right, bottom = around = _union(parts)
        self._shown[top:bottom, left:right] = self._settled[top:bottom, left:right]
        self._loose = (0, 0, 0, 0)
        if strokes:
            self._loose = self._draw(self._shown, strokes[-1], max(self._drawn[-1][1], 0), len(strokes[-1].points) - 1)
        self.changed = _union([around, self._loose])
        return self._shown

    def _draw(self, image: np.ndarray, stroke: Stroke, start: int, end: int) -> Box:
        """Draw a stroke from one of its points to another; returns where."""
        curve = smooth_path(stroke.path() * self.scale, _SPACING, start, end)
        width = stroke.width * self.scale
        _draw_path(image, curve, width)
        reach = width / 2 + 3  # the soft edge, and OpenCV's rounding of widths
        left, top = (curve.min(axis=0) - reach).tolist()
        right, bottom = (curve.max(axis=0) + reach).tolist()
        height, wide = image.shape
        return (
            min(max(int(left), 0), wide),
            min(max(int(top), 0), height),
            min(max(int(right) + 1, 0), wide),
            min(max(int(bottom) + 1, 0), height),
        )


def _union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all that are not empty."""
    boxes = [box for box in boxes if box[0] < box[2] and box[1] < box[3]] or [(0, 0, 0, 0)]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _draw_path(image: np.ndarray, path: np.ndarray, width: float) -> None:
    """Draw a polyline of pixel coordinates [n, 2] with round ends and joints into a uint8 image, in place."""
    thickness = max(1, 2 * round((width - 1.5) / 2))  # OpenCV draws 2 n as 2 n + 1.5 wide, and 1 as 1.3
    fixed = np.round(np.clip(path, -1e4, 3e4) * (1 << _SHIFT)).astype(np.int32)
    if len(fixed) == 1:
        fixed = np.repeat(fixed, 2, axis=0)  # a line of no length is a dot
    cv2.polylines(image, [fixed[:, None]], False, 255, thickness, cv2.LINE_AA, _SHIFT)
