"""Where things are in the drawing window. Knows nothing about drawing or reading.

Sizes are in units of `ui` pixels each: the parts of the window grow with it, but never shrink so far that text has
fewer than 11 pixels; what does not fit then is left out. The remaining room goes to the sheet. The sheet has units of
its own (`scale`), so that a drawing fits it in a window of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

BASE_WIDTH, BASE_HEIGHT = 1120, 720  # of a window whose units are pixels
SHEET_WIDTH, SHEET_HEIGHT = 760, 538  # of its sheet
MARGIN = 20  # at both sides and between sheet and panel
PANEL_WIDTH = 300
TOP, TOOLBAR_HEIGHT, GAP = 14, 36, 10
STRIP_HEIGHT, STATUS_HEIGHT = 78, 34
TEXT = 14  # size of most text
SMALLEST_TEXT = 11  # pixels
_LEAST_SHEET = 200  # units that panel and strip must leave for the sheet; they are left out where there is less


@dataclass(frozen=True)
class Rect:
    """A rectangle in pixels of the window."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column right of it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height

    def holds(self, x: float, y: float) -> bool:
        """Whether a pixel lies in it."""
        return self.left <= x < self.right and self.top <= y < self.bottom

    def grown(self, by: int) -> Rect:
        """The same with a rim of `by` pixels; a negative one makes it smaller."""
        return Rect(self.left - by, self.top - by, self.width + 2 * by, self.height + 2 * by)

    def moved(self, x: int, y: int) -> Rect:
        """The same, `x` pixels to the right and `y` down."""
        return Rect(self.left + x, self.top + y, self.width, self.height)


@dataclass(frozen=True)
class Layout:
    """A window of `width` x `height` pixels: `toolbar`, `sheet`, `strip` and `status` from top to bottom, and `panel`.

    `strip` and `panel` have no size where the window is too small for them.
    """

    width: int
    height: int

    @cached_property
    def ui(self) -> float:
        """Pixels per unit of everything but the sheet."""
        return max(min(self.width / BASE_WIDTH, self.height / BASE_HEIGHT), SMALLEST_TEXT / TEXT)

    def px(self, units: float) -> int:
        """A length in whole pixels."""
        return round(units * self.ui)

    def text(self, units: float = TEXT) -> int:
        """The size of letters in whole pixels, never under 11."""
        return max(self.px(units), SMALLEST_TEXT)

    @cached_property
    def has_panel(self) -> bool:
        """Whether there is room for the panel."""
        return self.width >= self.px(PANEL_WIDTH + 3 * MARGIN + _LEAST_SHEET)

    @cached_property
    def has_strip(self) -> bool:
        """Whether there is room for the strip."""
        return self.height >= self.px(TOP + TOOLBAR_HEIGHT + 2 * GAP + _LEAST_SHEET + STRIP_HEIGHT + STATUS_HEIGHT)

    @cached_property
    def sheet(self) -> Rect:
        """Where the user draws."""
        left, top = self.px(MARGIN), self.px(TOP + TOOLBAR_HEIGHT + GAP)
        beside = self.px(PANEL_WIDTH + MARGIN) if self.has_panel else 0
        below = self.px(STATUS_HEIGHT) + (self.px(STRIP_HEIGHT + GAP) if self.has_strip else 0)
        return Rect(left, top, max(self.width - 2 * left - beside, 1), max(self.height - top - below, 1))

    @cached_property
    def scale(self) -> float:
        """Pixels per unit of the sheet, chosen so that 760 x 538 units fit."""
        return min(self.sheet.width / SHEET_WIDTH, self.sheet.height / SHEET_HEIGHT)

    @cached_property
    def toolbar(self) -> Rect:
        """Where the buttons are."""
        return Rect(self.sheet.left, self.px(TOP), self.sheet.width, self.px(TOOLBAR_HEIGHT))

    @cached_property
    def strip(self) -> Rect:
        """Where the last drawings are."""
        height = self.px(STRIP_HEIGHT) if self.has_strip else 0
        return Rect(self.sheet.left, self.sheet.bottom + self.px(GAP), self.sheet.width, height)

    @cached_property
    def status(self) -> Rect:
        """Where messages are."""
        height = self.px(STATUS_HEIGHT)
        return Rect(self.sheet.left, max(self.height - height, 0), self.sheet.width, height)

    @cached_property
    def panel(self) -> Rect:
        """Where the reading is."""
        top = self.px(TOP)
        left, width = self.sheet.right + self.px(MARGIN), self.px(PANEL_WIDTH)
        return Rect(left, top, width if self.has_panel else 0, max(self.height - 2 * top, 1))


def fitting(screen: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of a window that fits a screen of this size in pixels, its frame and the task bar included."""
    if screen is None:
        return BASE_WIDTH, BASE_HEIGHT
    width, height = screen
    width = min(width, height * 16 // 9)  # several monitors side by side count as one screen
    factor = min(0.92 * width / BASE_WIDTH, 0.84 * height / BASE_HEIGHT)
    return max(round(factor * BASE_WIDTH), 200), max(round(factor * BASE_HEIGHT), 200)
