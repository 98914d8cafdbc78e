"""Strokes on a sheet -> the number that they are, digit by digit.

Knows neither windows nor files. Cutting into digits and preparing each is `ink`'s work, reading one is the
`Predictor`'s; here is what lies between: one batch, no digit twice, and an honest "not sure".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from mnist_lightning.ink.normalise import normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.segment import segment_strokes
from mnist_lightning.ink.strokes import Stroke

if TYPE_CHECKING:  # a window that is still loading torch knows readings already
    from mnist_lightning.inference.predictor import Predictor

UNSURE = "?"  # stands in a number for a digit that the network is not sure of


@dataclass(frozen=True, eq=False)
class DigitReading:
    """What was read in one digit.

    Attributes:
        label: the likeliest class, by name, sure or not.
        confidence: its probability, 0 to 1.
        probabilities: float32 [C], add up to 1.
        sure: whether `confidence` reaches what the reader asks for.
        image: uint8 [28, 28], what the network saw.
        box: left, top, right, bottom of the pen's path, in the unit of the strokes.
        strokes: the strokes that are this digit.
    """

    label: str
    confidence: float
    probabilities: np.ndarray
    sure: bool
    image: np.ndarray
    box: tuple[float, float, float, float]
    strokes: tuple[Stroke, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read on a sheet: its digits from left to right, none on an empty one."""

    digits: tuple[DigitReading, ...] = ()

    @property
    def text(self) -> str:
        """The whole number, with "?" for each digit that is not sure; "" for an empty sheet."""
        return "".join(digit.label if digit.sure else UNSURE for digit in self.digits)

    @property
    def best(self) -> str:
        """The whole number as the likeliest classes have it, sure or not; "" for an empty sheet."""
        return "".join(digit.label for digit in self.digits)


class Reader:
    """Reads sheets that change a little at a time, as one that is being drawn on does.

    A digit whose strokes are the same objects as at the last reading, with as many points each, is not read
    again: strokes grow at their end and are never changed otherwise (see `ink.strokes.Drawing`).
    """

    def __init__(self, predictor: Predictor, sure: float) -> None:
        """`sure` is the probability, 0 to 1, from which on a digit counts as sure."""
        self.predictor, self.sure = predictor, sure
        # By identity and length of the strokes. Each reading holds its strokes, so no identity is given out anew.
        self._known: dict[tuple[tuple[int, int], ...], DigitReading] = {}
        self._explained: WeakKeyDictionary[DigitReading, np.ndarray] = WeakKeyDictionary()

    def read(self, strokes: Sequence[Stroke]) -> Reading:
        """Read the digits of a sheet, in any unit, y pointing down."""
        groups = {tuple((id(s), len(s.points)) for s in group): group for group in segment_strokes(strokes)}
        fresh = {key: group for key, group in groups.items() if key not in self._known}
        if fresh:
            images = np.stack([normalise_ink(draw_digit(group)) for group in fresh.values()])
            probabilities = self.predictor.probabilities(images)
            self._known |= {
                key: self._reading(group, image, row)
                for (key, group), image, row in zip(fresh.items(), images, probabilities, strict=True)
            }
        self._known = {key: self._known[key] for key in groups}
        return Reading(tuple(self._known.values()))

    def explain(self, digit: DigitReading) -> np.ndarray:
        """Which pixels of `digit.image` decided: float32 [28, 28], see `inference.saliency`."""
        if digit not in self._explained:
            from mnist_lightning.inference.saliency import saliency

            self._explained[digit] = saliency(self.predictor, digit.image)
        return self._explained[digit]

    def _reading(self, group: list[Stroke], image: np.ndarray, probabilities: np.ndarray) -> DigitReading:
        best = int(probabilities.argmax())
        points, confidence = np.concatenate([stroke.path() for stroke in group]), float(probabilities[best])
        left, top = points.min(axis=0).tolist()
        right, bottom = points.max(axis=0).tolist()
        label = self.predictor.class_names[best]
        return DigitReading(
            label, confidence, probabilities, confidence >= self.sure, image, (left, top, right, bottom), tuple(group)
        )
