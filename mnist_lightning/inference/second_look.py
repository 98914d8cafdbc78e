"""A second look at images that the network is not certain of: the same image turned a little either way.

The mean log-probability of the three looks counts. What the network is certain of at first is left as it is, so a few
digits in a hundred take three readings. The page's `engine/second_look.js` does the same.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from mnist_lightning.inference.predictor import softmax

if TYPE_CHECKING:
    from mnist_lightning.inference.predictor import Predictor

TURN = 8.0  # degrees, as in conf/tta/views.yaml
HOPELESS = 0.2  # half a digit, or none: no class is as likely as this, and no other look makes it sure
_TINY = np.finfo(np.float32).tiny  # instead of a probability of 0, whose logarithm would outvote everything


def probabilities(predictor: Predictor, images: np.ndarray, certain: float) -> np.ndarray:
    """Probabilities of images, with a second look at each whose likeliest class is from `HOPELESS` to below `certain`.

    Args:
        predictor: the network. One with test-time augmentation has several views of each image already: no second look.
        images: uint8 [N, S, S].
        certain: probability, 0 to 1.

    Returns:
        float32 [N, C], each row with a sum of 1.
    """
    found = predictor.probabilities(images)
    most = found.max(axis=1, initial=0.0)
    doubtful = np.flatnonzero((most >= HOPELESS) & (most < certain))
    if predictor.tta or not len(doubtful):
        return found
    again = np.concatenate([turned(images[doubtful], TURN), turned(images[doubtful], -TURN)])
    looks = np.stack([found[doubtful], *np.split(predictor.probabilities(again), 2)])
    found = found.copy()
    found[doubtful] = softmax(np.log(np.maximum(looks, _TINY)).mean(axis=0))
    return found


def turned(images: np.ndarray, degrees: float) -> np.ndarray:
    """Square images turned about their middle, uint8 [N, S, S], clockwise; black fills the corners."""
    corners, weights = _corners(images.shape[-1], degrees)
    flat = images.reshape(len(images), -1)
    total = sum(flat[:, corner] * weight for corner, weight in zip(corners, weights, strict=True))
    return np.floor(total + 0.5).astype(np.uint8).reshape(images.shape)


@functools.cache
def _corners(side: int, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The four pixels that each pixel of a turned image is made of, [4, S * S], and their weights."""
    middle = (side - 1) / 2
    down, across = (each - middle for each in np.divmod(np.arange(side * side), side))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = cos * across + sin * down + middle, cos * down - sin * across + middle
    corners, weights = [], []
    for top in (np.floor(y), np.floor(y) + 1):
        for left in (np.floor(x), np.floor(x) + 1):
            inside = (top >= 0) & (top < side) & (left >= 0) & (left < side)
            corners.append(np.where(inside, top * side + left, 0).astype(np.intp))
            weights.append((1 - np.abs(y - top)) * (1 - np.abs(x - left)) * inside)
    return np.stack(corners), np.stack(weights)
