"""A digit that is still to be read: some strokes, or some ink of a picture. It can be joined to another, and cut."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np

from mnist_lightning.ink.normalise import bounding_box, normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.segment import cut_columns
from mnist_lightning.ink.strokes import Stroke

_MOST_PIECES = 12  # that a part is cut into


class Part(Protocol):
    """What may be one digit.

    Attributes:
        key: equal for equal parts.
        box: left, top, right, bottom of what the pen drew.
        strokes: those of the part; none in a picture.
    """

    key: Hashable
    box: tuple[float, float, float, float]
    strokes: tuple[Stroke, ...]

    def image(self) -> np.ndarray:
        """uint8 [28, 28], as the network takes it."""
        ...

    def joined(self, other: Part) -> Part:
        """Both as one digit."""
        ...

    def is_in_one_go(self) -> bool:
        """Whether it was drawn without anything else in between, as far as is known."""
        ...

    def pieces(self) -> list[Part]:
        """What it may be cut into, from left to right; neighbours can be joined again. Itself if it cannot be cut."""
        ...


class StrokePart:
    """Strokes of a sheet; `first` is the number of its first stroke on the sheet, in drawing order."""

    def __init__(self, strokes: Sequence[tuple[int, Stroke]]) -> None:
        self._numbered = tuple(sorted(strokes, key=lambda item: item[0]))
        self.strokes = tuple(stroke for _, stroke in self._numbered)
        # By identity and length: strokes grow at their end and are never changed otherwise (see `ink.strokes.Drawing`).
        self.key: Hashable = tuple((id(stroke), len(stroke.points)) for stroke in self.strokes)
        points = np.concatenate([stroke.path() for stroke in self.strokes])
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        self.box: tuple[float, float, float, float] = (left, top, right, bottom)

    def image(self) -> np.ndarray:
        """See `Part`."""
        return normalise_ink(draw_digit(self.strokes))

    def joined(self, other: Part) -> Part:
        """See `Part`."""
        assert isinstance(other, StrokePart)
        return StrokePart([*self._numbered, *other._numbered])

    def is_in_one_go(self) -> bool:
        """See `Part`."""
        return self._numbered[-1][0] - self._numbered[0][0] == len(self.strokes) - 1

    def pieces(self) -> list[Part]:
        """See `Part`; its strokes."""
        if len(self.strokes) > _MOST_PIECES:
            return [self]
        middle = [float(stroke.path()[:, 0].mean()) for stroke in self.strokes]
        return [StrokePart([self._numbered[index]]) for index in np.argsort(middle, kind="stable")]


class InkPart:
    """Ink of a picture, uint8 [h, w] on exactly 0, whose upper left corner is at `left`, `top`."""

    def __init__(self, pixels: np.ndarray, left: int = 0, top: int = 0) -> None:
        self.strokes: tuple[Stroke, ...] = ()
        x, y, right, bottom = bounding_box(pixels) or (0, 0, pixels.shape[1], pixels.shape[0])
        self.pixels = pixels[y:bottom, x:right]
        self.box: tuple[float, float, float, float] = (left + x, top + y, left + right, top + bottom)
        self.key: Hashable = (self.box, self.pixels.tobytes())

    def image(self) -> np.ndarray:
        """See `Part`."""
        return normalise_ink(np.pad(self.pixels, 1))

    def joined(self, other: Part) -> Part:
        """See `Part`."""
        assert isinstance(other, InkPart)
        left, top = int(min(self.box[0], other.box[0])), int(min(self.box[1], other.box[1]))
        right, bottom = int(max(self.box[2], other.box[2])), int(max(self.box[3], other.box[3]))
        both = np.zeros((bottom - top, right - left), np.uint8)
        for part in (self, other):
            x, y = int(part.box[0]) - left, int(part.box[1]) - top
            view = both[y : y + part.pixels.shape[0], x : x + part.pixels.shape[1]]
            np.maximum(view, part.pixels, out=view)
        return InkPart(both, left, top)

    def is_in_one_go(self) -> bool:
        """See `Part`."""
        return True

    def pieces(self) -> list[Part]:
        """See `Part`; cut where there is least ink."""
        left, top = int(self.box[0]), int(self.box[1])
        return [InkPart(piece, left, top) for piece in cut_columns(self.pixels, _MOST_PIECES)]
