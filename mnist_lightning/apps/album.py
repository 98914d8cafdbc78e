"""The last drawings: labelled ones, which are in the folder's file, and cleared ones."""

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
        identity: the id of its line in the file.
    """

    def __init__(
        self, strokes: Sequence[Stroke], label: int | None = None, read: str = "", identity: str | None = None
    ) -> None:
        self.strokes, self.label, self.read = tuple(strokes), label, read
        self.identity = identity or drawings.new_id()

    @cached_property
    def picture(self) -> np.ndarray:
        """A small picture, bright ink on 0: uint8 [h, w]."""
        return draw_digit(self.strokes)


class Album:
    """The last drawings, the newest first; labels are written to `<folder>/drawings.jsonl` as soon as they are given.

    All methods that write raise UserError if the file cannot be written, and then change nothing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @cached_property
    def sketches(self) -> list[Sketch]:
        """The drawings; initially the last ones in the file, which is read on first access."""
        found = drawings.last(self.folder, MOST)
        return [Sketch(digit.strokes, digit.label, str(digit.label), digit.id) for digit in found]

    @property
    def file(self) -> Path:
        """The file of the labelled drawings."""
        return self.folder / drawings.FILE

    def add(self, sketch: Sketch) -> None:
        """Put a drawing in front; the oldest one may then no longer be shown, but its label stays in the file."""
        self.sketches.insert(0, sketch)
        del self.sketches[MOST:]

    def label(self, sketch: Sketch, digit: int) -> int | None:
        """Label a drawing, or relabel it; returns how many lines the file then has, None if it had a label before."""
        self.sketches  # noqa: B018
        count = None
        if sketch.label is None or not drawings.relabel(self.folder, sketch.identity, digit):
            count = drawings.append(self.folder, sketch.strokes, digit, identity=sketch.identity)
        sketch.label = digit
        return count

    def remove(self, sketch: Sketch) -> None:
        """Remove a drawing, and its line from the file."""
        if sketch.label is not None:
            drawings.remove(self.folder, sketch.identity)
        self.sketches[:] = [each for each in self.sketches if each is not sketch]

    def restore(self, sketch: Sketch, place: int) -> None:
        """Put back what `remove` took out; another window may have written its line again meanwhile."""
        if sketch.label is not None and not drawings.relabel(self.folder, sketch.identity, sketch.label):
            drawings.append(self.folder, sketch.strokes, sketch.label, identity=sketch.identity)
        self.sketches.insert(place, sketch)
