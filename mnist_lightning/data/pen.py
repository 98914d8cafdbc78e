"""Synthetic pen digits, and drawings that are not digits: what a canvas shows and MNIST does not.

The paths of `pen_paths.py` are drawn in many hands and rendered by the canvas's own `draw_digit`.
"""

from __future__ import annotations

import functools

import numpy as np

from mnist_lightning.data.pen_paths import DIGITS
from mnist_lightning.ink.normalise import SIZE, normalise_ink
from mnist_lightning.ink.paths import smooth_path
from mnist_lightning.ink.raster import STROKE_WIDTH, draw_digit
from mnist_lightning.ink.strokes import Stroke, bounds


def pen_digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Digits in many hands: the same number of each class, or one more of some.

    Args:
        count: how many.
        seed: draws all of them; the first k are the same for any count.

    Returns:
        uint8 [count, 28, 28] images in the form of MNIST, and uint8 [count] labels 0 to 9.
    """
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = np.zeros((count, SIZE, SIZE), np.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:] = render(digit(label, random), random)
    return images, labels


def digit(label: int, random: np.random.Generator) -> list[Stroke]:
    """A digit in one of its ways of writing and in some hand, in a box of about 100 by 100."""
    shares, ways = zip(*DIGITS[label], strict=True)
    return in_some_hand(ways[random.choice(len(ways), p=np.array(shares) / sum(shares))], random)


def render(strokes: list[Stroke], random: np.random.Generator, spread: float = 0.2) -> np.ndarray:
    """Strokes in the form of MNIST, drawn with a pen whose width varies by the factor exp(N(0, `spread`))."""
    return normalise_ink(draw_digit(strokes, STROKE_WIDTH * float(np.exp(random.normal(0, spread)))))


@functools.cache
def _parsed(way: str) -> list[list[np.ndarray]]:
    """Strokes, each a list of smooth pieces [n, 2] that meet in corners; the box is 1 by 1."""
    strokes = []
    for path in way.split(";"):
        pieces: list[list[list[float]]] = [[]]
        for word in path.split():
            point = [float(number) / 100 for number in word.rstrip("|").split(",")]
            pieces[-1].append(point)
            if word.endswith("|"):
                pieces.append([point])
        strokes.append([np.array(piece) for piece in pieces])
    return strokes


def variations(strokes: list[Stroke], count: int, seed: int = 0) -> np.ndarray:
    """One person's digit as the same person might write it again: uint8 [count, 28, 28] in the form of MNIST.

    Args:
        strokes: the digit, in any unit.
        count: how many; the first is the digit as it is.
        seed: draws them.
    """
    random = np.random.default_rng([seed, 2])
    left, top, right, bottom = bounds(strokes) or (0, 0, 1, 1)
    size = max(right - left, bottom - top, 1e-6)
    paths = [(stroke.path() - (left, top)) / size for stroke in strokes]
    images = np.zeros((count, SIZE, SIZE), np.uint8)
    for number, image in enumerate(images):
        if number == 0:
            image[:] = normalise_ink(draw_digit(strokes))
        else:
            whole = _slanted(random.normal(0, 0.1), float(np.exp(random.normal(0, 0.12))), random.normal(0, 0.06))
            image[:] = render(_bent(paths, whole, random), random)
    return images


def in_some_hand(way: str, random: np.random.Generator) -> list[Stroke]:
    """One instance of a way of writing: jittered points, hooks and gaps, then the whole slanted, widened and bent."""
    unsure = random.uniform(0.01, 0.055)
    slant, aspect = random.normal(0.12, 0.25), float(np.exp(random.normal(-0.3, 0.3)))
    whole = _slanted(slant, aspect, random.normal(0, 0.1))
    paths = []
    for pieces in _parsed(way):
        moved, corner = [], None
        for piece in pieces:
            points = piece + random.normal(0, unsure, piece.shape)
            if corner is not None:
                points[0] = corner
            corner = points[-1]
            moved.append(points)
        if random.uniform() < 0.15:  # a hook where the pen lands, or one where it lifts
            moved.insert(0, np.stack([moved[0][0] + random.normal(0, 0.07, 2), moved[0][0]]))
        if random.uniform() < 0.15:
            moved.append(np.stack([moved[-1][-1], moved[-1][-1] + random.normal(0, 0.07, 2)]))
        path = np.concatenate([smooth_path(points, 0.04) for points in moved])
        paths += _with_gap(path, random)
    return _bent(paths, whole, random)


def _slanted(slant: float, aspect: float, turn: float) -> np.ndarray:
    """The matrix [2, 2] that slants, widens and turns row vectors."""
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([[aspect, slant], [0, 1]]).T @ np.array([[cos, -sin], [sin, cos]]).T


def _bent(paths: list[np.ndarray], whole: np.ndarray, random: np.random.Generator) -> list[Stroke]:
    """Paths in a box of 1 by 1 as strokes in one of 100 by 100: with tremor, bent by slow waves, times `whole`."""
    waves = random.normal(0, 1, (3, 2)), random.uniform(0, 2 * np.pi, (3, 2)), random.normal(0, 0.025, (3, 2))
    tremor = random.uniform(0, 0.008)
    strokes = []
    for path in paths:
        path = path + random.normal(0, tremor, path.shape)
        for frequency, phase, amplitude in zip(*waves, strict=True):
            path = path + amplitude * np.sin(path[:, ::-1] * frequency * 4 + phase)
        strokes.append(Stroke([(float(x), float(y)) for x, y in path @ whole * 100]))
    return strokes


def _with_gap(path: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """The path in one part, or now and then in two with a little missing between: the pen skipped."""
    if len(path) < 20 or random.uniform() > 0.06:
        return [path]
    start = int(random.integers(5, len(path) - 8))
    return [path[:start], path[start + int(random.integers(1, 4)) :]]
