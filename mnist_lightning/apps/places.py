"""Where the small pictures are: what the network sees, in the panel, and the last drawings, in the strip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mnist_lightning.apps.layout import PANEL_WIDTH, STRIP_HEIGHT, Layout, Rect

THUMBS_TOP, THUMBS_HEIGHT = 194, 152  # of what the network sees, units of the panel
THUMB = 112  # side of the picture of a single digit, units
_GAP, _LABEL, _LEAST = 8, 21, 24  # between pictures, of the line below one, and the smallest picture, units
_MOST_ROWS = 3


@dataclass(frozen=True)
class Thumbs:
    """The pictures of the digits from `first` on, in pixels of the window; there is no room for the digits before."""

    first: int
    rects: tuple[Rect, ...]


@lru_cache(maxsize=64)
def thumbs(layout: Layout, count: int) -> Thumbs:
    """Where the pictures of `count` digits are: in the number of rows that makes them largest."""
    if not layout.has_panel:
        return Thumbs(count, ())
    px, panel = layout.px, layout.panel
    gap, label = px(_GAP), layout.text() + px(_LABEL - 14) if count > 1 else 0

    def side(rows: int) -> int:
        columns = -(-max(count, 1) // rows)
        across = (px(PANEL_WIDTH) + gap) // columns - gap
        return min(across, (px(THUMBS_HEIGHT) - (rows - 1) * gap // 2) // rows - label, px(THUMB))

    rows = max(range(1, _MOST_ROWS + 1), key=side)
    size = max(side(rows), px(_LEAST))
    columns = (px(PANEL_WIDTH) + gap) // (size + gap)
    shown = min(count, rows * columns)
    if count > shown:
        shown -= 1  # its place shows how many come before
    first, skipped = count - shown, int(count > shown)
    left, top = panel.left, panel.top + px(THUMBS_TOP)
    found = []
    for place in range(skipped, max(shown, 1) + skipped):
        row, column = divmod(place, columns)
        found.append(Rect(left + column * (size + gap), top + row * (size + label + gap // 2), size, size))
    return Thumbs(first, tuple(found))


@lru_cache(maxsize=8)
def strip(layout: Layout, count: int) -> tuple[Rect, ...]:
    """Where the last drawings are, the newest at the left; as many as fit, at most `count`."""
    if not layout.has_strip:
        return ()
    area, gap = layout.strip, layout.px(_GAP)
    side = layout.px(STRIP_HEIGHT) - layout.text() - layout.px(8)
    fit = max((area.width + gap) // (side + gap), 0)
    return tuple(Rect(area.left + place * (side + gap), area.top, side, side) for place in range(min(count, fit)))


def cross(layout: Layout, rect: Rect) -> Rect:
    """The corner of a chosen drawing that deletes it."""
    side = max(rect.width * 2 // 5, layout.text() + 2)
    return Rect(rect.right - side, rect.top, side, side)
