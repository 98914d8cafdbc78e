"""The sheet as files: its picture, and its strokes with their reading."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import cv2

from mnist_lightning.errors import UserError
from mnist_lightning.ink.raster import Layer
from mnist_lightning.run.files import write_atomically, write_json

if TYPE_CHECKING:
    from mnist_lightning.apps.canvas import Canvas


def save(canvas: Canvas) -> str:
    """Write the sheet into the folder of the drawings; returns what to tell the user."""
    if not canvas.drawing.strokes:
        return "There is nothing to save: the sheet is empty."
    sheet, reading, folder = canvas.layout.sheet, canvas.reading, canvas.album.folder
    ink = Layer(sheet.height, sheet.width, canvas.layout.scale).update(canvas.drawing.strokes)
    digits = [{"label": each.label, "confidence": round(each.confidence, 4)} for each in reading.digits]
    number = "".join(filter(str.isalnum, reading.best)) or "unread"
    path = folder / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{number}_{secrets.token_hex(2)}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, cv2.imencode(".png", 255 - ink)[1].tobytes())
        write_json(path.with_suffix(".json"), {"text": reading.text, "digits": digits, **canvas.drawing.to_data()})
    except OSError as error:
        return f"{path} cannot be written ({error.strerror}): choose another folder with drawings=."
    except UserError as error:
        return f"{error} The sheet is not saved."
    return f"Saved {path} and its strokes."
