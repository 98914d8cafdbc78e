"""The buttons above the sheet: what each does, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mnist_lightning.apps.layout import Layout, Rect
from mnist_lightning.apps.text import text_width


@dataclass(frozen=True)
class Button:
    """A button.

    Attributes:
        action: what it does, a name in `keys.ACTIONS`; "pen" shows the pen and does nothing.
        word: the text on it.
        hint: for the line under the sheet, while the mouse is over the button.
        width: in units.
        rank: buttons of a high rank are left out first where there is no room.
        is_right: whether it is at the right end.
    """

    action: str
    word: str
    hint: str
    width: int
    rank: int
    is_right: bool = False


BUTTONS = (
    Button("undo", "Undo", "Undo the last stroke, erasure, clearing or label: u, Ctrl+Z", 62, 1),
    Button("redo", "Redo", "Redo what was undone: r, Ctrl+Y", 62, 5),
    Button("clear", "Clear", "A fresh sheet; the drawing goes to the strip below: c, Space, Delete", 62, 0),
    Button("erase", "Erase", "Erase with the left button too: e. The right button always erases", 66, 4),
    Button("thinner", "–", "A thinner pen: [ or -", 34, 3),
    Button("pen", "", "The pen", 44, 3),
    Button("thicker", "+", "A thicker pen: ] or +", 34, 3),
    Button("why", "Why?", "Colour what decided: h", 62, 6, is_right=True),
    Button("save", "Save", "Save picture and strokes: s", 62, 8, is_right=True),
    Button("theme", "Dark", "Dark or light: d", 62, 7, is_right=True),
    Button("help", "Help", "Show all keys: ?", 62, 2, is_right=True),
)
_GAP = 7  # units between two buttons


@lru_cache(maxsize=8)
def places(layout: Layout) -> dict[str, Rect]:
    """Where each button is in the window, by its action; buttons without room are left out."""
    toolbar, gap = layout.toolbar, layout.px(_GAP)
    widths = {each.action: _width(layout, each) for each in BUTTONS}
    shown: set[str] = set()
    for rank in sorted({each.rank for each in BUTTONS}):
        more = shown | {each.action for each in BUTTONS if each.rank == rank}
        if sum(widths[action] + gap for action in more) - gap > toolbar.width:
            break
        shown = more
    found, left, right = {}, toolbar.left, toolbar.right
    for each in BUTTONS:
        if each.action in shown and not each.is_right:
            found[each.action] = Rect(left, toolbar.top, widths[each.action], toolbar.height)
            left += widths[each.action] + gap
    for each in reversed(BUTTONS):
        if each.action in shown and each.is_right:
            right -= widths[each.action]
            found[each.action] = Rect(right, toolbar.top, widths[each.action], toolbar.height)
            right -= gap
    return found


def _width(layout: Layout, button: Button) -> int:
    return max(layout.px(button.width), text_width(button.word, layout.text(), 500) + layout.px(12))


def at(layout: Layout, x: int, y: int) -> Button | None:
    """The button under a pixel of the window."""
    if not layout.toolbar.holds(x, y):
        return None
    found = places(layout)
    return next((each for each in BUTTONS if each.action in found and found[each.action].holds(x, y)), None)
