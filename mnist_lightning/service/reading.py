"""The content of a request -> its reading, by the reader that the window, files and replay also use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import CERTAIN, DigitReading, Reader, Reading
from mnist_lightning.ink.strokes import Stroke


@dataclass(frozen=True, eq=False)
class Content:
    """The content of a request: a picture or a drawing.

    Attributes:
        strokes: of the drawing; None for a picture.
        pixels: of the picture, uint8, grey [H, W], BGR [H, W, 3] or BGRA [H, W, 4]; None for a drawing.
        scale: pixels of the file for each of `pixels`, along each side.
    """

    strokes: list[Stroke] | None = None
    pixels: np.ndarray | None = None
    scale: float = 1.0


def read(content: Content, predictor: Predictor, sure: float) -> Reading:
    """Read a picture or a drawing.

    Args:
        content: what to read.
        predictor: the network.
        sure: smallest probability at which a digit counts as sure.
    """
    reader = Reader(predictor, sure)
    if content.strokes is not None:
        return reader.read(content.strokes)
    assert content.pixels is not None
    return reader.read_picture(content.pixels).scaled(content.scale)


def one_digit(
    row: np.ndarray, image: np.ndarray, box: Any, class_names: tuple[str, ...], sure: float
) -> Reading | None:
    """The reading of an image that is one digit in the form of MNIST, from its probabilities [C].

    None if the network is less than certain: the reader then looks at it in other ways.
    """
    best = int(row.argmax())
    confidence = float(row[best])
    if confidence < CERTAIN:
        return None
    return Reading((DigitReading(class_names[best], confidence, row, confidence >= sure, image, box),))
