"""Drawings that are not digits: letters, signs, scribbles, hatchings, shapes, and digits that are spoilt.

A network is trained with them to be unsure (outlier exposure). Those of `evaluation/outlier_sets.py` are made in other
ways, with other fonts, and stay a test.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mnist_lightning.data.pen import digit, in_some_hand, render
from mnist_lightning.data.pen_paths import OTHERS
from mnist_lightning.ink.normalise import SIZE, normalise_ink
from mnist_lightning.ink.paths import smooth_path
from mnist_lightning.ink.strokes import Stroke

_PRINTED = "AACEEFFHHJKKLMMNNPPRRTTUUVVWWXXYYacdeefhhkkmmnnpprrttuvvwwxxyy&%#@$€?+=*<>~^{}[]ßäöüÄÖÜéàñçÆæ"
"""Signs of the font that are not a digit in any hand; O, I, S, Z, B, g, q and others are, and are left out."""


def outlier_drawings(count: int, seed: int = 0) -> np.ndarray:
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
            image[:] = normalise_ink(drawn, None) if random.uniform() < 0.5 else normalise_ink(drawn)
        else:
            image[:] = render(drawn, random, spread=0.35)
    return images


def _scribble(random: np.random.Generator) -> list[Stroke]:
    """Smooth or jagged lines through random points, one to four of them; a short one alone could be a digit."""
    strokes = []
    for _ in range(count := int(random.integers(1, 5))):
        points = np.cumsum(random.normal(0, 30, (random.integers(4 if count > 1 else 9, 16), 2)), axis=0)
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
    """A letter or a sign; one in four gets serifs, short bars across the ends of its strokes."""
    strokes = in_some_hand(OTHERS[random.integers(len(OTHERS))], random)
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


def _broad_nib(random: np.random.Generator) -> np.ndarray:
    """A letter of a nib that is broader one way than the other, as serif fonts have their stems: uint8 [160, 160]."""
    strokes = [(stroke.path() * 0.9 + 35).round().astype(np.int32) for stroke in _letter(random)]
    sheet = np.zeros((160, 160), np.uint8)
    cv2.polylines(sheet, [path.reshape(-1, 1, 2) for path in strokes], False, 255, 2)
    side = int(random.integers(7, 20))
    nib = np.zeros((side, side), np.uint8)
    across = (side / 2, side * random.uniform(0.1, 0.6))
    cv2.ellipse(nib, ((side / 2 - 0.5, side / 2 - 0.5), across, random.normal(0, 30)), 1, -1)
    nib[side // 2, side // 2] = 1
    return cv2.dilate(sheet, nib)


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
    left, right = digit(first, random), digit(second, random)
    start = max(point[0] for stroke in left for point in stroke.points) + random.uniform(0, 40)
    start -= min(point[0] for stroke in right for point in stroke.points)
    return left + [Stroke([(x + start, y) for x, y in stroke.points], stroke.width) for stroke in right]


def _turned_or_mirrored(random: np.random.Generator) -> list[Stroke]:
    """A digit turned by a right angle or mirrored, of the classes that are then not a digit."""
    if random.uniform() < 0.6:
        strokes, turn = digit(int(random.choice([2, 3, 4, 5, 7])), random), 1 if random.uniform() < 0.5 else -1
        return [Stroke([(-turn * y, turn * x) for x, y in stroke.points], stroke.width) for stroke in strokes]
    strokes = digit(int(random.choice([3, 4, 6, 7, 9])), random)
    return [Stroke([(-x, y) for x, y in stroke.points], stroke.width) for stroke in strokes]


def _empty(random: np.random.Generator) -> np.ndarray:
    return np.zeros((8, 8), np.uint8)


def _printed(random: np.random.Generator) -> np.ndarray:
    """A printed letter or sign, of any weight, slanted, stretched and turned: uint8 [128, 128].

    The font is the one that Pillow carries; the fonts of `evaluation/outlier_sets.py` stay a test.
    """
    sheet = Image.new("L", (128, 128))
    weight = int(random.integers(0, 6))
    character = _PRINTED[random.integers(len(_PRINTED))]
    ImageDraw.Draw(sheet).text((64, 64), character, 255, _font(), anchor="mm", stroke_width=weight, stroke_fill=255)
    linear = np.array([[1, random.normal(0, 0.25)], [random.normal(0, 0.08), 1]]) * np.exp(
        random.normal(0, 0.2, (2, 1))
    )
    drawn = cv2.warpAffine(np.asarray(sheet), np.column_stack([linear, 64 - linear.sum(axis=1) * 64]), (128, 128))
    return _worn(drawn, random)


def _worn(sheet: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same with thin and thick parts as they are, or eroded: print whose strokes differ in width."""
    if random.uniform() < 0.6:
        return sheet
    side = int(random.integers(2, 6))
    window = np.ones((side, 1) if random.uniform() < 0.5 else (1, side), np.uint8)
    change = cv2.erode if random.uniform() < 0.5 else cv2.dilate
    return change(sheet, window)


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=72)


def _glyph(random: np.random.Generator) -> list[Stroke]:
    """A sign of an alphabet that does not exist: lines, arcs and rings that start on each other."""
    parts: list[np.ndarray] = []
    for number in range(random.integers(2, 6)):
        start = random.uniform(0, 100, 2)
        if number:
            other = parts[random.integers(len(parts))]
            start = other[random.choice([0, len(other) // 2, len(other) - 1, int(random.integers(len(other)))])]
        heading, length = random.integers(8) * np.pi / 4 + random.normal(0, 0.1), random.uniform(25, 90)
        turn = random.choice([0.0, 0.0, 0.5, 1.0, 2.0]) * np.pi * random.choice([-1, 1])
        angles = heading + np.linspace(0, turn, 16)
        steps = length / 16 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        parts.append(start + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]))
    return [Stroke([(float(x), float(y)) for x, y in part]) for part in parts]


def _wandering(random: np.random.Generator) -> list[Stroke]:
    """Two to four lines whose curvature changes slowly, as of a pen that doodles: loops, waves and tangles.

    One alone could be a zero, a one or a six.
    """
    strokes = []
    for _ in range(random.integers(2, 5)):
        count = int(random.integers(20, 120))
        bend = np.convolve(random.normal(0, random.uniform(0.1, 0.6), count + 8), np.ones(8) / 8, "valid")
        angles = random.uniform(0, 2 * np.pi) + np.cumsum(bend + random.normal(0, 0.08))
        path = np.cumsum(6 * np.stack([np.cos(angles), np.sin(angles) * random.uniform(0.4, 1)], axis=1), axis=0)
        path += random.normal(0, 25, 2)
        strokes.append(Stroke([(float(x), float(y)) for x, y in path]))
    return strokes


_KINDS: tuple[tuple[float, Callable[[np.random.Generator], list[Stroke] | np.ndarray]], ...] = (
    (0.22, _letter),
    (0.1, _broad_nib),
    (0.18, _printed),
    (0.1, _glyph),
    (0.14, _scribble),
    (0.14, _wandering),
    (0.05, _hatching),
    (0.04, _solid),
    (0.01, _blots),
    (0.04, _pair),
    (0.05, _turned_or_mirrored),
    (0.005, _empty),
)
"""Share and maker of each kind."""
