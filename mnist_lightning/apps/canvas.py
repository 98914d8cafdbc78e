"""The drawing canvas without its window: mouse and key events in, the sheet and its reading out.

`view.py` draws it, `window.py` puts it on a screen, `replay.py` plays recorded strokes through it. Positions are in
pixels of the window; strokes are kept in units of the sheet (see `layout.py`), so a resize changes no reading.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lightning.apps import actions, controls, keys, places
from mnist_lightning.apps.album import Album, Sketch
from mnist_lightning.apps.controls import Button
from mnist_lightning.apps.layout import BASE_HEIGHT, BASE_WIDTH, Layout
from mnist_lightning.inference.reading import DigitReading, Reading
from mnist_lightning.ink.strokes import PEN_WIDTH, Drawing

if TYPE_CHECKING:
    from mnist_lightning.inference.reader import Reader

ERASER_RADIUS = 18.0  # units of the sheet
NAME = "MNIST Lightning"


class Canvas:
    """A sheet that is drawn on and read.

    Attributes:
        drawing: the strokes on the sheet, in its units.
        album: the last drawings, with their labels.
        layout: where things are in the window.
        network: the name of the network that reads, as the title shows it.
        pen_width: of the next stroke, units of the sheet.
        is_down: whether a button is held over the sheet.
        eraser: position in pixels while the eraser is down, else None.
        erases: whether the left button erases.
        hovered: the button that the mouse is over.
        sketch: the drawing of the album that is chosen, to be labelled or deleted.
        message: what to tell the user about the last key; "" for nothing.
        asked: the action whose key has to be pressed again to confirm it.
        deleted: the drawing that was deleted last, with its place in the album, for undo; None after any other action.
        taken_back: drawings that undo took out of the album, for redo.
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
        self.asked = ""
        self.deleted: tuple[Sketch, int] | None = None
        self.taken_back: list[Sketch] = []

    @property
    def reader(self) -> Reader | None:
        """What reads the sheet; None until a network is loaded, but drawing already works."""
        return self._reader

    @reader.setter
    def reader(self, reader: Reader) -> None:
        self._reader = reader
        self._is_read = False

    @property
    def reading(self) -> Reading:
        """The current reading of the sheet; computed on access if something has changed."""
        if not self._is_read and self._reader is not None:
            self._reading = self._reader.read(self.drawing.strokes)
            self._is_read = True
        return self._reading

    @property
    def focus(self) -> DigitReading | None:
        """The digit that the user has chosen, or else the one drawn last."""
        digits = self.reading.digits
        if not digits:
            return None
        if any(digit is self._chosen for digit in digits):
            return self._chosen
        last = self.drawing.strokes[-1]
        x, y = last.points[-1]

        def distance(digit: DigitReading) -> float:
            left, top, right, bottom = digit.box
            return max(left - x, x - right, top - y, y - bottom)

        own = [digit for digit in digits if any(stroke is last for stroke in digit.strokes)]
        return min(own or digits, key=distance)  # a stroke may be cut into several digits

    @property
    def title(self) -> str:
        """The title of the window: the number first, so that it can be read in a task bar, then the network."""
        return " - ".join(filter(None, (" ".join(self.reading.text.split()), NAME, self.network)))

    @property
    def hint(self) -> str:
        """The line under the sheet: the result of the last key, what the mouse is over, or what can be done."""
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
        """Fit the layout to a new size of the window, in pixels."""
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
        """The mouse moves with a button held; outside the sheet the pen stays at its edge."""
        if not self.is_down:
            return
        self.drawing.move(*self._units(x, y))
        if self.eraser is not None:
            self.eraser = (x, y)
        self._is_read = False

    def hover(self, x: int, y: int) -> bool:
        """The mouse moves without a button; returns whether that changes what is shown."""
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
            self.asked = ""
        else:
            self.act(action)

    def act(self, action: str) -> None:
        """Perform the action of a key or a button: a name in `keys.ACTIONS`, or a digit as text."""
        actions.do(self, action)
        self._is_read = False  # what was read meanwhile may be gone

    def _begin(self, x: int, y: int) -> bool:
        self.release()
        self.is_down = self.layout.sheet.holds(x, y)
        if self.is_down:
            self.message, self.asked, self.shows_help = "", "", False
            self._chosen = self.sketch = self.deleted = None
            self.taken_back = []
            self._is_read = False
        return self.is_down

    def _click(self, x: int, y: int) -> None:
        """The left button goes down outside the sheet: on a button, a digit in the panel, or a drawing in the strip."""
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
