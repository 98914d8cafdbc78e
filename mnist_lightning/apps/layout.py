"""Where things stand in the drawing window. Knows nothing of drawing or reading.

All sizes are in units, of which `scale` says how many pixels they have: the whole window grows with its size, and
what was drawn with it. What is left over beyond the base proportions goes to the sheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

BASE_WIDTH, BASE_HEIGHT = 1100, 680  # of a window at scale 1, units
MARGIN = 20  # around everything and between sheet and panel
PANEL_WIDTH = 300
STATUS_HEIGHT = 44  # of the line under the sheet
_SMALLEST = 0.25  # scale; in a smaller window the picture is cut off


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


@dataclass(frozen=True)
class Layout:
    """A window of `width` x `height` pixels: `sheet`, `panel` right of it, `status` below it."""

    width: int
    height: int

    @cached_property
    def scale(self) -> float:
        """Pixels per unit."""
        return max(min(self.width / BASE_WIDTH, self.height / BASE_HEIGHT), _SMALLEST)

    def pixels(self, units: float) -> int:
        """A length in whole pixels."""
        return round(units * self.scale)

    @cached_property
    def sheet(self) -> Rect:
        """Where one draws."""
        left = top = self.pixels(MARGIN)
        width = max(self.width - self.pixels(PANEL_WIDTH + 3 * MARGIN), 1)
        return Rect(left, top, width, max(self.height - self.pixels(MARGIN + STATUS_HEIGHT), 1))

    @cached_property
    def panel(self) -> Rect:
        """Where the reading stands."""
        sheet = self.sheet
        height = max(self.height - 2 * sheet.top, 1)
        return Rect(sheet.right + self.pixels(MARGIN), sheet.top, self.pixels(PANEL_WIDTH), height)

    @cached_property
    def status(self) -> Rect:
        """Where messages stand."""
        sheet = self.sheet
        return Rect(sheet.left, sheet.bottom, sheet.width, max(self.height - sheet.bottom, 1))
