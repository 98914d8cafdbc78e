"""The drawing canvas without its window: mouse and key events in, what is on the sheet and how it reads out.

`view.py` draws it, `window.py` puts it on a screen, `replay.py` plays recorded pens through it. Positions are in
pixels of the window; strokes are kept in units of the sheet (see `layout.py`), so a resize changes no reading.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lightning.apps import controls, keys, places
from mnist_lightning.apps.album import Album, Sketch
from mnist_lightning.apps.controls import Button
from mnist_lightning.apps.layout import BASE_HEIGHT, BASE_WIDTH, Layout
from mnist_lightning.apps.saving import save
from mnist_lightning.errors import UserError
from mnist_lightning.inference.reader import DigitReading, Reading
from mnist_lightning.ink.strokes import PEN_WIDTH, Drawing

if TYPE_CHECKING:
    from mnist_lightning.inference.reader import Reader

ERASER_RADIUS = 18.0  # units of the sheet
PEN_WIDTHS = (4.0, 60.0)  # thinnest and thickest, units of the sheet
NAME = "MNIST Lightning"


class Canvas:
    """A sheet that is drawn on and read.

    Attributes:
        drawing: the strokes on the sheet, in its units.
        album: the last drawings, with their labels.
        layout: where things stand in the window.
        network: what the title calls the network that reads.
        pen_width: of the next stroke, units of the sheet.
        is_down: whether a button is held over the sheet.
        eraser: position in pixels while the eraser is down, else None.
        erases: whether the left button erases.
        hovered: the button that the mouse is over.
        sketch: the drawing of the album that is chosen, to be labelled or deleted.
        message: what to tell the user about the last key; "" for nothing.
        shows_help, shows_why, is_dark: what `?`, `h` and `d` switch.
        open: False once the user wants to quit.
    """

    def __init__(
        self, pen_width: float = PEN_WIDTH, folder: str | Path = "drawings", is_dark: bool = False, network: str = ""
    ) -> None:
        """An empty sheet; `folder` takes what is labelled or saved."""
        self.drawing, self.album = Drawing(), Album(folder)
        self.layout = Layout(BASE_WIDTH, BASE_HEIGHT)
        self.network, self.pen_width = network, pen_width
        self.eraser: tuple[int, int] | None = None
        self.hovered: Button | None = None
        self.sketch: Sketch | None = None
        self.message = ""
        self.erases = self.shows_help = self.shows_why = self.is_down = False
        self.is_dark, self.open = is_dark, True
        self._reader: Reader | None = None
        self._reading = Reading()
        self._is_read = True
        self._chosen: DigitReading | None = None
        self._asked = ""  # the key that has to be pressed again
        self._deleted: tuple[Sketch, int] | None = None  # with its place, for `undo`
        self._taken_back: list[Sketch] = []  # for `redo`

    @property
    def reader(self) -> Reader | None:
        """What reads the sheet; None until there is a network, drawing works without."""
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
        """The digit that the user has chosen, or else that was drawn last."""
        digits = self.reading.digits
        if not digits:
            return None
        if any(digit is self._chosen for digit in digits):
            return self._chosen
        last = self.drawing.strokes[-1]
        return next((digit for digit in digits if any(stroke is last for stroke in digit.strokes)), digits[-1])

    @property
    def title(self) -> str:
        """Of the window: the number first, so that it can be read in a task bar, and the network that reads it."""
        return " - ".join(filter(None, (" ".join(self.reading.text.split()), NAME, self.network)))

    @property
    def hint(self) -> str:
        """What the line under the sheet says: about the last key, what the mouse is over, or what can be done."""
        if self.message:
            return self.message
        if self.hovered is not None:
            return self.hovered.hint
        if self.sketch is not None:
            label = "no label yet" if self.sketch.label is None else f"label {self.sketch.label}"
            return f"This drawing has {label}: 0 to 9 gives it one, Delete removes it, Esc leaves it."
        tool = "Erase" if self.erases else "Draw"
        return f"{tool} with the left button, erase with the right; a digit key keeps the drawing.  ? shows all keys."

    def resize(self, width: int, height: int) -> None:
        """The window has another size, in pixels."""
        self.layout = Layout(width, height)

    def press(self, x: int, y: int) -> None:
        """The left button goes down: on the sheet it draws (or erases), elsewhere it chooses."""
        if self.erases:
            self.press_eraser(x, y)
        elif self._begin(x, y):
            self.drawing.begin(*self._units(x, y), self.pen_width)
        if not self.is_down:
            self._click(x, y)

    def press_eraser(self, x: int, y: int) -> None:
        """The right button goes down: it erases until `release`."""
        if self._begin(x, y):
            self.eraser = (x, y)
            self.drawing.begin_erase(*self._units(x, y), self.eraser_radius)

    @property
    def eraser_radius(self) -> float:
        """In units of the sheet."""
        return max(ERASER_RADIUS, 0.75 * self.pen_width)

    def move(self, x: int, y: int) -> None:
        """The mouse moves with a button held; beyond the edge the pen stays on it."""
        if not self.is_down:
            return
        self.drawing.move(*self._units(x, y))
        if self.eraser is not None:
            self.eraser = (x, y)
        self._is_read = False

    def hover(self, x: int, y: int) -> bool:
        """The mouse moves without a button; whether that changes what is to be seen."""
        before, self.hovered = self.hovered, controls.at(self.layout, x, y)
        return before is not self.hovered

    def release(self) -> None:
        """The button goes up."""
        self.drawing.end()
        self.eraser, self.is_down = None, False

    def key(self, code: int) -> None:
        """A key was pressed, by its code (see `keys.action`); keys without an action do nothing."""
        action = keys.action(code)
        self.release()
        if action is None:
            self._asked = ""
        else:
            self.act(action)

    def act(self, action: str) -> None:
        """Do what a key or a button stands for: a name in `keys.ACTIONS`, `delete`, or a digit as text."""
        asked, self._asked = self._asked, ""
        deleted, self._deleted = self._deleted, None
        self.message = ""
        if action.isdigit():
            self._label(int(action), sure=action == asked)
        elif action == "close":
            self._close(sure=action == asked)
        elif action == "undo" and deleted is not None:
            self._write(lambda: self.album.restore(*deleted), "The drawing is back.")
        else:
            self._ACTIONS[action](self)
        self._is_read = False  # what was read meanwhile may be gone

    def _begin(self, x: int, y: int) -> bool:
        self.release()
        self.is_down = self.layout.sheet.holds(x, y)
        if self.is_down:
            self.message, self._asked, self.shows_help = "", "", False
            self._chosen = self.sketch = self._deleted = None
            self._taken_back = []
            self._is_read = False
        return self.is_down

    def _click(self, x: int, y: int) -> None:
        """The left button goes down beside the sheet: on a button, a digit in the panel, or a drawing in the strip."""
        button = controls.at(self.layout, x, y)
        if button is not None:
            if button.action != "pen":
                self.act(button.action)
            return
        digits = self.reading.digits
        thumbs = places.thumbs(self.layout, len(digits))
        for digit, rect in zip(digits[thumbs.first :], thumbs.rects, strict=False):
            if rect.holds(x, y):
                self._chosen, self.message = digit, ""
        for sketch, rect in zip(self.album.sketches, places.strip(self.layout, len(self.album.sketches)), strict=False):
            if sketch is self.sketch and places.cross(self.layout, rect).holds(x, y):
                self.act("delete")
                return
            if rect.holds(x, y):
                self.sketch, self.message = (None if sketch is self.sketch else sketch), ""
                return

    def _units(self, x: int, y: int) -> tuple[float, float]:
        """From pixels of the window to units of the sheet."""
        sheet, scale = self.layout.sheet, self.layout.scale
        x, y = min(max(x, sheet.left), sheet.right - 1), min(max(y, sheet.top), sheet.bottom - 1)
        return (x - sheet.left) / scale, (y - sheet.top) / scale

    def _write(self, change: Callable[[], object], message: str) -> bool:
        """Change the album; say so, or what was in the way."""
        try:
            change()
        except UserError as error:
            self.message = str(error)
            return False
        self.message = message
        return True

    def _undo(self) -> None:
        before = list(self.drawing.strokes)
        if not self.drawing.undo():
            self.message = "There is nothing to undo."
            return
        strokes = self.drawing.strokes
        sketch = next((each for each in self.album.sketches if not before and each.is_of(strokes)), None)
        if sketch is None:
            return
        told = "" if sketch.label is None else f"Taken back: the drawing is no longer kept as {sketch.label}."
        if self._write(lambda: self.album.remove(sketch), told):
            self._taken_back.append(sketch)
            self.sketch = None if self.sketch is sketch else self.sketch
        else:
            self.drawing.redo()

    def _redo(self) -> None:
        before = list(self.drawing.strokes)
        if not self.drawing.redo():
            self.message = "There is nothing to redo."
            return
        cleared = bool(before) and not self.drawing.strokes
        sketch = next((each for each in self._taken_back if cleared and each.is_of(before)), None)
        if sketch is None:
            return
        told = "" if sketch.label is None else f"Kept as {sketch.label} again."
        if self._write(lambda: self.album.restore(sketch, 0), told):
            self._taken_back.remove(sketch)
        else:
            self.drawing.undo()

    def _clear(self) -> None:
        if self.drawing.strokes:
            self.album.add(Sketch(self.drawing.strokes, read=self.reading.best))
            self._taken_back = []
        self.drawing.clear()

    def _delete(self) -> None:
        """The chosen drawing of the strip, or else what is on the sheet."""
        sketch = self.sketch
        if sketch is None:
            self._clear()
            return
        place = self.album.sketches.index(sketch)
        if self._write(lambda: self.album.remove(sketch), "Deleted; u brings the drawing back."):
            self._deleted, self.sketch = (sketch, place), None

    def _close(self, sure: bool) -> None:
        """Whatever is open; where nothing is, the window, but no drawing without a question."""
        if self.shows_help:
            self.shows_help = False
        elif self.sketch is not None:
            self.sketch = None
        elif self.shows_why:
            self.shows_why = False
        elif self.drawing.strokes and not sure:
            self._asked, self.message = "close", "Press Esc again to quit; what is on the sheet is lost then."
        else:
            self.open = False

    def _quit(self) -> None:
        self.open = False

    def _set_pen(self, factor: float) -> None:
        self.pen_width = min(max(self.pen_width * factor, PEN_WIDTHS[0]), PEN_WIDTHS[1])

    def _toggle(self, name: str) -> None:
        setattr(self, name, not getattr(self, name))

    def _label(self, digit: int, sure: bool) -> None:
        """Keep the chosen drawing, or what is on the sheet, as `digit`; what looks like several only if `sure`."""
        sketch, count = self.sketch, len(self.reading.digits)
        if sketch is not None:
            self._write(lambda: self.album.label(sketch, digit), f"This drawing is kept as {digit} now.")
        elif not self.drawing.strokes:
            self.message = "Draw a digit first; its key then keeps it."
        elif count > 1 and not sure:
            self._asked = str(digit)
            self.message = f"This reads as {count} digits. Press {digit} again to keep all of it as one {digit}."
        else:
            fresh = Sketch(self.drawing.strokes, read=self.reading.best)
            try:
                kept = self.album.label(fresh, digit)
            except UserError as error:
                self.message = str(error)
                return
            self.album.add(fresh)
            self._taken_back = []
            self.drawing.clear()
            self.message = f"Kept as {digit}: drawing {kept:,} in {self.album.file}. u takes it back."

    def _save(self) -> None:
        self.message = save(self)

    _ACTIONS: dict[str, Callable[[Canvas], None]] = {  # noqa: RUF012
        "undo": _undo,
        "redo": _redo,
        "clear": _clear,
        "delete": _delete,
        "thinner": lambda self: self._set_pen(1 / 1.25),
        "thicker": lambda self: self._set_pen(1.25),
        "erase": lambda self: self._toggle("erases"),
        "why": lambda self: self._toggle("shows_why"),
        "theme": lambda self: self._toggle("is_dark"),
        "help": lambda self: self._toggle("shows_help"),
        "save": _save,
        "quit": _quit,
    }
