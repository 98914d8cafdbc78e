"""What keys and buttons do to a canvas."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mnist_lightning.apps.album import Sketch
from mnist_lightning.apps.saving import save
from mnist_lightning.errors import UserError
from mnist_lightning.ink.strokes import same_strokes

if TYPE_CHECKING:
    from mnist_lightning.apps.canvas import Canvas

PEN_WIDTHS = (4.0, 60.0)  # thinnest and thickest, units of the sheet


def do(canvas: Canvas, action: str) -> None:
    """Perform an action: a name in `keys.ACTIONS`, or a digit as text."""
    asked, canvas.asked = canvas.asked, ""
    deleted, canvas.deleted = canvas.deleted, None
    canvas.message = ""
    if action.isdigit():
        label(canvas, int(action), sure=action == asked)
    elif action == "close":
        close(canvas, sure=action == asked)
    elif action == "undo" and deleted is not None:
        if not _write(canvas, lambda: canvas.album.restore(*deleted), "The drawing is back."):
            canvas.deleted = deleted  # `u` tries again
    else:
        ACTIONS[action](canvas)


def undo(canvas: Canvas) -> None:
    """Undo the last gesture; undoing a clear takes the drawing out of the album, and its label out of the file."""
    before = list(canvas.drawing.strokes)
    if not canvas.drawing.undo():
        canvas.message = "There is nothing to undo."
        return
    strokes = canvas.drawing.strokes
    sketch = next((each for each in canvas.album.sketches if not before and same_strokes(each.strokes, strokes)), None)
    if sketch is None:
        return
    told = "" if sketch.label is None else f"Taken back: the drawing is no longer kept as {sketch.label}."
    if _write(canvas, lambda: canvas.album.remove(sketch), told):
        canvas.taken_back.append(sketch)
        canvas.sketch = None if canvas.sketch is sketch else canvas.sketch
    else:
        canvas.drawing.redo()


def redo(canvas: Canvas) -> None:
    """Redo what was undone, including a label."""
    before = list(canvas.drawing.strokes)
    if not canvas.drawing.redo():
        canvas.message = "There is nothing to redo."
        return
    cleared = bool(before) and not canvas.drawing.strokes
    sketch = next((each for each in canvas.taken_back if cleared and same_strokes(each.strokes, before)), None)
    if sketch is None:
        return
    told = "" if sketch.label is None else f"Kept as {sketch.label} again."
    if _write(canvas, lambda: canvas.album.restore(sketch, 0), told):
        canvas.taken_back.remove(sketch)
    else:
        canvas.drawing.undo()


def clear(canvas: Canvas) -> None:
    """Empty the sheet; the drawing goes to the album."""
    if canvas.drawing.strokes:
        canvas.album.add(Sketch(canvas.drawing.strokes, read=canvas.reading.best))
        canvas.taken_back = []
    canvas.drawing.clear()


def delete(canvas: Canvas) -> None:
    """Remove the drawing chosen in the strip, or empty the sheet if none is chosen."""
    sketch = canvas.sketch
    if sketch is None:
        clear(canvas)
        return
    place = canvas.album.sketches.index(sketch)
    if _write(canvas, lambda: canvas.album.remove(sketch), "Deleted; u brings the drawing back."):
        canvas.deleted, canvas.sketch = (sketch, place), None


def close(canvas: Canvas, sure: bool) -> None:
    """Close what is open, or else the window; ask first if that would lose a drawing."""
    if canvas.shows_help:
        canvas.shows_help = False
    elif canvas.sketch is not None:
        canvas.sketch = None
    elif canvas.shows_why:
        canvas.shows_why = False
    elif canvas.drawing.strokes and not sure:
        canvas.asked, canvas.message = "close", "Press Esc again to quit; what is on the sheet is lost then."
    else:
        canvas.open = False


def label(canvas: Canvas, digit: int, sure: bool) -> None:
    """Keep the chosen drawing, or what is on the sheet, as `digit`; if it reads as several, only if `sure`."""
    sketch, count = canvas.sketch, len(canvas.reading.digits)
    if sketch is not None:
        _write(canvas, lambda: canvas.album.label(sketch, digit), f"This drawing is kept as {digit} now.")
    elif not canvas.drawing.strokes:
        canvas.message = "Draw a digit first; its key then keeps it."
    elif count > 1 and not sure:
        canvas.asked = str(digit)
        canvas.message = f"This reads as {count} digits. Press {digit} again to keep all of it as one {digit}."
    else:
        fresh = Sketch(canvas.drawing.strokes, read=canvas.reading.best)
        try:
            kept = canvas.album.label(fresh, digit)
        except UserError as error:
            canvas.message = str(error)
            return
        canvas.album.add(fresh)
        canvas.taken_back = []
        canvas.drawing.clear()
        canvas.message = f"Kept as {digit}: drawing {kept:,} in {canvas.album.file}. u takes it back."


def _write(canvas: Canvas, change: Callable[[], object], message: str) -> bool:
    """Change the album; the message says so, or why it failed."""
    try:
        change()
    except UserError as error:
        canvas.message = str(error)
        return False
    canvas.message = message
    return True


def _set_pen(canvas: Canvas, factor: float) -> None:
    canvas.pen_width = min(max(canvas.pen_width * factor, PEN_WIDTHS[0]), PEN_WIDTHS[1])


def _toggle(name: str) -> Callable[[Canvas], None]:
    return lambda canvas: setattr(canvas, name, not getattr(canvas, name))


def _save(canvas: Canvas) -> None:
    canvas.message = save(canvas)


def _quit(canvas: Canvas) -> None:
    canvas.open = False


ACTIONS: dict[str, Callable[[Canvas], None]] = {
    "undo": undo,
    "redo": redo,
    "clear": clear,
    "delete": delete,
    "thinner": lambda canvas: _set_pen(canvas, 1 / 1.25),
    "thicker": lambda canvas: _set_pen(canvas, 1.25),
    "erase": _toggle("erases"),
    "why": _toggle("shows_why"),
    "theme": _toggle("is_dark"),
    "help": _toggle("shows_help"),
    "save": _save,
    "quit": _quit,
}
