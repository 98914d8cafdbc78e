"""The fifteen corruptions of MNIST-C: what happens to a digit between the pen and the network.

N. Mu and J. Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision", 2019 (arXiv:1906.02337). Reimplemented with
SciPy and OpenCV; the severity of each kind is the one that the authors' published set was made with, given in
`KINDS`. One differs a little: fog finds its darkest and brightest place on every fourth pixel. It is a test: nothing
here is used in training.

`python -m mnist_lightning.evaluation.corruptions picture.png` draws them all on scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from scipy import ndimage

SIZE = 28  # side of the images, pixels
_MIDDLE = (SIZE - 1) / 2  # what turns, shears and shrinks does so around this point
_CHUNK = 1000  # images changed together: bounds the memory, and is part of what the seed means
_REACH = 2.3  # pixels above and below a drawn line at which its ink has faded away

Images = np.ndarray  # float32 [N, 28, 28] from 0 to 1, bright ink


def shot_noise(images: Images, rng: Generator) -> Images:
    """Light comes in grains: a Poisson number of photons, 3 where the image is white."""
    # Three photons or more are white, so three comparisons with the distribution function make the draw.
    rate = 3 * images
    none = np.exp(-rate)
    draw = rng.random(images.shape, dtype=np.float32)
    return (
        (draw > none).astype(np.float32) + (draw > none * (1 + rate)) + (draw > none * (1 + rate + rate**2 / 2))
    ) / 3


def impulse_noise(images: Images, rng: Generator) -> Images:
    """Salt and pepper: 17 % of the pixels become black or white."""
    draw = rng.random(images.shape, dtype=np.float32)
    return np.where(draw < 0.085, np.float32(0), np.where(draw < 0.17, np.float32(1), images))


def glass_blur(images: Images, rng: Generator) -> Images:
    """Seen through frosted glass: blurred, pixels swapped with a neighbour, blurred again; the blur is vertical."""
    # The authors call scikit-image's blur in a way that takes the columns for colours, and so leaves them alone.
    # Blurred along both axes it is much harder, and no longer the published benchmark.
    sigma = (0, 0.7, 0)
    result = ndimage.gaussian_filter(images, sigma, mode="nearest")
    swaps = rng.integers(0, 8, (len(images), 2, SIZE, SIZE), dtype=np.uint8)  # a bit each: swap at all, up, left
    everyone = np.arange(len(images))
    for turn in range(2):
        for row in range(SIZE - 1, 1, -1):
            for column in range(SIZE - 1, 1, -1):
                draw = swaps[:, turn, row, column]
                swapped = draw & 1
                other = everyone, row - (swapped & draw >> 1), column - (swapped & draw >> 2)
                here = result[:, row, column].copy()
                result[:, row, column] = result[other]
                result[other] = here
    return ndimage.gaussian_filter(result, sigma, mode="nearest")


def motion_blur(images: Images, rng: Generator) -> Images:
    """The hand moved: a trail in a direction within 45 degrees of the horizontal, fading as a Gaussian of 3 pixels."""
    steps = np.arange(21)  # a radius of 10 pixels
    weights = np.exp(-(steps**2) / (2 * 3.0**2))
    weights /= weights.sum()
    result = np.empty_like(images)
    for index, angle in enumerate(rng.uniform(-math.pi / 4, math.pi / 4, len(images))):
        kernel = np.zeros((2 * len(steps) - 1,) * 2, np.float32)
        down, right = (np.ceil(steps * turn - 0.5).astype(int) for turn in (math.sin(angle), math.cos(angle)))
        np.add.at(kernel, (20 + down, 20 + right), weights)
        result[index] = cv2.filter2D(images[index], -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return result


def shear(images: Images, rng: Generator) -> Images:
    """Slanted by 21 degrees to the left or right (the sine of 0.4 rad sideways), and made 9 % taller."""
    return _warp(images, [[[1, -math.sin(angle)], [0, math.cos(angle)]] for angle in _either(rng, len(images), 0.4)])


def scale(images: Images, rng: Generator) -> Images:
    """Shrunk to 70 % of its size, around the middle."""
    return _warp(images, [[[1 / 0.7, 0], [0, 1 / 0.7]]] * len(images))


def rotate(images: Images, rng: Generator) -> Images:
    """Turned by 0.4 rad (23 degrees) to the left or right."""
    angles = _either(rng, len(images), 0.4)
    return _warp(images, [[[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]] for a in angles])


def brightness(images: Images, rng: Generator) -> Images:
    """Half of white is added to each pixel."""
    return images + np.float32(0.5)


def translate(images: Images, rng: Generator) -> Images:
    """Moved by 3 pixels along both axes, into one of the four corners."""
    moved = np.zeros_like(images)
    for index, (down, right) in enumerate(_either(rng, (len(images), 2), 3)):
        image = np.pad(images[index], 3)
        moved[index] = image[3 + down : 3 + down + SIZE, 3 + right : 3 + right + SIZE]
    return moved


def stripe(images: Images, rng: Generator) -> Images:
    """The left and the right quarter become their own negative."""
    result = images.copy()
    for quarter in (result[:, :, :7], result[:, :, 21:]):
        np.subtract(1, quarter, out=quarter)
    return result


def fog(images: Images, rng: Generator) -> Images:
    """Clouds three times as bright as the ink are laid over it, and the sum is brought back to the image's range."""
    peak = images.max(axis=(1, 2), keepdims=True)
    return (images + 3 * plasma(rng, len(images))) * (peak / (peak + 3))


def spatter(images: Images, rng: Generator) -> Images:
    """Grey drops (a quarter of white) hide what lies below: a blurred noise field, where it is above a threshold."""
    liquid = _blur(rng.standard_normal(images.shape, dtype=np.float32) * 0.3 + 0.65, 1.0)
    drops = _blur((liquid > 0.65).astype(np.float32), 1.5)
    drops[drops < 0.8] = 0
    return images * (1 - drops) + drops * np.float32(63 / 255)


def dotted_line(images: Images, rng: Generator) -> Images:
    """A dotted line from edge to edge, two columns on and two off, its two ends at any height."""
    columns = np.arange(SIZE)
    start, end = rng.integers(0, SIZE - 1, (len(images), 2)).T[..., None]
    visible = (columns // 2 % 2 == 1) & (columns < SIZE - 1)
    return images + _line(start + (end - start) * columns / (SIZE - 1)) * visible


def zigzag(images: Images, rng: Generator) -> Images:
    """A zigzag 4 pixels high across the image, falling or rising by up to 5 pixels, at any height."""
    starts, rises = rng.spawn(2)
    start = starts.integers(0, SIZE - 1, len(images))
    drawn = _zigzags()[rises.integers(0, 10, len(images)), start]
    return images + drawn


def canny_edges(images: Images, rng: Generator) -> Images:
    """Only the outlines are left (J. Canny, 1986): blur of 1 pixel, thresholds of a tenth and a fifth of white."""
    smooth, unit = _blur(images, 1.0), 4096  # OpenCV wants the derivatives as whole numbers
    slopes = []
    for axis, other in ((2, 1), (1, 2)):  # Sobel's operator; SciPy's own would smooth across the images as well
        slope = ndimage.correlate1d(ndimage.correlate1d(smooth, [-1, 0, 1], axis), [1, 2, 1], other)
        slopes.append(np.rint(slope * unit).astype(np.int16))
    edges = [
        cv2.Canny(across, down, 0.1 * unit, 0.2 * unit, L2gradient=True)
        for across, down in zip(*slopes, strict=True)
    ]  # fmt: skip
    return np.stack(edges).astype(np.float32) / 255


@dataclass(frozen=True)
class Kind:
    """One corruption: what it is called, how hard it hits (in words), and the function that does it."""

    title: str
    severity: str
    apply: Callable[[Images, Generator], Images]


KINDS: dict[str, Kind] = {
    "shot_noise": Kind("Shot noise", "3 photons where the image is white (level 5 of 5)", shot_noise),
    "impulse_noise": Kind("Impulse noise", "17 % of the pixels black or white (level 4 of 5)", impulse_noise),
    "glass_blur": Kind("Glass blur", "vertical blur 0.7 px, two rounds of swaps by 1 px (level 1 of 5)", glass_blur),
    "motion_blur": Kind("Motion blur", "trail of radius 10 px, sigma 3 px (level 1 of 5)", motion_blur),
    "shear": Kind("Shear", "0.4 rad, a slant of 21 degrees (level 2 of 5)", shear),
    "scale": Kind("Scale", "70 % of its size (level 3 of 5)", scale),
    "rotate": Kind("Rotate", "0.4 rad = 23 degrees (level 2 of 5)", rotate),
    "brightness": Kind("Brightness", "half of white added (level 5 of 5)", brightness),
    "translate": Kind("Translate", "3 px along both axes (level 3 of 5)", translate),
    "stripe": Kind("Stripe", "two quarters inverted (one level)", stripe),
    "fog": Kind("Fog", "clouds 3 times as bright as ink, decay 1.4 (level 5 of 5)", fog),
    "spatter": Kind("Spatter", "threshold 0.65, blur 1 px, drops of 1.5 px (level 4 of 5)", spatter),
    "dotted_line": Kind("Dotted line", "one line from edge to edge (one level)", dotted_line),
    "zigzag": Kind("Zigzag", "one zigzag, 2 px up and down (one level)", zigzag),
    "canny_edges": Kind("Canny edges", "sigma 1 px, thresholds 0.1 and 0.2 (one level)", canny_edges),
}
"""The fifteen, in the paper's order."""


def corrupt(images: np.ndarray, kind: str, seed: int = 0) -> np.ndarray:
    """Corrupt images, each with a draw of its own.

    The draw of an image depends on the seed, the kind and its position in the set: not on the other images or their
    number.

    Args:
        images: uint8 [N, 28, 28], bright ink on 0.
        kind: one of `KINDS`.
        seed: 0 or more.

    Returns:
        A new uint8 [N, 28, 28].
    """
    result = np.empty_like(images)
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK].astype(np.float32) / 255
        rng = np.random.default_rng([seed, list(KINDS).index(kind), start // _CHUNK])
        changed = KINDS[kind].apply(part, rng)
        result[start : start + _CHUNK] = np.rint(np.clip(changed, 0, 1) * 255)
    return result


def plasma(rng: Generator, count: int, decay: float = 1.4) -> Images:
    """Clouds: a 28x28 corner of a 256x256 plasma fractal, made by the diamond-square algorithm.

    A. Fournier, D. Fussell and L. Carpenter, "Computer rendering of stochastic models", 1982. Each level halves the
    distance between the points and moves the new ones by a uniform draw that is `decay` squared times smaller.

    Returns:
        float32 [count, 28, 28]; 0 is the darkest and 1 the brightest place of the whole fractal.
    """
    field = np.zeros((count, 1, 1), np.float32)
    levels = [1 / decay ** (2 * level) for level in range(8)]
    draws = rng.spawn(len(levels))
    for reach, draw in zip(levels[:6], draws[:6], strict=True):
        field = _finer(field, reach, draw)
    low, high = field.min(axis=(1, 2), keepdims=True), field.max(axis=(1, 2), keepdims=True)
    # The two finest levels, three quarters of the work each, are needed only in the corner and a rim around it.
    corner = np.roll(field, (2, 2), (1, 2))[:, :12, :12]
    for reach, draw in zip(levels[6:], draws[6:], strict=True):
        corner = _finer(corner, reach, draw)
    return np.clip((corner[:, 8 : 8 + SIZE, 8 : 8 + SIZE] - low) / (high - low), 0, 1)


def _finer(field: np.ndarray, reach: float, rng: Generator) -> np.ndarray:
    """Twice as many points on a torus: [N, k, k] -> [N, 2k, 2k]."""
    count, side, _ = field.shape
    noise = reach * rng.uniform(-1, 1, (count, 3, side, side)).astype(np.float32)
    below, right = np.roll(field, -1, 1), np.roll(field, -1, 2)
    centre = (field + below + right + np.roll(below, -1, 2)) / 4 + noise[:, 0]
    fine = np.empty((count, 2 * side, 2 * side), np.float32)
    fine[:, ::2, ::2], fine[:, 1::2, 1::2] = field, centre
    fine[:, ::2, 1::2] = (field + right + centre + np.roll(centre, 1, 1)) / 4 + noise[:, 1]
    fine[:, 1::2, ::2] = (field + below + centre + np.roll(centre, 1, 2)) / 4 + noise[:, 2]
    return fine


def _blur(images: Images, sigma: float) -> Images:
    return ndimage.gaussian_filter(images, (0, sigma, sigma), mode="nearest")


def _either(rng: Generator, shape: int | tuple[int, ...], value: float) -> np.ndarray:
    """`value` or its negative, with equal probability."""
    return value * rng.choice([-1, 1], shape)


def _warp(images: Images, matrices: list[list[list[float]]]) -> Images:
    """Each image by its own 2x2 matrix around the middle: where in the old image (x, y) each new pixel looks."""
    result = np.empty_like(images)
    for index, matrix in enumerate(matrices):
        linear = np.array(matrix)
        whole = np.column_stack([linear, _MIDDLE - linear.sum(axis=1) * _MIDDLE])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(images[index], whole, (SIZE, SIZE), dst=result[index], flags=flags)
    return result


def _line(heights: np.ndarray) -> np.ndarray:
    """The ink of lines that stand at `heights` [N, 28] in each column: [N, 28, 28], fading up and down."""
    away = np.abs(np.arange(SIZE)[:, None] - heights[:, None, :])
    ink = 1 + np.log(1 - np.minimum(away, _REACH - 1e-6) / _REACH)
    return np.clip(ink, 0, 1).astype(np.float32)


@functools.cache
def _zigzags() -> np.ndarray:
    """The ink of every zigzag: float32 [10 rises from -5 to 4, 27 heights of its start, 28, 28].

    As the authors draw them, each piece of the line fills every column that it touches: at a corner, two pieces lie on
    the same columns, each as if it went straight on, and their ink adds up. A zigzag without it is easier to read past.
    """
    columns, heights = np.arange(SIZE), np.arange(SIZE - 1)
    ink = np.zeros((10, SIZE - 1, SIZE, SIZE), np.float32)
    for index, rise in enumerate(range(-5, 5)):
        across, down = _zigzag_corners(rise)
        for left, right, above, below in zip(across, across[1:], down, down[1:], strict=False):
            line = above + (below - above) / (right - left) * (columns - left)
            touched = (columns >= math.floor(left)) & (columns < math.ceil(right))
            ink[index] += _line(heights[:, None] + line) * touched
    return np.minimum(ink, 1)


def _zigzag_corners(rise: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and heights of a zigzag's corners, from column 2 at height 0 to about column 25 and height `rise`."""
    angle = math.atan2(rise, 23)
    length = 23 / math.cos(angle)
    along = [0.0, *np.arange(2, length, 4)]
    aside = [0.0, *(2.0 * (-1) ** index for index in range(len(along) - 1))]
    # The authors' last point is a little off the straight line.
    along.append(length)
    aside.append(aside[-1] / (2 * (length - 4 * (length // 4))))
    cos, sin = math.cos(angle), math.sin(angle)
    return 2 + np.array(along) * cos - np.array(aside) * sin, np.array(along) * sin + np.array(aside) * cos


def main() -> None:
    """Draw ten of scikit-learn's digits under every kind into the file that is named."""
    from mnist_lightning.data.small import load_sklearn_digits
    from mnist_lightning.evaluation import charts
    from mnist_lightning.plots import style

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("picture", type=Path)
    digits = load_sklearn_digits()[0][:10]
    rows = {"As it was": digits} | {kind.title: corrupt(digits, name) for name, kind in KINDS.items()}
    style.save(charts.contact_sheet("The fifteen corruptions", rows), parser.parse_args().picture)


if __name__ == "__main__":
    main()
