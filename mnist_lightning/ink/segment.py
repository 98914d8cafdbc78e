"""Several digits side by side -> one group of ink each, left to right.

Works on strokes, where it is known what the pen did in one go, and on pixels, where only what touches is
known. Both are cut into pieces (a stroke, a connected component), and pieces that lie over one another,
or are too short to be digits, are joined; all by their boxes and by how high the writing is. Knows nothing
of what a digit looks like. Digits that touch in pixels, or are written in one stroke, are not cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mnist_lightning.ink.extract import FAINT
from mnist_lightning.ink.width import measure_stroke_width
from mnist_lightning.ink.strokes import Stroke

# Shares of the height of the two pieces together, or of the narrower one's width.
_SHORT = 0.75  # a digit is about as high as its neighbour; a piece lower than this may be half a digit
_NEAR = 0.14  # widest gap between the halves of a digit, as the two strokes of an open 4
_OVERLAP = 0.3  # digits of the same height may lean over one another by this much of the narrower one
_SPECK = 0.2  # a piece smaller than this share of the tallest, in both directions, is no digit of its own
_MOST = 64  # pieces looked at, the largest; a number has fewer, a scribble or noise may have thousands


def segment_strokes(strokes: Sequence[Stroke]) -> list[list[Stroke]]:
    """Sort strokes into digits.

    Args:
        strokes: in the order they were drawn; strokes without points are ignored.

    Returns:
        One list of strokes for each digit, left to right; within a digit in drawing order.
    """
    strokes = [stroke for stroke in strokes if stroke.points]
    paths = [stroke.path() for stroke in strokes]
    boxes = [np.concatenate([path.min(axis=0), path.max(axis=0)]) for path in paths]
    return [[strokes[index] for index in group] for group in group_boxes(np.reshape(boxes, (-1, 4)))]


def segment_ink(ink: np.ndarray) -> list[np.ndarray]:
    """Cut a picture of several digits into pictures of one.

    Args:
        ink: uint8 [h, w], bright on exact 0, as `extract_ink` returns it.

    Returns:
        For each digit, left to right, a copy of `ink` [h, w] with all other ink removed.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.threshold(ink, FAINT, 255, cv2.THRESH_BINARY)[1])
    corner, size = stats[1:count, :2].astype(float), stats[1:count, 2:4].astype(float)
    half = np.minimum(measure_stroke_width(ink), size) / 2
    boxes = np.concatenate([corner + half, corner + size - half], axis=1)
    digits = []
    for group in group_boxes(boxes):
        mask = np.isin(labels, [index + 1 for index in group]).astype(np.uint8)
        # With its faint rim, up to where the next digit's begins.
        rim = cv2.dilate(mask, np.ones((3, 3), np.uint8)) * (labels == 0)
        digits.append(np.where(mask | rim, ink, 0).astype(np.uint8))
    return digits


def group_boxes(boxes: np.ndarray) -> list[list[int]]:
    """Sort pieces of writing into digits by where the pen went.

    Args:
        boxes: [n, 4], left, top, right, bottom of the middle of each piece's strokes: half a pen narrower on
            each side than its ink.

    Returns:
        For each digit, left to right, the indices of its pieces in ascending order.
    """
    if len(boxes) == 0:
        return []
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    size = np.maximum(width, height)
    by_size = np.argsort(-size, kind="stable")
    large = by_size[:_MOST][size[by_size[:_MOST]] >= _SPECK * height.max()]
    groups = [[int(index)] for index in large]
    extents = boxes[large]
    for belong in (_lie_over, _complete):
        groups, extents = _join(groups, extents, belong)
    for index in np.setdiff1d(by_size, large):  # dots and slips of the pen go to the nearest digit
        groups[int(np.argmin(_gap(extents, boxes[index])))].append(int(index))
    return [sorted(groups[i]) for i in np.argsort(extents[:, 0] + extents[:, 2], kind="stable")]


def _join(
    groups: list[list[int]],
    extents: np.ndarray,
    belong: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[list[list[int]], np.ndarray]:
    """Join groups that belong together, the closest in x first: a bar between two digits is the nearer one's."""
    while True:
        a, b = extents[:, None], extents[None, :]
        together = belong(a, b) & ~np.eye(len(extents), dtype=bool)
        if not together.any():
            return groups, extents
        closest = np.argmin(np.where(together, _gap(a, b), np.inf))
        first, second = sorted(int(i) for i in np.unravel_index(closest, together.shape))
        extents[first, :2] = np.minimum(extents[first, :2], extents[second, :2])
        extents[first, 2:] = np.maximum(extents[first, 2:], extents[second, 2:])
        extents = np.delete(extents, second, axis=0)
        groups[first] = groups[first] + groups.pop(second)


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Horizontal distance between boxes [..., 4]; negative where they overlap in x."""
    return np.maximum(a[..., 0], b[..., 0]) - np.minimum(a[..., 2], b[..., 2])


def _heights(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height of both boxes together, and whether one of them is too low for a digit beside the other."""
    height = np.maximum(a[..., 3], b[..., 3]) - np.minimum(a[..., 1], b[..., 1])
    return height, np.minimum(a[..., 3] - a[..., 1], b[..., 3] - b[..., 1]) < _SHORT * height


def _lie_over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether two pieces share so much of x that they are one digit: a bar and what it crosses."""
    height, short = _heights(a, b)
    narrower = np.minimum(a[..., 2] - a[..., 0], b[..., 2] - b[..., 0])
    return -_gap(a, b) > np.where(short, 0, _OVERLAP * np.maximum(narrower, 0.1 * height))


def _complete(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether a piece too low for a digit stands so close to another that it is part of it."""
    height, short = _heights(a, b)
    return short & (_gap(a, b) < _NEAR * height)
