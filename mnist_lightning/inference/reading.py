"""What was read: digits, the numbers that they make, and an honest "not sure"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from mnist_lightning.ink.strokes import Stroke

UNSURE = "?"  # stands in a number for a digit that the network is not sure of
NO_DIGIT = "no digit that I know"


def label_value(name: str) -> int | str:
    """A class name as JSON shows it: a number where it is one in ASCII digits, else the name."""
    return int(name) if name.isdecimal() and name.isascii() else name


@dataclass(frozen=True, eq=False)
class DigitReading:
    """What was read in one digit.

    Attributes:
        label: the likeliest class, by name, sure or not.
        confidence: its probability, 0 to 1.
        probabilities: float32 [C], add up to 1.
        sure: whether `confidence` reaches what the reader asks for.
        image: uint8 [28, 28], what the network saw.
        box: left, top, right, bottom: of the pen's path, in the unit of the strokes; in a picture, of the ink, in its
            pixels, right and bottom exclusive.
        strokes: the strokes that are this digit; none in a picture.
        is_digit: whether any class is likely enough to be worth naming; a letter, a sign or a scribble is not a digit.
    """

    label: str
    confidence: float
    probabilities: np.ndarray
    sure: bool
    image: np.ndarray
    box: tuple[float, float, float, float]
    strokes: tuple[Stroke, ...] = ()
    is_digit: bool = True


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read on a sheet or in a picture; no digits where it is empty.

    Attributes:
        digits: row by row from the top, from left to right in each.
        row_lengths: how many of them each row has; () for one row of all.
    """

    digits: tuple[DigitReading, ...] = ()
    row_lengths: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """What one reads at a prompt: the digits and how probable they are, without the arrays of pixels."""
        probable = ", ".join(f"{digit.confidence:.3f}" for digit in self.digits)
        return f"Reading(best={self.best!r}, sure={self.sure}, confidences=[{probable}])"

    @property
    def rows(self) -> tuple[tuple[DigitReading, ...], ...]:
        """The digits of each row; a row is a number."""
        lengths = self.row_lengths or (len(self.digits),)
        return tuple(self.digits[end - length : end] for end, length in zip(accumulate(lengths), lengths, strict=True))

    @property
    def text(self) -> str:
        """The number, or numbers with a space between, "?" for each digit that is not sure; "" for an empty sheet."""
        return " ".join("".join(digit.label if digit.sure else UNSURE for digit in row) for row in self.rows)

    @property
    def best(self) -> str:
        """As `text`, with the likeliest class of each digit, sure or not."""
        return " ".join("".join(digit.label for digit in row) for row in self.rows)

    @property
    def digit(self) -> str | None:
        """The likeliest class, where there is exactly one digit."""
        return self.digits[0].label if len(self.digits) == 1 else None

    @property
    def probabilities(self) -> np.ndarray | None:
        """The probability of each class, float32 [C], where there is exactly one digit."""
        return self.digits[0].probabilities if len(self.digits) == 1 else None

    @property
    def sure(self) -> bool:
        """Whether there are digits, and all are sure."""
        return bool(self.digits) and all(digit.sure for digit in self.digits)

    def scaled(self, scale: float) -> Reading:
        """The same with its boxes times `scale`: in pixels of a file whose picture was shrunk before it was read."""
        if scale == 1:
            return self
        digits = (replace(digit, box=_scaled(digit.box, scale)) for digit in self.digits)
        return replace(self, digits=tuple(digits))

    @property
    def has_no_digit(self) -> bool:
        """Whether something is there, but less than half of it is like digits: see `NO_DIGIT`."""
        return 2 * sum(digit.is_digit for digit in self.digits) < len(self.digits)


def _scaled(box: tuple[float, float, float, float], scale: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left * scale, top * scale, right * scale, bottom * scale
