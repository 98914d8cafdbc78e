"""Out-of-distribution images: synthetic letters, scribbles, noise, textures and shapes, each drawn independently.

What a person could draw (letters, scribbles) goes through `ink.normalise` like any drawing. For evaluation only:
nothing here is used in training. `python -m mnist_lightning.evaluation.outlier_sets
picture.png` shows twelve of each set.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from mnist_lightning.evaluation.corruptions import SIZE, plasma
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Stroke

LETTERS = "ACEFHJKLMNPRTUVWXY" + "acdefhkmnprtuvwxy"
"""All but those that look like a digit in print or handwriting: O o D Q 0, I i j l 1, Z z 2, S s 5, G b 6, B 8, g q 9.

Chosen before any network was evaluated; Y and y, which some write like a 4, T (7) and A (4) stay in.
"""

_TRUETYPE = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)
_HERSHEY = (
    *(cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX),
    *(cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX),
)
_SHEET = 128  # side of the sheet that letters and shapes are drawn on, pixels


def letter(rng: Generator) -> np.ndarray:
    """A Latin letter in one of 21 TrueType fonts that matplotlib ships or 7 Hershey fonts, a little turned and bent."""
    character = LETTERS[rng.integers(len(LETTERS))]
    font = int(rng.integers(len(_TRUETYPE) + len(_HERSHEY)))
    if font < len(_TRUETYPE):
        picture = Image.new("L", (_SHEET, _SHEET))
        middle = (_SHEET / 2, _SHEET / 2)
        ImageDraw.Draw(picture).text(middle, character, fill=255, font=_truetype(_TRUETYPE[font]), anchor="mm")
        sheet = np.asarray(picture)
    else:
        face, thickness = _HERSHEY[font - len(_TRUETYPE)], int(rng.integers(3, 9))
        size = 5 if face == cv2.FONT_HERSHEY_PLAIN else 2.5
        (wide, tall), _ = cv2.getTextSize(character, face, size, thickness)
        sheet = np.zeros((_SHEET, _SHEET), np.uint8)
        corner = ((_SHEET - wide) // 2, (_SHEET + tall) // 2)
        cv2.putText(sheet, character, corner, face, size, 255, thickness, cv2.LINE_AA)
    return normalise(_bend(sheet, rng))


def scribble(rng: Generator) -> np.ndarray:
    """Two to four smooth strokes that wander over each other, as when trying out a pen.

    A single stroke would sometimes be a one, a six or an eight.
    """
    strokes = []
    for _ in range(rng.integers(2, 5)):
        turns = rng.normal(rng.normal(0, 0.3), 0.5, rng.integers(14, 31))
        heading = rng.uniform(0, 2 * math.pi) + np.cumsum(turns)
        steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * rng.uniform(5, 20, (len(turns), 1))
        path = np.cumsum(steps, axis=0)
        strokes.append(Stroke([(float(x), float(y)) for x, y in path - path.mean(axis=0) + rng.normal(0, 15, 2)]))
    return normalise(draw_digit(strokes, float(rng.uniform(1.5, 3.5))))


def noise(rng: Generator) -> np.ndarray:
    """Random pixels: uniform, Gaussian, black and white, or blurred into blobs."""
    field: np.ndarray
    kind = rng.integers(4)
    if kind == 0:
        field = rng.random((SIZE, SIZE))
    elif kind == 1:
        field = rng.normal(rng.uniform(0, 1), rng.uniform(0.1, 0.5), (SIZE, SIZE))
    elif kind == 2:
        field = (rng.random((SIZE, SIZE)) < rng.uniform(0.05, 0.5)).astype(float)
    else:
        field = cv2.GaussianBlur(rng.random((SIZE, SIZE)), (0, 0), rng.uniform(0.7, 3))
        field = (field - field.min()) / np.ptp(field)
    return _to_bytes(field)


def texture(rng: Generator) -> np.ndarray:
    """A pattern over the whole image: waves, checks, dots, rings or clouds."""
    kind = rng.integers(5)
    angle, period, phase = rng.uniform(0, math.pi), rng.uniform(3, 10), rng.uniform(0, 2 * math.pi)
    down, right = np.mgrid[:SIZE, :SIZE]
    along = right * math.cos(angle) + down * math.sin(angle)
    across = down * math.cos(angle) - right * math.sin(angle)
    waves = [np.sin(2 * math.pi * way / period + phase) for way in (along, across)]
    if kind == 0:
        field = waves[0] if rng.random() < 0.5 else np.sign(waves[0])
    elif kind == 1:
        field = np.sign(waves[0] * waves[1])
    elif kind == 2:
        field = np.where(waves[0] + waves[1] > 1, 1.0, -1.0)
    elif kind == 3:
        centre = rng.uniform(0, SIZE, 2)
        field = np.sin(2 * math.pi * np.hypot(down - centre[0], right - centre[1]) / period)
    else:
        field = 2 * plasma(rng, 1)[0] - 1
        field = (field - field.mean()) * rng.uniform(1, 5)
    return _to_bytes((field + 1) / 2 * rng.uniform(0.5, 1))


def shape(rng: Generator) -> np.ndarray:
    """A triangle, square, pentagon, star, plus, disc, half disc or heart, turned, filled or as an outline.

    Outlines of discs, half discs, squares and pentagons are left out (they are zeros), and so is a lone line (a one).
    """
    name = list(_SHAPES)[rng.integers(len(_SHAPES))]
    points, may_be_outline = _SHAPES[name]
    turned = points @ _rotation(rng.uniform(0, 2 * math.pi)) * rng.uniform(30, 40)
    corners = np.rint(turned + _SHEET / 2).astype(np.int32)
    sheet = np.zeros((_SHEET, _SHEET), np.uint8)
    if may_be_outline and rng.random() < 0.5:
        cv2.polylines(sheet, [corners], True, 255, int(rng.integers(6, 13)), cv2.LINE_AA)
    else:
        cv2.fillPoly(sheet, [corners], 255, cv2.LINE_AA)
    return normalise(sheet, stroke_width=None)  # a filled shape has no stroke to be thinned


SETS: dict[str, Callable[[Generator], np.ndarray]] = {
    "letters": letter,
    "scribbles": scribble,
    "noise": noise,
    "textures": texture,
    "shapes": shape,
}
"""The sets that can be made: name -> a function that makes one image, uint8 [28, 28]."""


def make(name: str, count: int, seed: int = 0) -> np.ndarray:
    """Images of one of `SETS`: uint8 [count, 28, 28]; image i is the same for any `count`."""
    root = np.random.default_rng([seed, list(SETS).index(name)])
    return np.stack([SETS[name](rng) for rng in root.spawn(count)])


@functools.lru_cache(maxsize=len(_TRUETYPE))
def _truetype(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", 80)


def _bend(sheet: np.ndarray, rng: Generator) -> np.ndarray:
    """Turn by up to 10 degrees, slant by up to 0.2, stretch by up to a fifth."""
    linear = _rotation(rng.uniform(-1, 1) * math.radians(10)) @ [[1, rng.uniform(-0.2, 0.2)], [0, 1]]
    linear = linear @ np.diag(rng.uniform(0.8, 1.2, 2))
    shift = _SHEET / 2 - linear.sum(axis=1) * _SHEET / 2
    return cv2.warpAffine(sheet, np.column_stack([linear, shift]), (_SHEET, _SHEET))


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _to_bytes(field: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(field, 0, 1) * 255).astype(np.uint8)


def _regular(corners: int, *radii: float) -> np.ndarray:
    """Corners [corners, 2] around a circle, at distances that alternate between `radii`."""
    angles = 2 * math.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.resize(radii, corners)[:, None]


def _half() -> np.ndarray:
    angles = np.linspace(0, math.pi, 24)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _heart() -> np.ndarray:
    t = 2 * math.pi * np.arange(40) / 40
    return (
        np.stack([16 * np.sin(t) ** 3, 5 * np.cos(2 * t) + 2 * np.cos(3 * t) + np.cos(4 * t) - 13 * np.cos(t)], 1) / 17
    )


_PLUS = np.array([(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3), (-1, -3), (-1, -1), (-3, -1), (-3, 1), (-1, 1),
                  (-1, 3)]) / 3  # fmt: skip
_SHAPES = {  # name -> corners on a circle of radius 1, and whether its outline does not look like a digit
    "triangle": (_regular(3, 1), True),
    "square": (_regular(4, 1), False),
    "pentagon": (_regular(5, 1), False),
    "star": (_regular(10, 1, 0.4), True),
    "four-pointed star": (_regular(8, 1, 0.35), True),
    "plus": (_PLUS, True),
    "disc": (_regular(48, 1), False),
    "half disc": (_half(), False),
    "heart": (_heart(), True),
}


def main() -> None:
    """Draw twelve of each set into the file that is named."""
    from mnist_lightning.evaluation import charts
    from mnist_lightning.plots import style

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("picture", type=Path)
    rows = {name.capitalize(): make(name, 12) for name in SETS}
    style.save(charts.contact_sheet("Out-of-distribution images", rows), parser.parse_args().picture)


if __name__ == "__main__":
    main()
