"""How the panel looks: the number, what the network sees, and how likely each class is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnist_lightning.apps import places
from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.layout import MARGIN, PANEL_WIDTH, Layout, Rect
from mnist_lightning.apps.paint import border, box, fill, paste
from mnist_lightning.apps.text import Colour, ended, shortened, text_width, write, write_centred
from mnist_lightning.apps.theme import Theme
from mnist_lightning.inference.reading import NO_DIGIT, UNSURE, DigitReading

CARD_HEIGHT = 150  # of the card with the number, in units, as all below
BARS_TOP, BAR_PITCH, BAR_HEIGHT = 374, 25, 15
FOOTER_TOP = 640
_RECIPE = ("28 × 28 pixels:", "the ink in a 20 × 20 box,", "its centre of mass", "in the middle")
NO_NETWORK = tuple("0123456789")


class PanelView:
    """Draws the panel into its part of the window's picture; redraws only what has changed."""

    def __init__(self, layout: Layout, theme: Theme) -> None:
        self.layout, self.theme = layout, theme
        self._seen: dict[str, Any] = {}

    def draw(self, panel: np.ndarray, canvas: Canvas) -> None:
        """Bring the picture of the panel, uint8 BGR [H, W, 3], up to date."""
        if not self.layout.has_panel:
            return
        digits, focus = canvas.reading.digits, canvas.focus
        if self._changed("number", (digits, canvas.reader is None)):
            _draw_number(panel, canvas, self.layout, self.theme)
        place = next((place for place, digit in enumerate(digits) if digit is focus), 0)
        if self._changed("titles", (len(digits), place)):
            self._draw_titles(panel, len(digits), place)
        self._draw_thumbs(panel, digits, focus)
        names = canvas.reader.predictor.class_names if canvas.reader else NO_NETWORK
        for row, bar in enumerate(bars(names, focus, self.theme)):
            if self._changed(f"bar {row}", bar):
                _draw_bar(panel, self.layout, self.theme, row, bar)
        if self._changed("footer", canvas.network):
            self._draw_footer(panel, canvas.network)

    def _changed(self, part: str, state: Any) -> bool:
        changed = part not in self._seen or self._seen[part] != state
        self._seen[part] = state
        return changed

    def _draw_titles(self, panel: np.ndarray, count: int, place: int) -> None:
        px, text = self.layout.px, self.layout.text()
        for top in (168, 346):
            fill(panel, Rect(0, px(top), px(PANEL_WIDTH), px(22)), self.theme.desk)
        title = f"How likely: digit {place + 1} of {count}" if count > 1 else "How likely"
        write(panel, "What the network sees", (0, px(184)), text, self.theme.grey)
        write(panel, title, (0, px(362)), text, self.theme.grey)

    def _draw_thumbs(self, panel: np.ndarray, digits: Sequence[DigitReading], focus: DigitReading | None) -> None:
        layout, theme, px, text = self.layout, self.theme, self.layout.px, self.layout.text()
        thumbs = places.thumbs(layout, len(digits))
        rects = [rect.moved(-layout.panel.left, -layout.panel.top) for rect in thumbs.rects]
        if self._changed("thumbs", (len(digits), thumbs)):
            self._seen = {part: state for part, state in self._seen.items() if not part.startswith("thumb ")}
            fill(panel, Rect(0, px(places.THUMBS_TOP), px(PANEL_WIDTH), px(places.THUMBS_HEIGHT)), theme.desk)
            if thumbs.first:
                line = px(places.THUMBS_TOP) + (rects[0].height + text) // 2
                write_centred(panel, f"+{thumbs.first}", (rects[0].width // 2, line), text, theme.grey, 500)
            if len(digits) < 2:
                for line, told in enumerate(_RECIPE):
                    write(panel, told, (px(places.THUMB + 16), px(228 + 21 * line)), text, theme.grey)
        shown: Sequence[DigitReading | None] = digits[thumbs.first :] or (None,)
        for place, (digit, rect) in enumerate(zip(shown, rects, strict=True)):
            if self._changed(f"thumb {place}", (digit, digit is focus)):
                _draw_thumb(panel, layout, theme, digit, rect, (digit is focus, len(digits) < 2))

    def _draw_footer(self, panel: np.ndarray, network: str) -> None:
        px, text = self.layout.px, self.layout.text()
        fill(panel, Rect(0, px(FOOTER_TOP), px(PANEL_WIDTH), px(50)), self.theme.desk)
        if network:
            write(panel, "Read by", (0, px(FOOTER_TOP + 16)), text, self.theme.grey)
            told = shortened(network, text, px(PANEL_WIDTH), 500)
            write(panel, told, (0, px(FOOTER_TOP + 37)), text, self.theme.ink, 500)


def verdict(canvas: Canvas) -> str:
    """How sure the reading is, in words."""
    digits = canvas.reading.digits
    unsure = [digit for digit in digits if not digit.sure]
    if canvas.reading.has_no_digit:
        return NO_DIGIT
    if not digits:
        return "the network is loading, draw already" if canvas.reader is None else "or several: they are a number"
    if not unsure:
        return f"{percent(min(digit.confidence for digit in digits))} sure"
    if len(digits) == 1:
        return f"not sure: perhaps {digits[0].label}, {percent(digits[0].confidence)}"
    return f"not sure of {len(unsure)} of {len(digits)}: perhaps {' '.join(canvas.reading.best.split())}"


def _draw_number(panel: np.ndarray, canvas: Canvas, layout: Layout, theme: Theme) -> None:
    """The card with the number, row by row as it is on the sheet, and how sure it is."""
    px, digits = layout.px, canvas.reading.digits
    middle, room = px(PANEL_WIDTH / 2), px(PANEL_WIDTH - 2 * MARGIN)
    box(panel, Rect(0, 0, px(PANEL_WIDTH), px(CARD_HEIGHT)), theme.card, theme.faint)
    if not digits:
        write_centred(panel, "Draw a digit", (middle, px(74)), layout.text(28), theme.ink, 500)
        said, size = verdict(canvas), layout.text()
        write_centred(panel, said, (middle, px(108)), size, theme.grey)
        return
    rows = [[(digit.label if digit.sure else UNSURE, digit.sure) for digit in row] for row in canvas.reading.rows]
    widest = max(text_width("".join(shown for shown, _ in row), px(84), 500) for row in rows)
    size = max(min(px(84), px(84) * room // max(widest, 1), px(100) // len(rows)), layout.text(11))
    pitch = min(px(100) // len(rows), round(1.15 * size))
    rows = rows[: max(px(100) // max(pitch, 1), 1)]
    baseline = px(58) + round(0.36 * size) - pitch * (len(rows) - 1) // 2
    for row in rows:
        text = "".join(shown for shown, _ in row)
        if text_width(text, size, 500) > room:  # show its end, and that there is more
            row = [("…", True), *row[-(room * len(row) // text_width(text, size, 500) - 1) :]]
            text = "".join(shown for shown, _ in row)
        x = middle - text_width(text, size, 500) // 2
        for shown, sure in row:
            write(panel, shown, (x, baseline), size, theme.ink if sure else theme.rust, 500)
            x += text_width(shown, size, 500)
        baseline += pitch
    colour = theme.blue if all(digit.sure for digit in digits) else theme.rust
    told = shortened(verdict(canvas), layout.text(16), px(PANEL_WIDTH - 16), 500)
    write_centred(panel, told, (middle, px(136)), layout.text(16), colour, 500)


def _draw_thumb(
    panel: np.ndarray, layout: Layout, theme: Theme, digit: DigitReading | None, rect: Rect, look: tuple[bool, bool]
) -> None:
    """The 28x28 picture that the network sees, bright on black as it sees it; its reading below if it is not alone."""
    is_focus, is_alone = look
    px, text = layout.px, layout.text()
    paste(panel, np.zeros((28, 28), np.uint8) if digit is None else digit.image, rect)
    if digit is None or is_alone:
        return
    colour = theme.ink if digit.sure else theme.rust
    fill(panel, Rect(rect.left, rect.bottom, rect.width, text + px(5)), theme.desk)
    if is_focus:
        border(panel, rect, theme.blue if digit.sure else theme.orange, max(px(3), 2))
    told = f"{digit.label}  {percent(digit.confidence)}"
    if text_width(told, text, 500) > rect.width:
        told = digit.label
    at = (rect.left + rect.width // 2, rect.bottom + text + px(1))
    write_centred(panel, told, at, text, colour, 600 if is_focus else 500)


Bar = tuple[str, str, float | None, Colour]
"""Name, widest name, chance in whole percent or None, colour."""


def bars(names: Sequence[str], focus: DigitReading | None, theme: Theme) -> list[Bar]:
    """The bars of the ten likeliest classes, in their own order."""
    if focus is None:
        return [(name, max(names[:10], key=len), None, theme.track) for name in names[:10]]
    chances = focus.probabilities
    best, shown = int(chances.argmax()), sorted(np.argsort(-chances, kind="stable")[:10].tolist())
    widest = max((names[index] for index in shown), key=len)
    colours = {best: theme.blue if focus.sure else theme.orange}
    return [
        (names[index], widest, whole_percent(chances[index]) / 100, colours.get(index, theme.other)) for index in shown
    ]


def _draw_bar(panel: np.ndarray, layout: Layout, theme: Theme, row: int, bar: Bar) -> None:
    """One class: its name, a bar, and its chance in percent; without a chance, an empty bar."""
    name, widest, chance, colour = bar
    px, text, small = layout.px, layout.text(15), layout.text()
    top, height, is_best = px(BARS_TOP + BAR_PITCH * row), px(BAR_HEIGHT), colour in (theme.blue, theme.orange)
    left = min(text_width(widest, text, 600) + px(12), px(130))
    right, line = px(PANEL_WIDTH) - text_width("100 %", small) - px(8), top + (height + round(0.7 * text)) // 2
    fill(panel, Rect(0, top - px(4), px(PANEL_WIDTH), px(BAR_PITCH)), theme.desk)
    fill(panel, Rect(left, top, right - left, height), theme.track)
    if chance is not None:
        fill(panel, Rect(left, top, round((right - left) * chance), height), colour)
        share = percent(chance)
        place = ended(share, (px(PANEL_WIDTH), line), small)
        write(panel, share, place, small, theme.ink if is_best else theme.grey)
    write(panel, shortened(name, text, left - px(6), 600), (0, line), text, theme.ink if is_best else theme.grey,
          600 if is_best else 400)  # fmt: skip


def whole_percent(share: float) -> int:
    """A share from 0 to 1 in whole percent, never rounded up to 100."""
    return min(round(100 * float(share)), 99 if share < 1 else 100)


def percent(share: float) -> str:
    """A share from 0 to 1 in whole percent."""
    return f"{whole_percent(share)} %"
