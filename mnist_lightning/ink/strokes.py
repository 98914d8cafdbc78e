"""What the pen did: strokes, a drawing with undo and redo, and the file format that stores them.

Knows neither pixels nor windows. Coordinates are floats in whatever unit the source uses (canvas pixels,
tablet units); x points right and y down, as on a screen.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from mnist_lightning.errors import UserError
from mnist_lightning.ink.paths import cut_path, smooth_path
from mnist_lightning.run.untrusted import parse_json, short, text_fault

PEN_WIDTH = 20.0  # of a stroke that does not state its own, in units of its coordinates
MOST_UNDOS = 500  # gestures that can be taken back; older ones are dropped, or a long session would keep all its ink
MAX_POINTS = 100_000  # of one drawing read from outside; an hour of drawing has fewer
MAX_STROKES = 1_000  # of one drawing read from outside

# Limits of a stroke file. A person's file reaches none of them: its longest line has a few kilobytes, and gzip shrinks
# a drawing by a factor of four, not of a hundred.
_LONGEST_LINE = 4 << 20  # bytes
_MOST_BLANK_LINES = 1 << 19  # in a row: half a line that was blanked out may be one per byte
_MOST_EXPANSION = 100  # bytes that come out of a byte of a .gz file ...
_EXPANSION_CHECKED = 2 << 20  # ... from so many bytes on
_LONGEST_NAME = 200  # characters of an id or a writer


@dataclass
class Stroke:
    """One pen-down run: its points in drawing order and the width of the pen, in the same unit.

    Points are only ever added at the end.
    """

    points: list[tuple[float, float]]
    width: float = PEN_WIDTH
    _path: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)

    def path(self) -> np.ndarray:
        """The points as float64 [n, 2], read-only."""
        known = 0 if self._path is None else len(self._path)
        if self._path is None or known != len(self.points):  # called several times per mouse move: convert once
            added = np.asarray(self.points[known:], dtype=np.float64).reshape(-1, 2)
            self._path = added if self._path is None else np.concatenate([self._path, added])
            self._path.flags.writeable = False
        return self._path


@dataclass
class Drawing:
    """Strokes on a sheet, with undo and redo of every gesture (a stroke, an erasure, a clearing).

    A gesture is `begin` or `begin_erase`, any number of `move`, and `end`: the three things a mouse does.
    A finished stroke is never changed in place, so strokes may be compared by identity.
    """

    strokes: list[Stroke] = field(default_factory=list)
    _past: list[list[Stroke]] = field(default_factory=list, repr=False, compare=False)
    _future: list[list[Stroke]] = field(default_factory=list, repr=False, compare=False)
    _pen: Stroke | None = field(default=None, repr=False, compare=False)
    _eraser: tuple[float, float, float] | None = field(default=None, repr=False, compare=False)
    _has_erased: bool = field(default=False, repr=False, compare=False)

    def begin(self, x: float, y: float, width: float = PEN_WIDTH) -> None:
        """Put the pen down: starts a stroke, and a gesture that `undo` takes back whole."""
        self.end()
        self._remember()
        self._pen = Stroke([(float(x), float(y))], float(width))
        self.strokes.append(self._pen)

    def begin_erase(self, x: float, y: float, radius: float) -> None:
        """Put an eraser of this radius down; it removes all ink that it touches until `end`.

        An erasure that meets no ink leaves no trace in the history.
        """
        self.end()
        self._eraser = (float(x), float(y), float(radius))
        self.move(x, y)

    def move(self, x: float, y: float) -> None:
        """Move the pen or the eraser; nothing happens if neither is down."""
        x, y = float(x), float(y)
        if self._pen is not None and self._pen.points[-1] != (x, y):
            self._pen.points.append((x, y))
        if self._eraser is not None:
            was_x, was_y, radius = self._eraser
            pieces = [_without(stroke, (was_x, was_y), (x, y), radius) for stroke in self.strokes]
            kept = [stroke for each in pieces for stroke in each]
            if not same_strokes(kept, self.strokes):
                if not self._has_erased:
                    self._remember()
                self._has_erased = True
                self.strokes = kept
            self._eraser = (x, y, radius)

    def end(self) -> None:
        """Lift the pen or the eraser."""
        self._pen = self._eraser = None
        self._has_erased = False

    def clear(self) -> None:
        """Remove all strokes; `undo` brings them back."""
        if self.strokes:
            self.end()
            self._remember()
            self.strokes = []

    def undo(self) -> bool:
        """Take the last gesture back; False if there is none."""
        return self._step(self._past, self._future)

    def redo(self) -> bool:
        """Redo what `undo` took back; False if there is nothing, or something was drawn since."""
        return self._step(self._future, self._past)

    @property
    def can_undo(self) -> bool:
        """Whether there is a gesture to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a gesture to redo."""
        return bool(self._future)

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON: `strokes` as in the stroke files, and `widths`, one per stroke."""
        return {
            "strokes": [[[round(x, 2), round(y, 2)] for x, y in stroke.points] for stroke in self.strokes],
            "widths": [round(stroke.width, 2) for stroke in self.strokes],
        }

    @classmethod
    def from_data(cls, data: Any) -> Drawing:
        """The inverse of `to_data`; `widths` may be missing. The history is empty.

        Raises:
            UserError: `data` has another form, a coordinate is not finite, or there are over 1,000 strokes or
                100,000 points.
        """
        if not isinstance(data, dict) or "strokes" not in data:
            raise UserError('A drawing is {"strokes": [[[x, y], ...], ...]}; the key "strokes" is missing.')
        given = [_list(points) for points in _list(data["strokes"])]
        widths = _list(data.get("widths", [PEN_WIDTH] * len(given)))
        if len(widths) != len(given):
            raise UserError(f"A drawing has {len(given)} strokes but {len(widths)} widths; give one each.")
        if len(given) > MAX_STROKES:
            raise UserError(f"A drawing may have at most {MAX_STROKES:,} strokes, not {len(given):,}.")
        if sum(map(len, given)) > MAX_POINTS:
            raise UserError(f"A drawing may have at most {MAX_POINTS:,} points; thin the strokes out.")
        strokes = [[_point(point) for point in points] for points in given]
        for width in widths:
            if not _is_number(width) or width <= 0:
                raise UserError(f"A pen width is a positive number, not {short(width)}.")
        return cls([Stroke(points, float(w)) for points, w in zip(strokes, widths, strict=True) if points])

    def _remember(self) -> None:
        self._past.append(list(self.strokes))
        del self._past[:-MOST_UNDOS]
        self._future.clear()

    def _step(self, source: list[list[Stroke]], target: list[list[Stroke]]) -> bool:
        self.end()
        if not source:
            return False
        target.append(list(self.strokes))
        self.strokes = source.pop()
        return True


@dataclass(frozen=True)
class WrittenDigit:
    """One line of a stroke file: a digit, who wrote it, and how."""

    id: str
    label: int
    writer: str
    strokes: list[Stroke]


def read_digits(path: str | Path) -> Iterator[WrittenDigit]:
    """Read a stroke file: one JSON object per line, `.jsonl` or `.jsonl.gz`.

    Each line is `{"id": str, "label": 0-9, "writer": str, "strokes": [[[x, y], ...], ...]}`, y pointing
    down; `id`, `writer` and `widths` (one per stroke) may be missing. Blank lines are skipped.

    Raises:
        UserError: there is no such file, a line is not in this form (the text names the line), or the file unpacks
            to more than any file of strokes.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no stroke file {path}; check the path.")
    try:
        with path.open("rb") as file:
            for number, line in _lines(file, path):
                yield read_digit(line, f"{path}, line {number}")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a stroke file that can be read: {error}.") from error


def _lines(file: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers. Raises UserError for a file that no person made."""
    lines = io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 16) if path.suffix == ".gz" else file  # type: ignore[arg-type]
    number = blank = size = 0
    while line := lines.readline(_LONGEST_LINE + 1):
        number, blank, size = number + 1, blank + 1, size + len(line)
        if len(line) > _LONGEST_LINE:
            raise UserError(f"{path}, line {number}: the line has more than {_LONGEST_LINE:,} bytes.")
        if size > _EXPANSION_CHECKED and size > _MOST_EXPANSION * file.tell():
            raise UserError(
                f"{path} holds over {_MOST_EXPANSION} times as much as it takes on disk: these are not drawings."
            )
        if line.strip():
            blank = 0
            yield number, line
        elif blank > _MOST_BLANK_LINES:
            raise UserError(f"{path}, line {number}: there are over {_MOST_BLANK_LINES:,} blank lines before it.")


def bounds(strokes: Iterable[Stroke]) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of the pen's path (not of the ink around it); None if there are no points."""
    points = [point for stroke in strokes for point in stroke.points]
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def transformed(strokes: Iterable[Stroke], scale: float, dx: float, dy: float) -> list[Stroke]:
    """New strokes with each point at (x * scale + dx, y * scale + dy), their width times `scale`."""
    return [Stroke([(x * scale + dx, y * scale + dy) for x, y in s.points], s.width * scale) for s in strokes]


def _without(stroke: Stroke, start: tuple[float, float], end: tuple[float, float], radius: float) -> list[Stroke]:
    """What an eraser that moves from `start` to `end` leaves of a stroke: the stroke itself if it is not touched."""
    # The round cap that the rest ends in must not reach back under the eraser.
    reach = radius + stroke.width / 2
    path = smooth_path(stroke.path(), spacing=max(radius / 4, 0.5))
    pieces = cut_path(path, np.array(start), np.array(end), reach)
    if len(pieces) == 1 and len(pieces[0]) == len(path):
        return [stroke]
    return [Stroke([(float(x), float(y)) for x, y in piece], stroke.width) for piece in pieces]


def same_strokes(first: Sequence[Stroke], second: Sequence[Stroke]) -> bool:
    """Whether two drawings hold the very same strokes, in the same order."""
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


def read_digit(line: str | bytes, where: str) -> WrittenDigit:
    """Read one line of a stroke file; `where` names it in the error.

    Raises:
        UserError: the line is not in the form that `read_digits` describes.
    """
    data = parse_json(line, where)
    try:
        drawing = Drawing.from_data(data)
        label = data.get("label")
        if isinstance(label, bool) or not isinstance(label, int | float) or label not in range(10):
            raise UserError(f'"label" must be a digit from 0 to 9, not {short(label)}.')
        identity, writer = _name(data, "id"), _name(data, "writer")
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return WrittenDigit(identity, int(label), writer, drawing.strokes)


def _name(data: dict[str, Any], key: str) -> str:
    """A text, or a number as text; "" if it is missing."""
    value = data.get(key, "")
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return "" if value is None else short(value)
    if fault := text_fault(value, _LONGEST_NAME):
        raise UserError(f'"{key}" {fault}.')
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UserError('"strokes" must be lists of [x, y] points, and "widths" a list of numbers.')
    return value


def _point(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise UserError(f"A point of a stroke is [x, y] with two finite numbers below 1e9, not {short(value)}.")
    return float(value[0]), float(value[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
