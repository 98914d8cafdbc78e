"""The last drawings: those with a label, which lie in the folder's file, and those that were cleared away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from mnist_lightning.ink import drawings
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Stroke

MOST = 40  # drawings that are remembered


class Sketch:
    """A drawing that is no longer on the sheet.

    Attributes:
        strokes: what was drawn.
        label: the digit that the user says it is, None without a label.
        read: what was read in it, "" where nothing was.
        identity: of its line in the file.
    """

    def __init__(
        self, strokes: Sequence[Stroke], label: int | None = None, read: str = "", identity: str | None = None
    ) -> None:
        self.strokes, self.label, self.read = tuple(strokes), label, read
        self.identity = identity or drawings.new_id()

    @cached_property
    def picture(self) -> np.ndarray:
        """Small, bright ink on 0: uint8 [h, w]."""
        return draw_digit(self.strokes)


class Album:
    """The last drawings, the newest first; labels are in `<folder>/drawings.jsonl` as soon as they are given.

    All methods that write raise UserError where the file cannot be written, and change nothing then.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @cached_property
    def sketches(self) -> list[Sketch]:
        """The drawings; at first the last ones of the file, which is read when they are asked for."""
        found = drawings.last(self.folder, MOST)
        return [Sketch(digit.strokes, digit.label, str(digit.label), digit.id) for digit in found]

    @property
    def file(self) -> Path:
        """Where the labelled ones are."""
        return self.folder / drawings.FILE

    def add(self, sketch: Sketch) -> None:
        """Put a drawing in front; the oldest one is no longer shown then, its label stays in the file."""
        self.sketches.insert(0, sketch)
        del self.sketches[MOST:]

    def label(self, sketch: Sketch, digit: int) -> int | None:
        """Give a drawing a label, or another one; how many lines the file has then, None where it had one before."""
        self.sketches  # noqa: B018
        count = None
        if sketch.label is None or not drawings.relabel(self.folder, sketch.identity, digit):
            count = drawings.append(self.folder, sketch.strokes, digit, identity=sketch.identity)
        sketch.label = digit
        return count

    def remove(self, sketch: Sketch) -> None:
        """Take a drawing out, and its line out of the file."""
        if sketch.label is not None:
            drawings.remove(self.folder, sketch.identity)
        self.sketches[:] = [each for each in self.sketches if each is not sketch]

    def restore(self, sketch: Sketch, place: int) -> None:
        """Put back what `remove` took out."""
        if sketch.label is not None:
            drawings.append(self.folder, sketch.strokes, sketch.label, identity=sketch.identity)
        self.sketches.insert(place, sketch)
