"""Synthetic pen digits, and drawings that are not digits: what a canvas shows and MNIST does not.

The paths of `pen_paths.py` are drawn in many hands and rendered by the canvas's own `draw_digit`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np

from mnist_lightning.data.pen_paths import DIGITS, OTHERS
from mnist_lightning.ink.normalise import SIZE, normalise
from mnist_lightning.ink.paths import smooth_path
from mnist_lightning.ink.raster import STROKE_WIDTH, draw_digit
from mnist_lightning.ink.strokes import Stroke, bounds

NO_DIGIT = -1
"""The label of an image that is not a digit: its target in the loss is spread over all classes."""


def pen_digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Digits in many hands: as many of each class as of the others, or one more.

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
        image[:] = _render(_digit(label, random), random)
    return images, labels


def _digit(label: int, random: np.random.Generator) -> list[Stroke]:
    shares, ways = zip(*DIGITS[label], strict=True)
    return _in_some_hand(ways[random.choice(len(ways), p=np.array(shares) / sum(shares))], random)


def no_digits(count: int, seed: int = 0) -> np.ndarray:
    """Drawings that are not one digit: uint8 [count, 28, 28] in the form of MNIST.

    Letters and signs (with serifs now and then), scribbles, hatchings, solid shapes, blots, two digits in one image,
    digits that lie on their side, and a few empty images.
    """
    random = np.random.default_rng([seed, 1])
    images = np.zeros((count, SIZE, SIZE), np.uint8)
    shares = np.array([share for share, _ in _KINDS])
    for image in images:
        drawn = _KINDS[random.choice(len(_KINDS), p=shares / shares.sum())][1](random)
        if isinstance(drawn, np.ndarray):
            image[:] = normalise(drawn, stroke_width=None)
        else:
            image[:] = _render(drawn, random, spread=0.35)
    return images


def _render(strokes: list[Stroke], random: np.random.Generator, spread: float = 0.2) -> np.ndarray:
    return normalise(draw_digit(strokes, STROKE_WIDTH * float(np.exp(random.normal(0, spread)))))


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
    """One person's digit as the same person might have written it: uint8 [count, 28, 28] in the form of MNIST.

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
            image[:] = normalise(draw_digit(strokes))
        else:
            whole = _slanted(random.normal(0, 0.1), float(np.exp(random.normal(0, 0.12))), random.normal(0, 0.06))
            image[:] = _render(_bent(paths, whole, random), random)
    return images


def _in_some_hand(way: str, random: np.random.Generator) -> list[Stroke]:
    """One writing of a way: unsure points, hooks and gaps, then slant, aspect and bending of the whole."""
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
        if random.uniform() < 0.15:  # a hook where the pen comes down, or one where it leaves
            moved.insert(0, np.stack([moved[0][0] + random.normal(0, 0.07, 2), moved[0][0]]))
        if random.uniform() < 0.15:
            moved.append(np.stack([moved[-1][-1], moved[-1][-1] + random.normal(0, 0.07, 2)]))
        path = np.concatenate([smooth_path(points, 0.04) for points in moved])
        paths += _with_gap(path, random)
    return _bent(paths, whole, random)


def _slanted(slant: float, aspect: float, turn: float) -> np.ndarray:
    """[2, 2]: what a row vector is multiplied by to be slanted, widened and turned."""
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([[aspect, slant], [0, 1]]).T @ np.array([[cos, -sin], [sin, cos]]).T


def _bent(paths: list[np.ndarray], whole: np.ndarray, random: np.random.Generator) -> list[Stroke]:
    """Paths in a box of 1 by 1 as strokes in one of 100 by 100: trembling, bent by slow waves, then as a `whole`."""
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
    """The path in one, or now and then in two parts with a little missing between: the pen skipped."""
    if len(path) < 20 or random.uniform() > 0.06:
        return [path]
    start = int(random.integers(5, len(path) - 8))
    return [path[:start], path[start + int(random.integers(1, 4)) :]]


def _scribble(random: np.random.Generator) -> list[Stroke]:
    """Smooth or jagged lines through random points, one to three of them."""
    strokes = []
    for _ in range(random.integers(1, 4)):
        points = np.cumsum(random.normal(0, 30, (random.integers(4, 16), 2)), axis=0)
        if random.uniform() < 0.5:
            points = random.uniform(0, 100, points.shape) * random.uniform(0.4, 1, 2)
        path = smooth_path(points, 4.0) if random.uniform() < 0.7 else points
        strokes.append(Stroke([(float(x), float(y)) for x, y in path]))
    return strokes


def _hatching(random: np.random.Generator) -> list[Stroke]:
    """To and fro over a field, from a few lines to one solid block."""
    turns = int(random.integers(4, 40))
    along = np.linspace(0, 100, turns)
    across = np.where(np.arange(turns) % 2, 100.0, 0.0) * random.uniform(0.4, 1.2)
    points = np.stack([across, along], axis=1) + random.normal(0, random.uniform(0, 8), (turns, 2))
    angle = random.uniform(0, np.pi)
    points = points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return [Stroke([(float(x), float(y)) for x, y in points])]


def _letter(random: np.random.Generator) -> list[Stroke]:
    """A letter or a sign; one in four with serifs, short bars across the ends of its strokes."""
    strokes = _in_some_hand(OTHERS[random.integers(len(OTHERS))], random)
    if random.uniform() > 0.25:
        return strokes
    half = random.uniform(8, 16)
    bars = []
    for stroke in strokes:
        path = stroke.path()
        for end, inside in ((path[0], path[min(3, len(path) - 1)]), (path[-1], path[max(-4, -len(path))])):
            across = np.array([half, 0.0]) if abs(end - inside)[1] > abs(end - inside)[0] else np.array([0.0, half])
            bars.append(Stroke([tuple((end - across).tolist()), tuple((end + across).tolist())]))
    return strokes + bars


def _blots(random: np.random.Generator) -> list[Stroke]:
    return [Stroke([tuple(point)], 40.0) for point in random.uniform(0, 100, (random.integers(1, 7), 2))]


def _solid(random: np.random.Generator) -> np.ndarray:
    """One to three filled polygons, at times the whole sheet: uint8 [100, 100]."""
    sheet = np.zeros((100, 100), np.uint8)
    for _ in range(random.integers(1, 4)):
        corners = int(random.integers(3, 12))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        radii = random.uniform(10, 60) * random.uniform(0.5, 1, (corners, 1))
        points = random.uniform(25, 75, 2) + radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(sheet, [np.rint(points).astype(np.int32)], 255)
    if random.uniform() < 0.1:
        sheet[4:-4, 4:-4] = 255
    return sheet


def _pair(random: np.random.Generator) -> list[Stroke]:
    """Two digits side by side, at times touching, as one drawing; never two ones, which are a zero of two strokes."""
    first, second = int(random.integers(10)), int(random.integers(2, 10))
    left, right = _digit(first, random), _digit(second, random)
    start = max(point[0] for stroke in left for point in stroke.points) + random.uniform(0, 40)
    start -= min(point[0] for stroke in right for point in stroke.points)
    return left + [Stroke([(x + start, y) for x, y in stroke.points], stroke.width) for stroke in right]


def _on_its_side(random: np.random.Generator) -> list[Stroke]:
    """A digit turned by a right angle, of the classes that are then no digit."""
    strokes = _digit(int(random.choice([2, 3, 4, 5, 7])), random)
    turn = 1 if random.uniform() < 0.5 else -1
    return [Stroke([(-turn * y, turn * x) for x, y in stroke.points], stroke.width) for stroke in strokes]


def _empty(random: np.random.Generator) -> np.ndarray:
    return np.zeros((8, 8), np.uint8)


_KINDS: tuple[tuple[float, Callable[[np.random.Generator], list[Stroke] | np.ndarray]], ...] = (
    (0.52, _letter),
    (0.2, _scribble),
    (0.1, _hatching),
    (0.05, _solid),
    (0.02, _blots),
    (0.06, _pair),
    (0.045, _on_its_side),
    (0.005, _empty),
)
