"""Synthetic patterns and noise that fill a whole image: they are neither digits nor handwriting.

M. Baradad et al., "Learning to See by Looking at Noise", NeurIPS 2021, compare such generators; these differ
from those of `evaluation/outlier_sets.py`, which remain a test.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from mnist_lightning.data import pen
from mnist_lightning.ink.normalise import SIZE


def outlier_noise(count: int, seed: int = 0) -> np.ndarray:
    """Dead leaves, coloured noise, patterns of random networks, cellular automata, shuffled pen digits, in equal parts.

    Args:
        count: how many.
        seed: draws all of them.

    Returns:
        uint8 [count, 28, 28], each from black to white.
    """
    random = np.random.default_rng([seed, 3])
    images = np.zeros((count, SIZE, SIZE), np.uint8)
    for number, image in enumerate(images):
        field = _KINDS[number % len(_KINDS)](random)
        low, high = field.min(), field.max()
        image[:] = np.rint((field - low) / max(high - low, 1e-6) * 255)
    return images


def _dead_leaves(random: Generator) -> np.ndarray:
    """Discs and polygons of uniform grey that overlap until no background is left (A. Lee et al., 2001)."""
    sheet = np.full((2 * SIZE, 2 * SIZE), random.uniform(), np.float32)
    largest = random.uniform(6, 24)
    for _ in range(random.integers(20, 120)):
        corners = int(random.integers(3, 9))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        radius = min(3 * random.uniform() ** -0.5, largest)  # many small, few large
        points = random.uniform(0, 2 * SIZE, 2) + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(sheet, [np.rint(points).astype(np.int32)], random.uniform())
    return cv2.resize(sheet, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _coloured_noise(random: Generator) -> np.ndarray:
    """Random phases under a spectrum that falls with a random power of the frequency, faster along one axis."""
    down, right = np.meshgrid(np.fft.fftfreq(SIZE), np.fft.rfftfreq(SIZE), indexing="ij")
    powers = random.uniform(0.2, 2, 2)
    spectrum = 1 / ((1 + np.abs(SIZE * down)) ** powers[0] * (1 + np.abs(SIZE * right)) ** powers[1])
    phases = np.exp(2j * np.pi * random.uniform(size=spectrum.shape))
    return np.fft.irfft2(spectrum * phases, s=(SIZE, SIZE))


def _random_network(random: Generator) -> np.ndarray:
    """The output of a small random network for each pixel's position: a compositional pattern (K. Stanley, 2007)."""
    place = np.linspace(-1, 1, SIZE)
    down, right = np.meshgrid(place, place, indexing="ij")
    values = np.stack([down, right, np.hypot(down - random.uniform(-1, 1), right - random.uniform(-1, 1))], axis=-1)
    values = values * np.exp(random.uniform(0, 2.5))
    for width in (8, 8, 1):
        values = values @ random.normal(0, values.shape[-1] ** -0.5, (values.shape[-1], width)) + random.normal(0, 1)
        kind = random.integers(3)
        values = (np.tanh(values), np.sin(2 * values), np.exp(-(values**2)))[kind]
    return values[..., 0]


def _automaton(random: Generator) -> np.ndarray:
    """Rows of cells, each from the one above by a random rule on three neighbours (S. Wolfram, 1983), zoomed."""
    rule = random.integers(0, 2, 8)
    cells = (random.uniform(size=SIZE) < random.uniform(0.02, 0.7)).astype(int)
    rows = []
    for _ in range(SIZE):
        rows.append(cells)
        cells = rule[4 * np.roll(cells, 1) + 2 * cells + np.roll(cells, -1)]
        cells = cells ^ (random.uniform(size=SIZE) < 0.03)
    zoom = random.integers(1, 5)
    field = np.kron(np.rot90(np.array(rows), int(random.integers(4))), np.ones((zoom, zoom)))[:SIZE, :SIZE]
    return field * random.uniform(0.3, 1) + random.uniform(0, 0.3) * random.uniform(size=field.shape)


def _shuffled(random: Generator) -> np.ndarray:
    """A pen digit whose blocks of 1x1, 2x2 or 4x4 pixels were shuffled (A. Sinha et al., ICLR 2021)."""
    image = pen.pen_digits(1, int(random.integers(2**31)))[0][0]
    side = int(random.choice([1, 2, 4]))
    count = SIZE // side
    blocks = image.reshape(count, side, count, side).swapaxes(1, 2).reshape(count * count, side, side)
    blocks = blocks[random.permutation(len(blocks))]
    return blocks.reshape(count, count, side, side).swapaxes(1, 2).reshape(SIZE, SIZE).astype(float)


_KINDS: tuple[Callable[[Generator], np.ndarray], ...] = (
    _dead_leaves,
    _coloured_noise,
    _random_network,
    _automaton,
    _shuffled,
)
