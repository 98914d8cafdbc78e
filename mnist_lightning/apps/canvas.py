"""The drawing canvas without its window: mouse and key events in, what is on the sheet and how it reads out.

`view.py` draws it, `window.py` puts it on a screen, `replay.py` plays recorded pens through it. Positions are in
pixels of the window; strokes are kept in units of the sheet (see `layout.py`), so a resize changes no reading.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lightning.apps.layout import BASE_HEIGHT, BASE_WIDTH, Layout
from mnist_lightning.errors import UserError
from mnist_lightning.inference.reader import DigitReading, Reading
from mnist_lightning.ink import drawings
from mnist_lightning.ink.strokes import PEN_WIDTH, Drawing
from mnist_lightning.run.files import write_atomically, write_json

if TYPE_CHECKING:
    from mnist_lightning.inference.reader import Reader

ERASER_RADIUS = 18.0  # units
PEN_WIDTHS = (4.0, 60.0)  # thinnest and thickest, units
ESCAPE = 27

KEYS = {
    "0-9": "keep the drawing as this digit",
    "u, r": "undo, redo",
    "c": "clear the sheet",
    "[, ]": "thinner, thicker pen",
    "h": "show which pixels decided",
    "s": "save picture and strokes",
    "?": "show these keys",
    "q": "quit",
}
"""What each key does, for the help."""


class Canvas:
    """A sheet that is drawn on and read.

    Attributes:
        drawing: the strokes on the sheet, in units.
        layout: where things stand in the window.
        reader: None until there is a network; drawing works without.
        pen_width: of the next stroke, units.
        is_down: whether a button is held over the sheet.
        eraser: position in pixels while the eraser is down, else None.
        message: what to tell the user about the last key; "" for nothing.
        shows_help, shows_saliency: what `?` and `h` switch.
        open: False once the user wants to quit.
    """

    def __init__(self, pen_width: float = PEN_WIDTH, folder: str | Path = "drawings") -> None:
        """An empty sheet; `folder` takes what is labelled or saved."""
        self.drawing = Drawing()
        self.layout = Layout(BASE_WIDTH, BASE_HEIGHT)
        self.pen_width = pen_width
        self.folder = Path(folder)
        self.eraser: tuple[int, int] | None = None
        self.message = ""
        self.shows_help = self.shows_saliency = False
        self.open = True
        self._reader: Reader | None = None
        self._reading = Reading()
        self._is_read = True
        self.is_down = False
        self._asked: str | None = None  # the digit key that waits to be pressed again
        self._actions: dict[str, Callable[[], None]] = {
            "u": self._undo,
            "r": self._redo,
            "c": self._clear,
            "[": lambda: self._set_pen(self.pen_width / 1.25),
            "]": lambda: self._set_pen(self.pen_width * 1.25),
            "h": self._toggle_saliency,
            "s": self._save,
            "?": self._toggle_help,
            "q": self._quit,
            chr(ESCAPE): self._quit,
        }

    @property
    def reader(self) -> Reader | None:
        """What reads the sheet."""
        return self._reader

    @reader.setter
    def reader(self, reader: Reader) -> None:
        self._reader = reader
        self._is_read = False

    @property
    def reading(self) -> Reading:
        """How the sheet reads now; computed when it is asked for and something has changed."""
        if not self._is_read and self._reader is not None:
            self._reading = self._reader.read(self.drawing.strokes)
            self._is_read = True
        return self._reading

    @property
    def focus(self) -> DigitReading | None:
        """The digit that was drawn last."""
        digits = self.reading.digits
        if not digits:
            return None
        last = self.drawing.strokes[-1]
        return next((digit for digit in digits if any(stroke is last for stroke in digit.strokes)), digits[-1])

    @property
    def title(self) -> str:
        """Of the window: the number first, so that it can be read in a task bar."""
        text = self.reading.text
        return f"{text} - MNIST Lightning" if text else "MNIST Lightning"

    def resize(self, width: int, height: int) -> None:
        """The window has another size, in pixels."""
        self.layout = Layout(width, height)

    def press(self, x: int, y: int) -> None:
        """The left button goes down: the pen touches the sheet, if the mouse is over it."""
        if self._begin(x, y):
            self.drawing.begin(*self._units(x, y), self.pen_width)

    def press_eraser(self, x: int, y: int) -> None:
        """The right button goes down: it erases until `release`."""
        if self._begin(x, y):
            self.eraser = (x, y)
            self.drawing.begin_erase(*self._units(x, y), ERASER_RADIUS)

    def move(self, x: int, y: int) -> None:
        """The mouse moves; beyond the edge the pen stays on it."""
        if not self.is_down:
            return
        self.drawing.move(*self._units(x, y))
        if self.eraser is not None:
            self.eraser = (x, y)
        self._is_read = False

    def release(self) -> None:
        """The button goes up."""
        self.drawing.end()
        self.eraser, self.is_down = None, False

    def key(self, code: int) -> None:
        """A key was pressed, by its ASCII code; others do nothing. Capitals are as good as small letters."""
        name = chr(code).lower() if 0 < code < 128 else ""
        self.release()
        asked, self._asked = self._asked, None
        if name.isdigit():
            self._label(name, sure=name == asked)
        elif name in self._actions:
            self.message = ""
            self._actions[name]()
        self._is_read = False

    def _begin(self, x: int, y: int) -> bool:
        self.release()
        self.message, self._asked, self.shows_help = "", None, False
        self._is_read = False
        self.is_down = self.layout.sheet.holds(x, y)
        return self.is_down

    def _units(self, x: int, y: int) -> tuple[float, float]:
        """From pixels of the window to units of the sheet."""
        sheet, scale = self.layout.sheet, self.layout.scale
        x, y = min(max(x, sheet.left), sheet.right - 1), min(max(y, sheet.top), sheet.bottom - 1)
        return (x - sheet.left) / scale, (y - sheet.top) / scale

    def _undo(self) -> None:
        if not self.drawing.undo():
            self.message = "Nothing to undo."

    def _redo(self) -> None:
        if not self.drawing.redo():
            self.message = "Nothing to redo."

    def _clear(self) -> None:
        self.drawing.clear()

    def _quit(self) -> None:
        self.open = False

    def _set_pen(self, width: float) -> None:
        self.pen_width = min(max(width, PEN_WIDTHS[0]), PEN_WIDTHS[1])

    def _toggle_saliency(self) -> None:
        self.shows_saliency = not self.shows_saliency
        if self.shows_saliency:
            self.message = "Orange ink speaks for the digit, blue ink against it."

    def _toggle_help(self) -> None:
        self.shows_help = not self.shows_help

    def _label(self, digit: str, sure: bool) -> None:
        """Keep the drawing as `digit`, and clear the sheet for the next; what looks like several only if `sure`."""
        count = len(self.reading.digits)
        if not self.drawing.strokes:
            self.message = "Draw a digit first; its key then keeps it."
        elif count > 1 and not sure:
            self._asked = digit
            self.message = f"This reads as {count} digits. Press {digit} again to keep all of it as one {digit}."
        else:
            try:
                kept = drawings.append(self.folder, self.drawing.strokes, int(digit))
            except UserError as error:
                self.message = str(error)
                return
            self.drawing.clear()
            self.message = f"Kept as {digit}: drawing {kept:,} in {self.folder / drawings.FILE}"

    def _save(self) -> None:
        """Write the sheet as it looks, and its strokes with how they read."""
        if not self.drawing.strokes:
            self.message = "Nothing to save: the sheet is empty."
            return
        import cv2

        from mnist_lightning.ink.raster import Layer

        sheet, scale, reading = self.layout.sheet, self.layout.scale, self.reading
        ink = Layer(sheet.height, sheet.width, scale).update(self.drawing.strokes)
        digits = [{"label": each.label, "confidence": round(each.confidence, 4)} for each in reading.digits]
        number = "".join(filter(str.isalnum, reading.best)) or "unread"
        path = self.folder / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{number}_{secrets.token_hex(2)}.png"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, cv2.imencode(".png", 255 - ink)[1].tobytes())
            write_json(path.with_suffix(".json"), {"text": reading.text, "digits": digits, **self.drawing.to_data()})
        except OSError as error:
            self.message = f"{path} cannot be written ({error.strerror}): choose another folder with drawings=."
        else:
            self.message = f"Saved {path} and its strokes."
