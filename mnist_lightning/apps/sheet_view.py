"""How the sheet looks: ink, a box round each digit that was found, the eraser, and what decided."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.layout import Layout, Rect
from mnist_lightning.apps.paint import border, fill, rim
from mnist_lightning.apps.text import Colour, text_width, write_centred
from mnist_lightning.apps.theme import Theme
from mnist_lightning.apps.why import Why
from mnist_lightning.inference.reading import UNSURE, DigitReading
from mnist_lightning.ink import Box
from mnist_lightning.ink.raster import Layer

_ROOM = 9  # between a digit's ink and its box, units of the sheet


class Mark(NamedTuple):
    """The box round a digit, and the tag on it: both in pixels of the sheet; a tag without a word has no size."""

    box: Rect
    tag: Rect
    word: str
    colour: Colour
    tag_colour: Colour
    thickness: int


class SheetView:
    """Draws the sheet into its part of the window's picture; redraws only what has changed."""

    def __init__(self, layout: Layout, theme: Theme) -> None:
        self.layout, self.theme = layout, theme
        self._layer = Layer(layout.sheet.height, layout.sheet.width, layout.scale)
        self._marks: tuple[Mark, ...] = ()
        self._is_plain = False
        self._why = Why()

    def draw(self, sheet: np.ndarray, canvas: Canvas) -> None:
        """Bring the picture of the sheet, uint8 BGR [H, W, 3], up to date."""
        ink = self._layer.update(canvas.drawing.strokes)
        marks = tuple(self._marks_of(canvas))
        # With anything drawn over the ink, the whole sheet is redrawn; without, only where something changed.
        is_plain = not canvas.shows_why and canvas.eraser is None
        areas = [self._layer.changed, *(area for mark in {*self._marks} - {*marks} for area in _under(mark))]
        if not (is_plain and self._is_plain):
            areas = [(0, 0, ink.shape[1], ink.shape[0])]
        is_same = marks == self._marks
        self._is_plain, self._marks = is_plain, marks
        areas = [
            area for area in (_clipped(area, ink.shape) for area in areas) if area[0] < area[2] and area[1] < area[3]
        ]
        if not areas and is_same:
            return
        for left, top, right, bottom in areas:
            part = slice(top, bottom), slice(left, right)
            sheet[part] = cv2.LUT(cv2.cvtColor(ink[part], cv2.COLOR_GRAY2BGR), self.theme.inks)
        if canvas.shows_why:
            self._why.draw(sheet, ink, canvas, self.theme)
        for mark in marks:
            _draw_mark(sheet, mark, self.layout, self.theme)
        if canvas.eraser is not None:
            x, y = canvas.eraser
            centre = (x - self.layout.sheet.left, y - self.layout.sheet.top)
            radius = round(canvas.eraser_radius * self.layout.scale)
            cv2.circle(sheet, centre, radius, self.theme.rust, max(self.layout.px(2), 1), cv2.LINE_AA)

    def _marks_of(self, canvas: Canvas) -> list[Mark]:
        digits = canvas.reading.digits
        return [self._mark(digit, digit is canvas.focus, len(digits) > 1) for digit in digits]

    def _mark(self, digit: DigitReading, is_focus: bool, is_tagged: bool) -> Mark:
        layout, theme, scale = self.layout, self.theme, self.layout.scale
        room = (max(stroke.width for stroke in digit.strokes) / 2 if digit.strokes else 0) + _ROOM
        x0, y0 = (max(round((side - room) * scale), 0) for side in digit.box[:2])
        x1, y1 = (round((side + room) * scale) for side in digit.box[2:])
        x1, y1 = min(x1, layout.sheet.width), min(y1, layout.sheet.height)
        colour = theme.rust if not digit.sure else theme.blue if is_focus else theme.other
        box, tag, word = Rect(x0, y0, x1 - x0, y1 - y0), Rect(x0, y0, 0, 0), ""
        if is_tagged:
            word, size = digit.label if digit.sure else UNSURE, layout.text()
            width, height = text_width(word, size, 600) + layout.px(10), size + layout.px(6)
            above = y0 - height
            tag = Rect(x0, above if above >= 0 else min(y1, layout.sheet.height - height), width, height)
        tag_colour = theme.grey if colour is theme.other else colour  # white text on it has to be legible
        return Mark(box, tag, word, colour, tag_colour, max(layout.px(2 if is_focus else 1.2), 1))


def _draw_mark(sheet: np.ndarray, mark: Mark, layout: Layout, theme: Theme) -> None:
    border(sheet, mark.box, mark.colour, mark.thickness)
    if mark.word:
        fill(sheet, mark.tag, mark.tag_colour)
        size = layout.text()
        at = (mark.tag.left + mark.tag.width // 2, mark.tag.top + (mark.tag.height + round(0.7 * size)) // 2)
        write_centred(sheet, mark.word, at, size, theme.paper, 600)


def _under(mark: Mark) -> list[Box]:
    """What a mark covers."""
    rects = [*rim(mark.box, mark.thickness), *([mark.tag] if mark.word else [])]
    return [(rect.left, rect.top, rect.right, rect.bottom) for rect in rects]


def _clipped(area: Box, shape: tuple[int, ...]) -> Box:
    return max(area[0], 0), max(area[1], 0), min(area[2], shape[1]), min(area[3], shape[0])
