"""Ways of writing that are rare in MNIST, drawn onto its own digits: slashed zeros, flags, feet, crossed sevens.

The added line has about the width of the digit's own strokes; the result is brought into the form of MNIST again.
"""

from __future__ import annotations

import cv2
import numpy as np

from mnist_lightning.ink.normalise import SIZE, bounding_box, measure_stroke_width, normalise_ink
from mnist_lightning.ink.paths import smooth_path

_FINE = 4  # oversampling at which lines are drawn
_MARGIN = 14 * _FINE  # room around the image for lines that reach beyond the digit
_SHIFT = 4  # OpenCV draws at coordinates in 1/16 pixel

Line = np.ndarray  # points [n, 2] of a line, x and y, pixels of the oversampled image


def embellished(images: np.ndarray, labels: np.ndarray, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Zeros with a slash, ones with a flag and a foot, sevens with a bar across.

    Args:
        images: uint8 [N, 28, 28], bright ink on 0, to draw on.
        labels: [N] their classes, 0 to 9.
        count: how many to make.
        seed: draws them; the first k are the same for any count.

    Returns:
        uint8 [count, 28, 28] in the form of MNIST, and int64 [count] labels; both empty without a 0, 1 or 7.
    """
    random = np.random.default_rng([seed, 4])
    places = {label: np.flatnonzero(labels == label) for label in _LINES}
    known = [label for label, found in places.items() if len(found)]
    made = np.zeros((count if known else 0, SIZE, SIZE), np.uint8)
    classes = np.zeros(len(made), np.int64)
    for number in range(len(made)):
        label = known[random.integers(len(known))]
        image = images[places[label][random.integers(len(places[label]))]]
        made[number], classes[number] = _drawn_on(image, label, random), label
    return made, classes


def _drawn_on(image: np.ndarray, label: int, random: np.random.Generator) -> np.ndarray:
    fine = cv2.resize(image, None, fx=_FINE, fy=_FINE, interpolation=cv2.INTER_CUBIC)
    fine = cv2.copyMakeBorder(fine, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_CONSTANT)
    mask = cv2.threshold(fine, 127, 255, cv2.THRESH_BINARY)[1]
    if bounding_box(mask) is None:
        return image
    width = measure_stroke_width(fine) * random.uniform(0.6, 1.1)
    for line in _LINES[label](mask, random):
        bent = smooth_path(line, float(_FINE))
        fixed = np.round(bent[:, None] * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(fine, [fixed], False, 255, max(1, round(width)), cv2.LINE_AA, _SHIFT)
    return normalise_ink(fine)


def _slash(mask: np.ndarray, random: np.random.Generator) -> list[Line]:
    """A line through a zero, from inside it to far beyond its rim; one in eight leans the other way."""
    left, top, right, bottom = bounding_box(mask) or (0, 0, 1, 1)
    size = np.array([right - left, bottom - top], float)
    middle = np.array([left, top]) + size / 2 + random.normal(0, 0.07, 2) * size
    angle = random.uniform(0.6, 1.35)  # of the line with the horizontal
    half = np.hypot(*size) / 2 * random.uniform(0.45, 1.35)
    reach = half * np.array([np.cos(angle), -np.sin(angle)])
    if random.uniform() < 0.125:
        reach[0] = -reach[0]
    bend = random.normal(0, 0.06, 2) * half
    return [np.array([middle + reach, middle + bend, middle - reach])]


def _flag_and_foot(mask: np.ndarray, random: np.random.Generator) -> list[Line]:
    """A flag down from the top of a one, up to as long as its stem; a foot under some, and on a few the foot alone."""
    ys, xs = np.nonzero(mask)
    top, bottom = ys.min(), ys.max()
    height = float(bottom - top)
    head = np.array([xs[ys <= top + 1].mean(), top + 1])
    heel = np.array([xs[ys >= bottom - 1].mean(), bottom - 1])
    lines = []
    has_foot = random.uniform() < 0.35
    if not has_foot or random.uniform() < 0.8:
        length = height * random.uniform(0.25, 1.05)
        # A long flag that hardly falls would make a seven.
        steepest = 0.55 if length < 0.5 * height else 0.75
        angle = random.uniform(steepest, 1.15)
        end = head + length * np.array([-np.cos(angle), np.sin(angle)])
        bend = (head + end) / 2 + random.normal(0, 0.05, 2) * length
        lines.append(np.array([head, bend, end]))
    if has_foot:
        half = height * random.uniform(0.15, 0.4)
        rise = random.normal(0, 0.08) * half
        step = np.array([half, -rise])
        lines.append(np.array([heel - random.uniform(0.6, 1.2) * step, heel, heel + step]))
    return lines


def _bar(mask: np.ndarray, random: np.random.Generator) -> list[Line]:
    """A short bar across the stem of a seven."""
    left, top, right, bottom = bounding_box(mask) or (0, 0, 1, 1)
    row = int(top + random.uniform(0.42, 0.68) * (bottom - top))
    inked = np.flatnonzero(mask[min(row, bottom - 1)])
    middle = np.array([inked.mean() if len(inked) else (left + right) / 2, row])
    half = (right - left) * random.uniform(0.22, 0.5)
    rise = random.normal(0.12, 0.18) * half
    step = np.array([half, -rise])
    return [np.array([middle + step, middle + random.normal(0, 1, 2), middle - step])]


_LINES = {0: _slash, 1: _flag_and_foot, 7: _bar}
