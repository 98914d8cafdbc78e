"""How the window looks: one picture, of which only the parts that have changed are redrawn.

Knows the canvas, but neither windows nor events.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mnist_lightning.apps import chrome_view as chrome
from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.layout import Layout
from mnist_lightning.apps.paint import cut, fill
from mnist_lightning.apps.panel_view import PanelView
from mnist_lightning.apps.sheet_view import SheetView
from mnist_lightning.apps.theme import DARK, LIGHT, Theme


class View:
    """Draws a canvas; keeps what it drew, and redraws only what has changed."""

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._theme: Theme | None = None
        self._frame = np.zeros((1, 1, 3), np.uint8)
        self._seen: dict[str, Any] = {}

    def picture(self, canvas: Canvas) -> np.ndarray:
        """The window as it should look now: uint8 BGR [H, W, 3], valid until the next call."""
        layout, theme = canvas.layout, DARK if canvas.is_dark else LIGHT
        if layout != self._layout or theme is not self._theme:
            self._start(layout, theme)
        self._sheet.draw(cut(self._frame, layout.sheet), canvas)
        self._panel.draw(cut(self._frame, layout.panel), canvas)
        if self._changed("toolbar", chrome.toolbar_state(canvas)):
            chrome.draw_toolbar(self._frame, canvas, layout, theme)
        if self._changed("strip", chrome.strip_state(canvas)):
            chrome.draw_strip(self._frame, canvas, layout, theme)
        if self._changed("status", (canvas.hint, bool(canvas.message))):
            chrome.draw_status(self._frame, canvas, layout, theme)
        if not canvas.shows_help:
            return self._frame
        covered = self._frame.copy()
        chrome.draw_help(covered, layout, theme)
        return covered

    def _changed(self, part: str, state: Any) -> bool:
        changed = part not in self._seen or self._seen[part] != state
        self._seen[part] = state
        return changed

    def _start(self, layout: Layout, theme: Theme) -> None:
        """Start again for another size or theme: everything is redrawn."""
        self._layout, self._theme, self._seen = layout, theme, {}
        self._frame = np.empty((layout.height, layout.width, 3), np.uint8)
        self._frame[:] = theme.desk
        fill(self._frame, layout.sheet.grown(1), theme.faint)
        fill(self._frame, layout.sheet, theme.paper)
        self._sheet, self._panel = SheetView(layout, theme), PanelView(layout, theme)
