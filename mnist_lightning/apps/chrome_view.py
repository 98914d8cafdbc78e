"""How the parts around the sheet look: buttons, the strip of the last drawings, the line of messages, the help."""

from __future__ import annotations

import cv2
import numpy as np

from mnist_lightning.apps import controls, places
from mnist_lightning.apps.album import Sketch
from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.keys import ACTIONS, MOUSE
from mnist_lightning.apps.layout import Layout, Rect
from mnist_lightning.apps.paint import border, box, fill, paste
from mnist_lightning.apps.text import ended, shortened, text_width, write, write_centred
from mnist_lightning.apps.theme import Theme


def toolbar_state(canvas: Canvas) -> tuple[object, ...]:
    """What the look of the buttons depends on."""
    drawing = canvas.drawing
    return (
        canvas.hovered, round(canvas.pen_width, 2), canvas.erases, canvas.shows_why, canvas.shows_help,
        drawing.can_undo, drawing.can_redo, bool(drawing.strokes),
    )  # fmt: skip


def draw_toolbar(frame: np.ndarray, canvas: Canvas, layout: Layout, theme: Theme) -> None:
    """The buttons above the sheet."""
    fill(frame, layout.toolbar, theme.desk)
    pressed = {"erase": canvas.erases, "why": canvas.shows_why, "help": canvas.shows_help}
    usable = {
        "undo": canvas.drawing.can_undo,
        "redo": canvas.drawing.can_redo,
        "clear": bool(canvas.drawing.strokes),
        "save": bool(canvas.drawing.strokes),
    }
    words = {each.action: each.word for each in controls.BUTTONS} | {"theme": "Light" if canvas.is_dark else "Dark"}
    text = layout.text()
    for action, rect in controls.places(layout).items():
        middle = (rect.left + rect.width // 2, rect.top + rect.height // 2)
        if action == "pen":
            diameter = min(canvas.pen_width * layout.scale, rect.height - 2, rect.width - 2)
            cv2.circle(frame, middle, max(round(diameter / 2), 1), theme.ink, -1, cv2.LINE_AA)
            continue
        is_pressed, is_over = pressed.get(action, False), canvas.hovered is not None and canvas.hovered.action == action
        box(frame, rect, theme.blue if is_pressed else theme.card, theme.blue if is_pressed or is_over else theme.faint)
        colour = theme.card if is_pressed else theme.ink if usable.get(action, True) else theme.other
        line = (middle[0], middle[1] + round(0.36 * text))
        write_centred(frame, words[action], line, text, colour, 500)


def strip_state(canvas: Canvas) -> tuple[object, ...]:
    """What the look of the strip depends on."""
    return (canvas.sketch, *((sketch, sketch.label) for sketch in canvas.album.sketches))


def draw_strip(frame: np.ndarray, canvas: Canvas, layout: Layout, theme: Theme) -> None:
    """The last drawings, the newest at the left, each with its label below."""
    if not layout.has_strip:
        return
    fill(frame, layout.strip, theme.desk)
    sketches = canvas.album.sketches
    if not sketches:
        line = layout.strip.top + layout.strip.height // 2
        told = "Your last drawings stand here. Click one to label it, to label it anew or to delete it."
        told = shortened(told, layout.text(), layout.strip.width)
        write(frame, told, (layout.strip.left, line), layout.text(), theme.grey)
    for sketch, rect in zip(sketches, places.strip(layout, len(sketches)), strict=False):
        _draw_sketch(frame, sketch, rect, sketch is canvas.sketch, layout, theme)


def _draw_sketch(
    frame: np.ndarray, sketch: Sketch, rect: Rect, is_chosen: bool, layout: Layout, theme: Theme
) -> None:  # fmt: skip
    box(frame, rect, theme.paper, theme.faint)
    room = rect.grown(-layout.px(5))
    height, width = sketch.picture.shape
    shrink = min(room.width / width, room.height / height)
    wide, tall = max(round(width * shrink), 1), max(round(height * shrink), 1)
    inside = Rect(rect.left + (rect.width - wide) // 2, rect.top + (rect.height - tall) // 2, wide, tall)
    small = cv2.resize(sketch.picture, (wide, tall), interpolation=cv2.INTER_AREA)
    paste(frame, cv2.LUT(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR), theme.inks), inside)
    if is_chosen:
        border(frame, rect, theme.blue, max(layout.px(3), 2))
        cross = places.cross(layout, rect)
        fill(frame, cross, theme.blue)
        at = (cross.left + cross.width // 2, cross.top + cross.height // 2 + round(0.33 * layout.text()))
        write_centred(frame, "×", at, layout.text(), theme.card, 600)
    text = layout.text()
    read = shortened(sketch.read or "-", text, rect.width // 2)
    told = f"({read})" if sketch.label is None else str(sketch.label)
    at = (rect.left + rect.width // 2, rect.bottom + text + layout.px(2))
    if sketch.label is None:
        write_centred(frame, told, at, text, theme.grey)
    else:
        write_centred(frame, told, at, text, theme.blue if is_chosen else theme.ink, 600)


def draw_status(frame: np.ndarray, canvas: Canvas, layout: Layout, theme: Theme) -> None:
    """The line of messages."""
    status, text = layout.status, layout.text()
    fill(frame, status, theme.desk)
    line = status.top + (status.height + round(0.7 * text)) // 2
    colour = theme.ink if canvas.message else theme.grey
    write(frame, shortened(canvas.hint, text, status.width), (status.left, line), text, colour)


def draw_help(frame: np.ndarray, layout: Layout, theme: Theme) -> None:
    """A card with all keys, in the middle of the window; in two columns where the window is too low for one."""
    px, text = layout.px, layout.text(15)
    rows = [*MOUSE.items(), *ACTIONS.values()]
    keys = max(text_width(key, text, 600) for key, _ in rows) + px(20)
    does = max(text_width(told, text) for _, told in rows)
    pitch, head, rim = max(px(29), text + 6), px(72), px(28)
    columns = 1 if head + pitch * len(rows) + rim <= layout.height - 2 * px(10) else 2
    per_column = -(-len(rows) // columns)
    width = columns * (keys + does) + (columns + 1) * rim
    height = head + pitch * per_column + px(10)
    card = Rect((layout.width - width) // 2, max((layout.height - height) // 2, 0), width, height)
    cv2.addWeighted(frame, 0.5, np.full_like(frame, theme.desk), 0.5, 0, frame)
    box(frame, card, theme.card, theme.faint)
    write(frame, "Mouse and keys", (card.left + rim, card.top + px(46)), layout.text(20), theme.ink, 600)
    hint, corner = "Esc closes this", (card.right - rim, card.top + px(46))
    write(frame, hint, ended(hint, corner, text), text, theme.grey)
    for place, (key, told) in enumerate(rows):
        column, row = divmod(place, per_column)
        left, line = card.left + rim + column * (keys + does + rim), card.top + head + pitch * row + text
        write(frame, key, (left, line), text, theme.blue, 600)
        write(frame, told, (left + keys, line), text, theme.ink)
