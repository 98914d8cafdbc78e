"""Pen digits and things that are no digit, made from nothing: what a canvas shows and MNIST does not.

MNIST's writers were American; other people cross their sevens, slash their zeros, give a one a long flag or a foot and
leave a four open. Each of these ways is written down here as the path of a pen, drawn in countless hands, and rendered
by the canvas's own `draw_digit`. Nobody's handwriting was traced: the paths were typed in by hand.
"""

from __future__ import annotations

import functools

import numpy as np

from mnist_lightning.ink.normalise import SIZE, normalise
from mnist_lightning.ink.paths import smooth_path
from mnist_lightning.ink.raster import STROKE_WIDTH, draw_digit
from mnist_lightning.ink.strokes import Stroke, bounds

NO_DIGIT = -1
"""The label of what is no digit; the loss then asks for no class in particular."""

# How a digit can be written: its share among the ways, and the pen's path in a box of 100 by 100, x right and y down.
# A point is `x,y`; `|` after one is a corner (the path is smooth elsewhere); `;` lifts the pen.
_DIGITS: dict[int, list[tuple[float, str]]] = {
    0: [
        (5, "60,2 30,6 8,35 8,65 30,96 62,97 90,68 92,36 74,8 52,2"),
        (2, "40,2 70,6 92,35 90,66 66,97 34,96 8,66 8,34 28,6 50,1"),
        (1, "66,10 40,0 12,24 6,58 26,94 58,99 88,70 92,34 72,6 46,4 34,14"),
        (1, "50,0 20,16 14,50 22,86 50,100 78,86 86,50 78,14 54,0 60,10"),
        (2, "60,2 30,6 8,35 8,65 30,96 62,97 90,68 92,36 74,8 52,2; 88,4 10,98"),
        (1, "30,0 8,40 14,80 44,100 82,88 94,54 74,24 44,16 20,34"),
        (0.7, "52,2 24,10 8,38 10,68 34,97 64,95 90,66 92,34 72,8 60,4 76,20| 24,84"),
    ],
    1: [
        (4, "50,0 50,100"),
        (3, "50,0 48,50 50,100"),
        (3, "30,20 52,0| 52,100"),
        (3, "14,38 56,0| 56,100"),
        (4, "2,52 58,0| 58,100"),
        (2, "16,66 54,0| 54,100"),
        (2.5, "0,44 40,16 80,0| 52,100"),
        (2, "0,30 44,12 84,0| 44,100"),
        (2, "2,62 64,0| 50,100"),
        (1.5, "26,22 52,0| 52,78 42,96 20,100"),
        (1.5, "24,74 56,6 62,0| 58,100"),
        (2.5, "0,34 30,24 70,0| 52,100"),
        (2, "0,60 30,34 60,0| 56,50 52,100"),
        (2, "6,44 62,2| 50,100"),
        (2, "28,22 52,0| 52,100; 18,100 86,100"),
        (2, "8,46 54,0| 54,100; 14,100 92,98"),
        (1, "20,26 52,0| 52,100| 84,98"),
        (1, "50,0 50,100; 22,100 80,100"),
        (1, "24,24 52,0| 52,100| 20,98| 86,98"),
    ],
    2: [
        (5, "8,26 22,6 50,0 80,12 84,34 60,62 8,98| 92,96"),
        (4, "10,28 30,4 62,2 82,22 74,48 44,78 16,96 6,88 20,78 46,88 70,98 94,90"),
        (2, "12,14 40,2 74,8 80,30 56,60 6,98| 50,94 94,98"),
        (2, "6,6 84,4| 10,96| 92,96"),
        (1, "4,30 20,8 60,4 78,18 66,40 40,56 44,74 74,82 86,94 70,100"),
        (2, "18,22 34,4 60,2 78,18 74,42 48,74 20,98 10,94 22,84 50,92 90,100"),
        (1, "14,34 14,10 46,0 82,10 82,36 56,64 14,94| 60,100 94,88"),
    ],
    3: [
        (5, "10,12 40,0 78,10 78,34 36,48| 74,54 90,76 68,96 34,100 6,86"),
        (3, "14,8 50,0 82,16 70,40 44,48 62,48 90,64 84,88 50,100 8,90"),
        (2, "10,2 84,2| 42,42| 76,48 90,70 74,94 40,100 6,88"),
        (1, "8,14 44,0 80,16 62,40 40,54| 74,62 78,84 40,100"),
        (2, "8,16 36,0 76,8 80,32 48,46 30,50 40,40 72,50 92,74 66,98 30,98 4,84"),
        (1, "8,4 50,2 80,4 60,30 38,44| 80,56 84,82 54,100 10,92"),
    ],
    4: [
        (4, "30,0 10,56| 92,56; 66,20 64,100"),
        (3, "22,0 18,48 30,56 90,50; 72,0 66,100"),
        (3, "34,0 14,60| 80,58; 58,34 52,100"),
        (2, "36,0 10,70 28,84 64,72; 68,50 60,100"),
        (1, "44,0 10,68 22,80 56,70 74,44| 66,100"),
        (3, "34,0 8,72 26,80 84,66; 64,44 56,100"),
        (1.5, "40,0 14,80| 78,74; 62,50 58,100"),
        (2, "30,0 10,66 20,72 78,64; 54,40 52,100"),
        (2, "26,0 8,54 16,64 70,56 74,36| 66,100"),
        (3, "70,100 70,0| 4,66| 96,64"),
        (3, "64,0 6,62| 94,62; 66,30 66,100"),
        (2, "14,4 12,40 24,52 56,50 82,38; 86,2 84,50 80,100"),
        (2, "40,0 4,70| 80,68; 52,40 46,100"),
        (2, "12,2 14,50| 78,48| 84,4| 82,100"),
        (1, "60,4 40,24 6,60| 60,62 96,54; 74,34 60,68 48,100"),
        (1, "58,0 2,64| 70,70| 66,10| 60,100"),
    ],
    5: [
        (4, "24,4 18,46| 52,38 84,54 84,82 52,100 8,90; 24,4 88,2"),
        (4, "86,2 26,4| 18,46| 54,38 86,56 84,84 50,100 8,92"),
        (2, "84,4 40,4 26,12 20,44 60,44 84,66 70,92 36,100 6,88"),
        (2, "30,16 24,50 56,44 82,60 80,88 46,100 10,94; 36,2 90,0"),
        (2, "82,0 34,2| 26,40| 60,42 78,62 68,86 34,98 4,96"),
        (1, "20,6 18,44| 60,36 88,60 74,92 30,100 6,84; 18,6 54,10 90,4"),
    ],
    6: [
        (5, "72,0 40,18 14,56 18,88 50,100 80,86 80,62 54,50 24,62 16,78"),
        (3, "54,0 24,36 12,74 34,98 70,96 84,74 66,56 36,60 16,80"),
        (2, "80,10 56,0 26,22 12,60 24,94 60,100 84,80 74,56 46,52 20,72"),
        (2, "30,0 12,50 14,86 44,100 76,90 80,68 56,54 28,62 14,80"),
        (1, "66,0 36,34 18,70 30,96 62,98 76,78 56,62 34,74 26,90"),
        (1, "48,0 16,44 8,80 34,100 82,94 92,74 68,62 30,70 12,84"),
    ],
    7: [
        (5, "6,4 90,4| 40,100"),
        (3, "6,10 40,6 90,2| 60,50 44,100"),
        (4, "8,4 90,4| 40,100; 26,52 84,48"),
        (2, "4,18 22,4 48,12 90,4| 58,56 36,100; 20,66 80,56"),
        (1, "10,12 34,0 80,8 62,50 34,100; 18,70 84,64"),
        (2, "8,14 30,2 86,6 70,44 40,100; 22,60 88,62"),
        (2, "6,14 34,0 84,6 60,58 40,98 30,76| 84,58"),
        (1, "6,10 80,2 62,50 50,100 26,60| 92,54"),
        (2, "10,22 12,2| 90,4| 42,100"),
        (2, "6,8 46,10 86,2 64,44 50,100; 24,54 90,50"),
        (1, "12,26 10,4 50,8 90,0| 62,48 50,100; 30,50 86,46"),
        (2, "4,12 24,2 50,10 88,4| 56,54 36,100"),
        (1, "4,2 84,4| 70,100"),
        (1, "2,6 80,2 84,14 56,100; 34,48 92,56"),
    ],
    8: [
        (5, "80,12 50,0 20,14 28,36 66,58 86,80 54,100 18,84 28,60 68,36 82,12"),
        (3, "74,10 40,2 22,22 50,46 80,72 62,98 28,94 22,70 56,44 80,22 66,4"),
        (2, "50,46 22,28 30,4 66,2 78,24 50,46 18,68 22,94 62,100 84,76 50,46"),
        (2, "48,2 22,14 28,38 56,44 78,26 66,4 46,2; 50,46 18,62 22,92 56,100 84,82 74,54 48,46"),
        (2, "90,4 56,0 24,18 40,42 74,64 70,94 34,100 14,80 40,54 92,8"),
        (1, "20,12 50,0 78,14 68,38 34,58 16,82 48,100 82,84 70,58 32,36 18,14"),
    ],
    9: [
        (5, "80,16 52,0 20,14 16,38 44,50 76,32 82,12| 78,60 72,100"),
        (3, "76,22 56,2 24,8 16,34 40,50 70,38 80,14 80,56 62,92 24,98"),
        (2, "66,8 44,4 36,20 52,30 68,16 76,50 60,90 8,96"),
        (1.5, "70,10 50,2 34,16 46,32 66,22 76,44 56,74 0,100"),
        (1, "56,4 40,10 48,24 62,12 74,40 62,70 20,92 4,78 22,74"),
        (2, "72,12 50,0 30,16 44,36 70,22 72,8 84,50 62,94 30,98 4,80"),
        (1, "60,2 40,10 44,26 62,20 60,6| 70,48 56,84 20,100 4,88"),
        (2, "60,4 28,6 18,32 44,46 72,26 74,6| 66,100"),
        (2, "82,10 46,0 14,22 24,46 60,44 82,18 84,60 70,92 40,100 12,88"),
        (2, "54,44 22,40 18,12 50,0 80,14 74,38 54,46 76,20 74,60 58,100"),
        (1, "78,4 36,2 14,26 34,46 76,40; 80,2 78,100"),
        (1, "74,10 44,2 24,24 44,42 74,18 70,60 46,100"),
    ],
}

# What people draw that is no digit. Letters and signs that pass for one (O, I, l, S, Z, B, b, g, q, y, a tick) are left
# out.
_OTHERS = [
    "4,100 50,0| 96,100; 22,64 80,64",  # A
    "84,14 44,0 8,44 40,98 88,84",  # C
    "90,2 12,2| 12,98| 92,98; 12,48 70,48",  # E
    "90,2 12,2| 12,100; 12,48 72,48",  # F
    "10,0 10,100; 90,0 90,100; 10,50 90,50",  # H
    "14,0 14,100; 88,0 16,54| 90,100",  # K
    "8,100 8,0| 50,66| 92,0| 92,100",  # M
    "10,100 10,0| 88,100| 88,0",  # N
    "14,100 14,0| 70,2 86,26 66,50 14,52",  # P
    "14,100 14,0| 70,2 84,26 62,48 14,50| 90,100",  # R
    "4,4 96,4; 50,4 50,100",  # T
    "0,0 26,100| 50,30| 76,100| 100,0",  # W
    "6,0 94,100; 94,0 6,100",  # X
    "4,0 50,46| 96,0; 50,46 50,100",  # Y
    "4,0 50,100| 96,0",  # V
    "84,40 46,30 10,62 36,98 76,74 84,34| 84,84 100,96",  # a
    "84,52 46,34 10,66 34,98 80,80; 84,0 84,100",  # d
    "14,64 84,58 60,30 20,44 10,76 40,100 86,86",  # e
    "80,8 56,0 40,22 40,100; 10,42 78,42",  # f
    "14,0 14,100; 14,60 50,40 80,56 82,100",  # h
    "8,30 8,100; 8,46 34,32 48,46 48,100; 48,48 72,32 92,48 92,100",  # m
    "14,30 14,100; 14,54 50,32 80,50 82,100",  # n
    "10,20 24,92 80,92 88,20; 88,20 90,100",  # u
    "0,50 100,50; 50,0 50,100",  # plus
    "0,30 100,30; 0,70 100,70",  # equals
    "50,0 100,96| 0,96| 50,0",  # triangle
    "50,0 78,94| 4,34| 96,36| 20,92| 50,0",  # star
    "0,50 100,50| 66,14; 100,50 66,86",  # arrow
    "34,0 28,100; 72,0 66,100; 0,34 100,32; 0,68 100,66",  # hash
    "50,30 20,0 0,30 50,100 100,30 80,0 50,30",  # heart
    "4,50 50,4 96,50 50,96 4,50; 32,38 34,40; 64,38 66,40; 28,64 50,80 72,64",  # face
    "0,0 100,0| 100,100| 0,100| 0,0; 0,0 100,100; 100,0 0,100",  # crossed box
    "0,50 25,20 50,50 75,80 100,50",  # tilde
    "50,50 60,44 64,60 44,66 34,44 56,28 80,46 72,78 36,84 14,54 30,16 70,8 100,40",  # spiral
    "30,30 70,30; 20,60 50,80 80,60",
    "80,0 30,0 30,100 80,100; 0,50 40,50",
]


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
        shares, ways = zip(*_DIGITS[label], strict=True)
        way = ways[random.choice(len(ways), p=np.array(shares) / sum(shares))]
        image[:] = _render(_in_some_hand(way, random), random)
    return images, labels


def no_digits(count: int, seed: int = 0) -> np.ndarray:
    """Scribbles, letters, signs, hatchings and blots: uint8 [count, 28, 28] in the form of MNIST."""
    random = np.random.default_rng([seed, 1])
    images = np.zeros((count, SIZE, SIZE), np.uint8)
    for image in images:
        kind = random.uniform()
        if kind < 0.5:
            strokes = _in_some_hand(_OTHERS[random.integers(len(_OTHERS))], random)
        elif kind < 0.8:
            strokes = _scribble(random)
        elif kind < 0.97:
            strokes = _hatching(random)
        else:
            strokes = [Stroke([tuple(point)], 40.0) for point in random.uniform(0, 100, (random.integers(1, 7), 2))]
        image[:] = _render(strokes, random)
    return images


def _render(strokes: list[Stroke], random: np.random.Generator) -> np.ndarray:
    return normalise(draw_digit(strokes, STROKE_WIDTH * float(np.exp(random.normal(0, 0.15)))))


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
