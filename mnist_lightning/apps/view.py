"""How the canvas looks: a picture for the window, redrawn only where something changed.

Knows the canvas, no windows and no events. Colours are those of `plots/style.py`, told apart with every kind of
colour blindness: blue is sure, orange is not; nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mnist_lightning.apps.canvas import ERASER_RADIUS, KEYS, Canvas
from mnist_lightning.apps.layout import MARGIN, PANEL_WIDTH, Layout, Rect
from mnist_lightning.apps.text import Colour, text_width, write
from mnist_lightning.inference.reader import UNSURE, DigitReading
from mnist_lightning.ink.raster import Layer

# Okabe and Ito's blue and orange as in plots/style.py, which imports matplotlib; blue, green, red.
BLUE: Colour = (0xB2, 0x72, 0x00)
ORANGE: Colour = (0x00, 0x9F, 0xE6)
RUST: Colour = (0x00, 0x5E, 0xD5)  # for orange text, which must stand out from white
INK: Colour = (0x22, 0x22, 0x22)
GREY: Colour = (0x76, 0x70, 0x6C)
FAINT: Colour = (0xDD, 0xD8, 0xD4)
TRACK: Colour = (0xEF, 0xEA, 0xE6)
DESK: Colour = (0xF6, 0xF3, 0xF1)
WHITE: Colour = (255, 255, 255)

_ON_PAPER = np.linspace(255, 0x22, 256).round().astype(np.uint8)
"""From ink, 0 to 255, to the lightness of the sheet."""

_BAR_PITCH, _BAR_HEIGHT = 25, 15  # units
_THUMB = 112  # side of the picture of a single digit, units
_RECIPE = ("28 × 28 pixels:", "the ink in a 20 × 20 box,", "its centre of mass", "in the middle")
_MOST_THUMBS = 8  # pictures shown of a long number, its last


class View:
    """Draws a canvas; keeps what it drew, and changes what has changed."""

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._frame = np.zeros((1, 1, 3), np.uint8)
        self._layer = Layer(1, 1)
        self._seen: dict[str, Any] = {}
        self._sheet_is_bare = False

    def picture(self, canvas: Canvas) -> np.ndarray:
        """The window as it should look now: uint8 BGR [H, W, 3], valid until the next call."""
        if canvas.layout != self._layout:
            self._start(canvas.layout)
        self._draw_sheet(canvas)
        self._draw_panel(canvas, canvas.focus)
        if self._changed("status", (canvas.message, canvas.pen_width)):
            self._draw_status(canvas)
        return self._frame

    def _changed(self, part: str, state: Any) -> bool:
        changed = part not in self._seen or self._seen[part] != state
        self._seen[part] = state
        return changed

    def _start(self, layout: Layout) -> None:
        """Another size: everything anew."""
        self._layout, sheet = layout, layout.sheet
        self._frame = np.empty((layout.height, layout.width, 3), np.uint8)
        self._frame[:] = DESK
        _fill(self._frame, _grown(sheet, 1), FAINT)
        _fill(self._frame, sheet, WHITE)
        self._layer = Layer(sheet.height, sheet.width, layout.scale)
        self._seen, self._sheet_is_bare = {}, True

    def _draw_sheet(self, canvas: Canvas) -> None:
        ink = self._layer.update(canvas.drawing.strokes)
        # What lies over the ink is drawn on a whole fresh sheet; without it, only where the ink changed.
        is_covered = canvas.shows_help or canvas.shows_saliency or canvas.eraser is not None
        left, top, right, bottom = self._layer.changed
        if is_covered or not self._sheet_is_bare:
            left, top, right, bottom = 0, 0, ink.shape[1], ink.shape[0]
        self._sheet_is_bare = not is_covered
        if left == right:
            return
        sheet = self._cut(canvas.layout.sheet)
        part = slice(top, bottom), slice(left, right)
        cv2.cvtColor(cv2.LUT(ink[part], _ON_PAPER), cv2.COLOR_GRAY2BGR, sheet[part])
        if canvas.shows_saliency:
            self._draw_saliency(sheet, ink, canvas)
        if canvas.eraser is not None:
            x, y = canvas.eraser
            centre = (x - canvas.layout.sheet.left, y - canvas.layout.sheet.top)
            cv2.circle(sheet, centre, canvas.layout.pixels(ERASER_RADIUS), RUST, 2, cv2.LINE_AA)
        if canvas.shows_help:
            self._draw_help(sheet, canvas.layout)

    def _cut(self, rect: Rect) -> np.ndarray:
        return self._frame[rect.top : rect.bottom, rect.left : rect.right]

    def _draw_panel(self, canvas: Canvas, focus: DigitReading | None) -> None:
        panel, px, digits = self._cut(canvas.layout.panel), canvas.layout.pixels, canvas.reading.digits
        if self._changed("number", (canvas.reading.text, _verdict(canvas))):
            _draw_number(panel, canvas)
        if self._changed("titles", len(digits) > 1):
            _clear(panel, Rect(0, px(168), px(PANEL_WIDTH), px(20)))
            _clear(panel, Rect(0, px(346), px(PANEL_WIDTH), px(20)))
            write(panel, "What the network sees", (0, px(182)), px(14), GREY)
            title = "How likely, the last one drawn" if len(digits) > 1 else "How likely"
            write(panel, title, (0, px(360)), px(14), GREY)
        if self._changed("thumbs", len(digits)):
            self._seen = {part: state for part, state in self._seen.items() if not part.startswith("thumb ")}
            _clear(panel, Rect(0, px(194), px(PANEL_WIDTH), px(150)))
            if len(digits) < 2:
                for line, told in enumerate(_RECIPE):
                    write(panel, told, (px(_THUMB + 16), px(228 + 21 * line)), px(14), GREY)
        shown = digits[-_MOST_THUMBS:]
        for place, digit in enumerate(shown or (None,)):
            if self._changed(f"thumb {place} of {len(shown)}", (digit, digit is focus)):
                _draw_thumb(panel, canvas.layout, digit, place, len(shown), digit is focus)
        names = canvas.reader.predictor.class_names if canvas.reader else tuple("0123456789")
        for row, bar in enumerate(_bars(names, focus)):
            if self._changed(f"bar {row}", bar):
                _draw_bar(panel, canvas.layout, row, *bar)

    def _draw_status(self, canvas: Canvas) -> None:
        status, px = self._cut(canvas.layout.status), canvas.layout.pixels
        _clear(status, Rect(0, 1, status.shape[1], status.shape[0]))  # the first row is the sheet's border
        size, line = px(14), px(28)
        diameter = min(canvas.pen_width, 32.0)
        right = status.shape[1] - px(34)
        centre = (status.shape[1] - px(17), px(22))
        cv2.circle(status, centre, max(px(diameter / 2), 1), INK, -1, cv2.LINE_AA)
        write(status, f"pen {canvas.pen_width:.0f}", (right, line), size, GREY, align="right")
        told = canvas.message or "Draw with the left button, erase with the right.  Press ? for the keys."
        room = right - text_width("pen 60", size) - px(MARGIN)
        while text_width(told, size) > room and len(told) > 2:
            told = told[:-2] + "…"
        write(status, told, (0, line), size, INK if canvas.message else GREY)

    def _draw_help(self, sheet: np.ndarray, layout: Layout) -> None:
        px = layout.pixels
        rows = {"left button": "draw", "right button": "erase", **KEYS}
        width, height = px(440), px(70 + 32 * len(rows))
        left, top = (sheet.shape[1] - width) // 2, (sheet.shape[0] - height) // 2
        card = Rect(max(left, 0), max(top, 0), width, height)
        _fill(sheet, card, FAINT)
        _fill(sheet, _grown(card, -1), WHITE)
        write(sheet, "Keys", (card.left + px(28), card.top + px(44)), px(20), INK, 600)
        for row, (key, does) in enumerate(rows.items()):
            line = card.top + px(84 + 32 * row)
            write(sheet, key, (card.left + px(28), line), px(15), BLUE, 600)
            write(sheet, does, (card.left + px(150), line), px(15), INK)

    def _draw_saliency(self, sheet: np.ndarray, ink: np.ndarray, canvas: Canvas) -> None:
        """Colour the ink by what each pixel of the network's picture adds to the winning logit."""
        if canvas.reader is None:
            return
        heat = np.full(ink.shape, 128, np.uint8)
        for digit in canvas.reading.digits:
            _lay_over(heat, digit, canvas.reader.explain(digit), canvas.layout.scale)
        # What the ink takes from the white of the sheet.
        taken = cv2.LUT(cv2.cvtColor(heat, cv2.COLOR_GRAY2BGR), 255 - _HEAT[None])
        sheet[:] = 255 - cv2.multiply(taken, cv2.cvtColor(ink, cv2.COLOR_GRAY2BGR), scale=1 / 255)


def _heat_colours() -> np.ndarray:
    """uint8 [256, 3], BGR: from speaking against the digit (0) over nothing (128) to speaking for it (255)."""
    undecided = np.array([0xB8, 0xB4, 0xB0])
    share = np.abs(np.arange(256) - 128)[:, None] / 128
    hue = np.where(np.arange(256)[:, None] < 128, BLUE, ORANGE)
    return (share * hue + (1 - share) * undecided).round().astype(np.uint8)


_HEAT = _heat_colours()


def _lay_over(heat: np.ndarray, digit: DigitReading, pixels: np.ndarray, scale: float) -> None:
    """Lay what the network's 28x28 pixels say over the digit's ink on the sheet: uint8, 128 for nothing, in place."""
    inner = cv2.boundingRect(digit.image)  # the ink that the network sees, and where it came from
    if inner[2] == 0:
        return
    left, top, right, bottom = (side * scale for side in digit.box)
    pen = max(stroke.width for stroke in digit.strokes) * scale / 2
    x0, y0 = int(max(left - pen, 0)), int(max(top - pen, 0))
    x1, y1 = int(min(right + pen + 1, heat.shape[1])), int(min(bottom + pen + 1, heat.shape[0]))
    if x1 <= x0 or y1 <= y0:
        return
    cut = pixels[inner[1] : inner[1] + inner[3], inner[0] : inner[0] + inner[2]]
    # Strokes are wider or thinner here than there: a pixel speaks for what lies around it.
    cut = cv2.GaussianBlur(cut / max(float(np.abs(cut).max()), 1e-9), (3, 3), 0)
    said = np.clip(128 + 255 * cut, 0, 255).astype(np.uint8)  # half of the strongest is full colour already
    heat[y0:y1, x0:x1] = cv2.resize(said, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)


def _verdict(canvas: Canvas) -> str:
    """How sure the reading is, in words."""
    digits = canvas.reading.digits
    unsure = [digit for digit in digits if not digit.sure]
    if not digits:
        loading = canvas.reader is None
        return "the network is loading, draw already" if loading else "or several: they are read as a number"
    if not unsure:
        return f"{_percent(min(digit.confidence for digit in digits))} sure"
    if len(digits) == 1:
        return f"not sure: perhaps {digits[0].label}, {_percent(digits[0].confidence)}"
    return f"not sure of {len(unsure)} of {len(digits)}: perhaps {canvas.reading.best}"


def _draw_number(panel: np.ndarray, canvas: Canvas) -> None:
    """The card with the number, and how sure it is."""
    px, digits, text = canvas.layout.pixels, canvas.reading.digits, canvas.reading.text
    card, middle = Rect(0, 0, px(PANEL_WIDTH), px(150)), px(PANEL_WIDTH / 2)
    _fill(panel, card, FAINT)
    _fill(panel, _grown(card, -1), WHITE)
    if not digits:
        write(panel, "Draw a digit", (middle, px(74)), px(28), INK, 500, "middle")
        write(panel, _verdict(canvas), (middle, px(108)), px(14), GREY, align="middle")
        return
    size, room = px(84), px(PANEL_WIDTH - 2 * MARGIN)
    size = max(min(size, size * room // max(text_width(text, size, 500), 1)), 6)
    x, baseline = middle - text_width(text, size, 500) // 2, px(58) + round(0.36 * size)
    for digit in digits:
        shown = digit.label if digit.sure else UNSURE
        write(panel, shown, (x, baseline), size, INK if digit.sure else RUST, 500)
        x += text_width(shown, size, 500)
    colour = BLUE if all(digit.sure for digit in digits) else RUST
    write(panel, _verdict(canvas), (middle, px(132)), px(16), colour, 500, "middle")


def _draw_thumb(
    panel: np.ndarray, layout: Layout, digit: DigitReading | None, place: int, count: int, is_focus: bool
) -> None:
    """The 28x28 picture that the network sees, bright on black as it sees it; its reading below if it is not alone."""
    px = layout.pixels
    gap, top = px(8), px(196)
    side = max(min(px(_THUMB), (px(PANEL_WIDTH) + gap) // max(count, 1) - gap), 1)
    left = place * (side + gap)
    image = np.zeros((28, 28), np.uint8) if digit is None else digit.image
    target = panel[top : top + side, left : left + side]
    if target.size:
        height, width = target.shape[:2]
        cv2.cvtColor(cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR, target)
    if digit is None or count < 2:
        return
    line = top + side
    _clear(panel, Rect(left, line, side + gap, px(34)))
    if is_focus:
        _fill(panel, Rect(left, line + px(3), side, px(4)), BLUE if digit.sure else ORANGE)
    told = f"{digit.label}  {_percent(digit.confidence)}"
    if text_width(told, px(14), 500) > side:
        told = digit.label
    write(panel, told, (left + side // 2, line + px(26)), px(14), INK if digit.sure else RUST, 500, "middle")


def _bars(names: Sequence[str], focus: DigitReading | None) -> list[tuple[str, str, float | None, Colour]]:
    """Name, widest name, chance in whole percent and colour of each bar: the ten likeliest, in their own order."""
    if focus is None:
        return [(name, max(names[:10], key=len), None, TRACK) for name in names[:10]]
    chances = focus.probabilities
    best, shown = int(chances.argmax()), sorted(np.argsort(-chances, kind="stable")[:10].tolist())
    widest = max((names[index] for index in shown), key=len)
    colours = {best: BLUE if focus.sure else ORANGE}
    return [(names[index], widest, _whole_percent(chances[index]) / 100, colours.get(index, _OTHER)) for index in shown]


def _draw_bar(
    panel: np.ndarray, layout: Layout, row: int, name: str, widest: str, chance: float | None, colour: Colour
) -> None:
    """One class: its name, a bar, and its chance in percent; without a chance an empty one."""
    px = layout.pixels
    top, height, is_best = px(374 + _BAR_PITCH * row), px(_BAR_HEIGHT), colour in (BLUE, ORANGE)
    left = min(text_width(widest, px(15), 600) + px(12), px(130))
    right, line = px(PANEL_WIDTH - 52), top + px(13)
    _clear(panel, Rect(0, top, px(PANEL_WIDTH), px(_BAR_PITCH)))
    _fill(panel, Rect(left, top, right - left, height), TRACK)
    if chance is not None:
        _fill(panel, Rect(left, top, round((right - left) * chance), height), colour)
        write(panel, _percent(chance), (px(PANEL_WIDTH), line), px(14), INK if is_best else GREY, align="right")
    write(panel, name, (0, line), px(15), INK if is_best else GREY, 600 if is_best else 400)


_OTHER: Colour = (0xBE, 0xB4, 0xAC)  # bars that do not win


def _whole_percent(share: float) -> int:
    """Never rounded up to 100."""
    return min(round(100 * float(share)), 99 if share < 1 else 100)


def _percent(share: float) -> str:
    return f"{_whole_percent(share)} %"


def _fill(image: np.ndarray, rect: Rect, colour: Colour) -> None:
    if rect.width > 0 and rect.height > 0:  # OpenCV's corners belong to the rectangle
        cv2.rectangle(image, (rect.left, rect.top), (rect.right - 1, rect.bottom - 1), colour, -1)


def _clear(image: np.ndarray, rect: Rect) -> None:
    _fill(image, rect, DESK)


def _grown(rect: Rect, by: int) -> Rect:
    return Rect(rect.left - by, rect.top - by, rect.width + 2 * by, rect.height + 2 * by)
