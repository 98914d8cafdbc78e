"""Several digits, side by side and in rows -> one group of ink each.

Works on strokes, where it is known what the pen did in one go, and on pixels, where only what touches is
known. Both are cut into pieces (a stroke, a connected component), and pieces that lie over one another,
or are too short to be digits, are joined, all by their boxes and the height of the writing. Knows nothing
of what a digit looks like. Digits that touch in pixels, or are written in one stroke, are not cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np

from mnist_lightning.ink.extract import FAINT
from mnist_lightning.ink.strokes import Stroke
from mnist_lightning.ink.width import measure_stroke_width

# Shares of the height of the two pieces together, or of the narrower one's width.
_SHORT = 0.75  # a digit is about as high as its neighbour; a piece lower than this may be half a digit
_NEAR = 0.14  # widest gap between the halves of a digit, such as the two strokes of an open 4
_OVERLAP = 0.3  # digits of the same height may lean over one another by this much of the narrower one
_SPECK = 0.2  # a piece smaller than this share of the tallest, in both directions, is not a digit of its own
_TALL = 0.6  # a piece at least as high as this share of the tallest makes a row; others are added to one
_BESIDE = 0.3  # share of the lower one's height by which two pieces of a row overlap
_SLANTS = 0.0, -0.25, 0.25  # of a cut through touching digits, width over height
_APART = 0.1  # least distance between cuts, share of the height
_MOST = 64  # most pieces looked at, the largest ones; a number has fewer, a scribble or noise may have thousands
_GROWING = 2000  # most short pieces of which each is compared with all before it; a halftone has tens of thousands


def segment_stroke_rows(strokes: Sequence[Stroke]) -> list[list[list[Stroke]]]:
    """Sort strokes into rows of digits.

    Args:
        strokes: in the order they were drawn; strokes without points are ignored.

    Returns:
        The rows from the top; in each, one list of strokes for each digit, left to right; within a digit in drawing
        order.
    """
    strokes = [stroke for stroke in strokes if stroke.points]
    paths = [stroke.path() for stroke in strokes]
    boxes = [np.concatenate([path.min(axis=0), path.max(axis=0)]) for path in paths]
    rows = group_rows(np.reshape(boxes, (-1, 4)))
    return [[[strokes[index] for index in group] for group in row] for row in rows]


def segment_ink_rows(ink: np.ndarray) -> list[list[np.ndarray]]:
    """Cut a picture of several digits into pictures of one.

    Args:
        ink: uint8 [h, w], bright on exactly 0, as `extract_ink` returns it.

    Returns:
        The rows from the top; for each digit, left to right, a copy of `ink` [h, w] with all other ink removed.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.threshold(ink, FAINT, 255, cv2.THRESH_BINARY)[1])
    corner, size = stats[1:count, :2].astype(float), stats[1:count, 2:4].astype(float)
    half = np.minimum(measure_stroke_width(ink), size) / 2
    boxes = np.concatenate([corner + half, corner + size - half], axis=1)
    return [[_only(ink, labels, group) for group in row] for row in group_rows(boxes)]


def _only(ink: np.ndarray, labels: np.ndarray, group: list[int]) -> np.ndarray:
    """The ink of some pieces, with its faint rim up to where the next digit's begins."""
    mask = np.isin(labels, [index + 1 for index in group]).astype(np.uint8)
    rim = cv2.dilate(mask, np.ones((3, 3), np.uint8)) * (labels == 0)
    return np.where(mask | rim, ink, 0).astype(np.uint8)


def cut_columns(ink: np.ndarray, most: int) -> list[np.ndarray]:
    """Cut ink [h, w] from top to bottom, upright or slanted, where there is least of it to cut.

    Returns:
        At most `most` pictures [h, w] that add up to `ink`, from left to right.
    """
    height, width = ink.shape
    ways = [_valleys(ink, slant, most - 1) for slant in _SLANTS]
    slant, columns = min(zip(_SLANTS, ways, strict=True), key=lambda way: _mean_cost(way[1]))
    tilt = np.rint(slant * (np.arange(height) - height / 2))[:, None]
    edges = [-2 * width, *sorted(column for _, column in columns), 3 * width]
    across = np.arange(width) - tilt
    parts = [np.where((across >= start) & (across < end), ink, 0).astype(np.uint8) for start, end in pairwise(edges)]
    return [part for part in parts if part.any()]


def _mean_cost(valleys: list[tuple[float, int]]) -> float:
    """Ink that the three best cuts go through, on average."""
    return float(np.mean([cost for cost, _ in valleys[:3]])) if valleys else np.inf


def _valleys(ink: np.ndarray, slant: float, most: int) -> list[tuple[float, int]]:
    """Ink that a cut in a column goes through, and the column, where it is less than on either side; least first."""
    height, width = ink.shape
    shift = np.rint(slant * (np.arange(height) - height / 2)).astype(int)[:, None]
    x = np.arange(width) + shift
    inside = (x >= 0) & (x < width)
    cost = np.where(inside, ink[np.arange(height)[:, None], np.clip(x, 0, width - 1)], 0).sum(axis=0) / 255
    reach = max(1, round(_APART * height))
    found = [
        (float(cost[column]), column)
        for column in range(reach, width - reach)
        if cost[column] == cost[column - reach : column + reach + 1].min() and cost[column] < cost[column - 1]
    ]
    return sorted(found)[:most]


def group_rows(boxes: np.ndarray) -> list[list[list[int]]]:
    """Sort pieces of writing into rows, and those of each into digits.

    Args:
        boxes: [n, 4], left, top, right, bottom, as `group_boxes` takes them.

    Returns:
        The rows from the top; in each, for each digit the indices of its pieces in ascending order.
    """
    if len(boxes) == 1:
        return [[[0]]]
    rows = split_rows(boxes)
    return [[[row[index] for index in group] for group in group_boxes(boxes[row])] for row in rows]


def split_rows(boxes: np.ndarray) -> list[list[int]]:
    """Sort pieces of writing into rows, from the top.

    Tall pieces are in one row if they stand beside each other; a short one goes to the row that is nearest so far, or,
    where there are thousands, to that of the nearest tall one.

    Args:
        boxes: [n, 4], left, top, right, bottom.

    Returns:
        For each row the indices of its pieces in ascending order.
    """
    if len(boxes) == 0:
        return []
    height = boxes[:, 3] - boxes[:, 1]
    by_height = np.argsort(-height, kind="stable")[:_MOST]
    tall = by_height[height[by_height] >= _TALL * height.max()]
    top, bottom = boxes[tall, 1], boxes[tall, 3]
    beside = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    linked = beside >= _BESIDE * np.minimum(height[tall][:, None], height[tall])
    row = np.arange(len(tall))
    for _ in range(len(tall)):
        lowest = np.where(linked, row, len(tall)).min(axis=1)
        if (lowest == row).all():
            break
        row = lowest
    rows = [tall[row == name].tolist() for name in np.unique(row)]
    short = _others(len(boxes), tall)
    away = np.stack([_away(boxes[members], boxes[short][:, None]).min(axis=1) for members in rows], axis=1)
    for at, index in enumerate(short):
        nearest = int(np.argmin(away[at]))
        rows[nearest].append(int(index))
        if len(short) <= _GROWING:
            further = _away(boxes[short[at + 1 :]], boxes[index])
            away[at + 1 :, nearest] = np.minimum(away[at + 1 :, nearest], further)
    rows.sort(key=lambda members: float(boxes[members, 1].mean() + boxes[members, 3].mean()))
    return [sorted(members) for members in rows]


def _others(count: int, chosen: np.ndarray) -> np.ndarray:
    """The indices below `count` that are not chosen, ascending."""
    left = np.ones(count, bool)
    left[chosen] = False
    return np.flatnonzero(left)


def _away(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance between boxes [..., 4]; negative where they overlap."""
    dx = _gap(a, b)
    dy = np.maximum(a[..., 1], b[..., 1]) - np.minimum(a[..., 3], b[..., 3])
    return np.where((dx > 0) & (dy > 0), np.hypot(dx, dy), np.maximum(dx, dy))


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
    small = _others(len(boxes), large)  # dots and slips of the pen go to the nearest digit
    nearest = np.argmin(_gap(extents, boxes[small][:, None]), axis=1)
    for index, place in zip(small.tolist(), nearest.tolist(), strict=True):
        groups[place].append(index)
    return [sorted(groups[i]) for i in np.argsort(extents[:, 0] + extents[:, 2], kind="stable")]


def _join(
    groups: list[list[int]],
    extents: np.ndarray,
    belong: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[list[list[int]], np.ndarray]:
    """Join groups that belong together, the closest in x first: a bar between two digits goes to the nearer."""
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
