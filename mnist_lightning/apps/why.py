"""What decided, laid over the sheet in colours: ink for and against each digit, and gaps that have to stay empty."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import cv2
import numpy as np

from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.layout import Layout, Rect
from mnist_lightning.apps.paint import border, box, cut, fill
from mnist_lightning.apps.text import text_width, write
from mnist_lightning.apps.theme import Theme
from mnist_lightning.inference.reading import DigitReading
from mnist_lightning.ink.raster import STROKE_WIDTH

_LEAST = 0.7  # smallest fall in log-odds at which a gap counts as deciding
_STRONGEST = 0.6  # opacity of the gap that decides most
_INNER = 20 - STROKE_WIDTH  # longest side of the pen's path in the network's picture, pixels


class Why:
    """Explains readings, each of them once."""

    def __init__(self) -> None:
        self._gaps: WeakKeyDictionary[DigitReading, np.ndarray] = WeakKeyDictionary()

    def draw(self, sheet: np.ndarray, ink: np.ndarray, canvas: Canvas, theme: Theme) -> None:
        """Colour the sheet's picture [H, W, 3], in place; `ink` [H, W] says where there is ink."""
        if canvas.reader is None:
            return
        for digit in canvas.reading.digits:
            # Too slow for each move of the pen.
            falls = None if canvas.is_down else self._gaps_of(canvas, digit)
            if falls is not None and falls.max() >= _LEAST:
                _lay_gaps(sheet, ink, digit, falls, canvas.layout.scale, theme)
        for digit in canvas.reading.digits:
            _lay_ink(sheet, ink, digit, canvas.reader.explain(digit), canvas.layout.scale, theme)
        _legend(sheet, ink, canvas.layout, theme)

    def _gaps_of(self, canvas: Canvas, digit: DigitReading) -> np.ndarray:
        if digit not in self._gaps:
            from mnist_lightning.inference.saliency import gaps

            assert canvas.reader is not None
            self._gaps[digit] = gaps(canvas.reader.predictor, digit.image)
        return self._gaps[digit]


def _lay_ink(
    sheet: np.ndarray, ink: np.ndarray, digit: DigitReading, pixels: np.ndarray, scale: float, theme: Theme
) -> None:
    """Colour a digit's ink by what the network's 28x28 pixels say, in place."""
    inner = cv2.boundingRect(digit.image)  # the ink that the network sees, and where it came from
    if inner[2] == 0:
        return
    left, top, right, bottom = (side * scale for side in digit.box)
    pen = max(stroke.width for stroke in digit.strokes) * scale / 2 + 2  # with the soft edge
    x0, y0 = int(max(left - pen, 0)), int(max(top - pen, 0))
    place = Rect(x0, y0, int(min(right + pen + 1, ink.shape[1])) - x0, int(min(bottom + pen + 1, ink.shape[0])) - y0)
    target, share = cut(sheet, place), cut(ink, place)
    if not target.size:
        return
    part = pixels[inner[1] : inner[1] + inner[3], inner[0] : inner[0] + inner[2]]
    # Strokes on the sheet are wider or thinner than the network's: a pixel stands for what is around it.
    part = cv2.GaussianBlur(part / max(float(np.abs(part).max()), 1e-9), (3, 3), 0)
    said = np.clip(128 + 255 * part, 0, 255).astype(np.uint8)  # half of the strongest already gets full colour
    heat = cv2.resize(said, target.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    target[share > 0] = theme.paper  # otherwise the soft edge would show the ink's own colour
    _blend(target, cv2.LUT(cv2.cvtColor(heat, cv2.COLOR_GRAY2BGR), theme.heat), share)


def _lay_gaps(
    sheet: np.ndarray, ink: np.ndarray, digit: DigitReading, falls: np.ndarray, scale: float, theme: Theme
) -> None:
    """Colour the gaps around a digit that decide, in place."""
    left, top, right, bottom = (side * scale for side in digit.box)
    pen = max(stroke.width for stroke in digit.strokes) * scale
    zoom = max(right - left, bottom - top, pen) / _INNER  # pixels of the sheet for one of the network's
    x, y, width, height = cv2.boundingRect(digit.image)
    side = round(falls.shape[0] * zoom)
    x0, y0 = (left + right) / 2 - (x + width / 2) * zoom, (top + bottom) / 2 - (y + height / 2) * zoom
    field = Rect(round(x0), round(y0), side, side)
    target = cut(sheet, field)
    if not target.size:
        return
    share = np.clip((falls / float(falls.max()) - 0.35) / 0.65, 0, 1) * 255 * _STRONGEST
    big = cv2.resize(share.astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    rows, columns = max(-field.top, 0), max(-field.left, 0)
    big = big[rows : rows + target.shape[0], columns : columns + target.shape[1]]
    big = np.where(cut(ink, field) > 127, 0, np.minimum(big, round(255 * _STRONGEST))).astype(np.uint8)
    _blend(target, np.full_like(target, theme.green), big)


def _blend(target: np.ndarray, colours: np.ndarray, share: np.ndarray) -> None:
    """Lay colours [H, W, 3] over a picture, in place, as opaque as `share` [H, W] says, 0 to 255."""
    alpha = cv2.cvtColor(share, cv2.COLOR_GRAY2BGR)
    over = cv2.multiply(colours, alpha, scale=1 / 255)
    target[:] = cv2.add(over, cv2.multiply(target, 255 - alpha, scale=1 / 255))


def _legend(sheet: np.ndarray, ink: np.ndarray, layout: Layout, theme: Theme) -> None:
    """What the colours mean, at the lower or upper end of the sheet, where there is less ink."""
    size, px, gap = layout.text(13), layout.px, layout.px(10)
    bar, swatch, height = px(110), px(18), layout.text(13) + px(18)
    words = ["ink against", "for the digit", "gap that must stay empty"]
    widths = [text_width(word, size) for word in words]
    width = sum(widths) + bar + swatch + 8 * gap
    if width + 2 * gap > sheet.shape[1]:
        words[2], widths[2] = "gap", text_width("gap", size)
        width = sum(widths) + bar + swatch + 8 * gap
    low, high = (Rect(gap, top, width, height) for top in (sheet.shape[0] - height - gap, gap))
    card = min((low, high), key=lambda rect: int(cut(ink, rect).sum()))
    box(sheet, card, theme.card, theme.faint)
    line, x = card.top + (height + round(0.7 * size)) // 2, card.left + gap
    write(sheet, words[0], (x, line), size, theme.ink)
    x += widths[0] + gap
    ramp = Rect(x, card.top + (height - px(12)) // 2, bar, px(12))
    target = cut(sheet, ramp)
    if target.size:
        target[:] = theme.heat[0][np.linspace(0, 255, bar).astype(int)[: target.shape[1]]][None]
        border(sheet, ramp, theme.faint)
    x += bar + gap
    write(sheet, words[1], (x, line), size, theme.ink)
    x += widths[1] + 3 * gap
    square = Rect(x, card.top + (height - swatch) // 2, swatch, swatch)
    mixed = _STRONGEST * np.array(theme.green) + (1 - _STRONGEST) * np.array(theme.paper)
    fill(sheet, square, tuple(mixed.round().astype(int).tolist()))
    border(sheet, square, theme.green)
    write(sheet, words[2], (x + swatch + gap, line), size, theme.ink)
