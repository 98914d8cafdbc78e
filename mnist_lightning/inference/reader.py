"""Strokes on a sheet, or a picture -> the number that is on it, digit by digit.

Knows neither windows nor files. Cutting into digits and preparing each is `ink`'s work, reading one is the
`Predictor`'s; this module does the rest: one batch, no digit read twice, cuts where they make the reading surer,
and an honest "not sure". Window, files, service and page all read through here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from mnist_lightning.errors import UserError
from mnist_lightning.inference import second_look
from mnist_lightning.inference.parts import InkPart, Part, StrokePart
from mnist_lightning.inference.reading import NO_DIGIT, UNSURE, DigitReading, Reading
from mnist_lightning.ink.extract import find_ink
from mnist_lightning.ink.normalise import SIZE
from mnist_lightning.ink.segment import segment_ink_rows, segment_stroke_rows
from mnist_lightning.ink.strokes import Stroke
from mnist_lightning.models.card import sure_from

if TYPE_CHECKING:  # a window that is still loading torch already knows readings
    from mnist_lightning.inference.predictor import Predictor

__all__ = ["NO_DIGIT", "UNSURE", "DigitReading", "Reader", "Reading"]

LEAST = 0.35  # the probability of its likeliest class below which something is not a digit

CERTAIN = 0.9
"""The lowest probability at which a digit is neither looked at again nor cut."""
_SURER = 0.8  # lowest probability that each digit must have after it was cut or joined
_BROAD = 1.6  # widest digit, share of its height
_GAIN = 0.1  # by which two digits, one above the other, must be likelier than one made of both
_NEAR = 0.35  # widest gap between two parts of a digit, share of the height of both
_WIDE = 0.7  # ink is cut if it is wider than this share of its height
_HIGH = 0.5  # lowest digit that is cut off a part, share of its height
_OVERLAP = 0.3  # most that cut digits may lean over one another, share of the narrower one's width
_ROUNDS = 6  # of joining and cutting


class Reader:
    """Reads pictures, and sheets that change a little at a time, such as one that is being drawn on.

    A digit whose strokes are the same objects as at the last reading, with as many points each, is not read again.
    """

    def __init__(self, predictor: Predictor, sure: float | None = None) -> None:
        """Make a reader.

        Args:
            predictor: the network.
            sure: the lowest probability, 0 to 1, at which a digit counts as sure; None for what the card says.

        Raises:
            UserError: the network takes images of another size than MNIST's.
        """
        if (side := predictor.card.get("image_size", SIZE)) != SIZE:
            raise UserError(
                f"This network takes images of {side}x{side} pixels. Pictures and drawings are prepared as MNIST's, "
                f"{SIZE}x{SIZE}: train it with images of that size."
            )
        self.predictor, self.sure = predictor, sure_from(predictor.card, sure)
        self.least = min(LEAST, self.sure)
        # Each part holds its strokes, so no identity is reused.
        self._known: dict[Hashable, tuple[Part, DigitReading]] = {}
        self._asked: set[Hashable] = set()
        self._explained: WeakKeyDictionary[DigitReading, np.ndarray] = WeakKeyDictionary()

    def read(self, strokes: Sequence[Stroke]) -> Reading:
        """Read the digits of a sheet, in any unit, y pointing down."""
        numbers = {id(stroke): number for number, stroke in enumerate(strokes)}
        rows = [
            [StrokePart([(numbers[id(stroke)], stroke) for stroke in group]) for group in row]
            for row in segment_stroke_rows(strokes)
        ]
        return self._read(rows)

    def read_picture(self, image: np.ndarray, digits: int | None = None) -> Reading:
        """Read what is written on a picture.

        Args:
            image: uint8, grey [H, W], BGR [H, W, 3] or BGRA [H, W, 4]; see `ink.extract.find_ink`.
            digits: 1 if all of it is one digit; None for as many as there are.

        Returns:
            The digits, with their boxes in pixels of `image`.
        """
        ink = find_ink(image)
        if not ink.pixels.any():
            return Reading()
        whole = InkPart(ink.pixels)
        if digits == 1:
            reading = self._read([[whole]], as_given=True)
        else:
            reading = self._read([[InkPart(digit) for digit in row] for row in segment_ink_rows(ink.pixels)], whole)
        return Reading(
            tuple(_placed(digit, ink.left, ink.top, ink.shrunk) for digit in reading.digits), reading.row_lengths
        )

    def explain(self, digit: DigitReading) -> np.ndarray:
        """Which pixels of `digit.image` decided: float32 [28, 28], see `inference.saliency`."""
        if digit not in self._explained:
            from mnist_lightning.inference.saliency import saliency

            self._explained[digit] = saliency(self.predictor, digit.image)
        return self._explained[digit]

    def _read(self, rows: Sequence[Sequence[Part]], whole: Part | None = None, as_given: bool = False) -> Reading:
        self._asked = set()
        self._look_at([part for row in rows for part in row])
        settled = [list(row) if as_given else self._settle(list(row)) for row in rows]
        if not as_given:
            settled = self._stacked(settled)
        if whole is not None and sum(map(len, settled)) > 1:
            settled = self._as_one(settled, whole)
        found = [[self._known[part.key][1] for part in row] for row in settled]
        self._known = {key: self._known[key] for key in self._asked}
        return Reading(tuple(digit for row in found for digit in row), tuple(len(row) for row in found if row))

    def _settle(self, parts: list[Part]) -> list[Part]:
        """Join and cut the parts of a row as long as its least likely digits become likelier."""
        for _ in range(_ROUNDS):
            ways = self._ways(parts)
            self._look_at(part for _, _, new in ways for part in new)
            best, gain = None, 0.0
            for start, past, new in ways:
                before, after = self._least(parts[start:past]), self._least(new)
                least = _SURER if before >= self.least else self.sure
                if after >= least and _is_surer(after, before) and after - before > gain:
                    best, gain = (start, past, new), after - before
            if best is None:
                return parts
            start, past, new = best
            parts = [*parts[:start], *new, *parts[past:]]
        return parts

    def _ways(self, parts: list[Part]) -> list[tuple[int, int, list[Part]]]:
        """What may replace parts[start:past]: two joined, or one cut."""
        ways: list[tuple[int, int, list[Part]]] = []
        for index, (part, after) in enumerate(pairwise(parts)):
            # Strokes lie together or do not; ink breaks, and both parts of a digit may look like one.
            if _gap(part, after) < _NEAR and (not part.strokes or self._least([part, after]) < CERTAIN):
                joined = part.joined(after)
                if _breadth(joined) <= _BROAD and joined.is_in_one_go():
                    ways.append((index, index + 2, [joined]))
        for index, part in enumerate(parts):
            if self._least([part]) < CERTAIN and (part.strokes or _breadth(part) > _WIDE):
                cut = self._cut(part)
                if len(cut) > 1:
                    ways.append((index, index + 1, cut))
        return ways

    def _cut(self, part: Part) -> list[Part]:
        """The likeliest digits that a part can be cut into; itself if there are none."""
        pieces = part.pieces()
        runs: dict[tuple[int, int], Part] = {}
        for start in range(len(pieces)):
            run = None
            for past in range(start + 1, len(pieces) + 1):
                run = pieces[start] if run is None else run.joined(pieces[past - 1])
                if _breadth(run) > _BROAD or past - start == len(pieces):
                    break
                if run.box[3] - run.box[1] >= _HIGH * (part.box[3] - part.box[1]):
                    runs[start, past] = run
        self._look_at(runs.values())
        best: dict[int, tuple[float, list[Part]]] = {0: (0.0, [])}  # log-probability of the digits up to a piece
        for past in range(1, len(pieces) + 1):
            for start in range(past):
                run = runs.get((start, past))
                if (
                    run is None
                    or start not in best
                    or (best[start][1] and _overlap(best[start][1][-1], run) > _OVERLAP)
                ):
                    continue
                score = best[start][0] + math.log(max(self._least([run]), 1e-6))
                if past not in best or score > best[past][0]:
                    best[past] = score, [*best[start][1], run]
        return best.get(len(pieces), (0.0, [part]))[1]

    def _stacked(self, rows: list[list[Part]]) -> list[list[Part]]:
        """Two rows of one part each may be one digit, such as an 8 of two circles."""
        if [len(row) for row in rows] != [1, 1]:
            return rows
        (upper,), (lower,) = rows
        joined = upper.joined(lower)
        if joined is None or lower.box[1] - upper.box[3] > _NEAR * (lower.box[3] - upper.box[1]):
            return rows
        self._look_at([joined])
        return [[joined]] if self._least([joined]) >= max(self.sure, self._least([upper, lower]) - _GAIN) else rows

    def _as_one(self, rows: list[list[Part]], whole: Part) -> list[list[Part]]:
        """All ink of a picture as one digit, if that is surer: a digit whose ink is broken."""
        if _breadth(whole) > _BROAD:
            return rows
        self._look_at([whole])
        as_one, as_many = self._least([whole]), self._least([part for row in rows for part in row])
        return [[whole]] if as_one >= self.sure and _is_surer(as_one, as_many) else rows

    def _least(self, parts: Iterable[Part]) -> float:
        """The confidence of the least likely digit among parts that were looked at; half of it if it is too broad."""
        return min(self._known[part.key][1].confidence * (0.5 if _breadth(part) > _BROAD else 1) for part in parts)

    def _look_at(self, parts: Iterable[Part]) -> None:
        """Read those parts that are not known yet, in one batch."""
        wanted = {part.key: part for part in parts}
        self._asked |= wanted.keys()
        fresh = [part for key, part in wanted.items() if key not in self._known]
        if not fresh:
            return
        images = np.stack([part.image() for part in fresh])
        found = second_look.probabilities(self.predictor, images, CERTAIN)
        for part, image, row in zip(fresh, images, found, strict=True):
            self._known[part.key] = part, self._reading(part, image, row)

    def _reading(self, part: Part, image: np.ndarray, probabilities: np.ndarray) -> DigitReading:
        best = int(probabilities.argmax())
        confidence = float(probabilities[best])
        return DigitReading(
            label=self.predictor.class_names[best],
            confidence=confidence,
            probabilities=probabilities,
            sure=confidence >= self.sure,
            image=image,
            box=part.box,
            strokes=part.strokes,
            is_digit=confidence >= self.least,
        )


def _is_surer(after: float, before: float) -> bool:
    """Whether one way to read some ink leaves less than half of the doubt that another leaves."""
    return 1 - after < (1 - before) / 2


def _gap(left: Part, right: Part) -> float:
    """Horizontal distance between two parts, as a share of the height of both."""
    height = max(left.box[3], right.box[3]) - min(left.box[1], right.box[1])
    return (max(left.box[0], right.box[0]) - min(left.box[2], right.box[2])) / max(height, 1e-6)


def _overlap(left: Part, right: Part) -> float:
    """How far two parts lean over one another, as a share of the narrower one's width."""
    narrower = min(left.box[2] - left.box[0], right.box[2] - right.box[0])
    return (left.box[2] - right.box[0]) / max(narrower, 1e-6)


def _breadth(part: Part) -> float:
    left, top, right, bottom = part.box
    return (right - left) / max(bottom - top, 1e-6)


def _placed(digit: DigitReading, left: float, top: float, scale: float) -> DigitReading:
    """A digit of the ink with its box in pixels of the picture."""
    x0, y0, x1, y1 = digit.box
    box = left + x0 * scale, top + y0 * scale, left + x1 * scale, top + y1 * scale
    return replace(digit, box=(round(box[0]), round(box[1]), round(box[2]), round(box[3])))
