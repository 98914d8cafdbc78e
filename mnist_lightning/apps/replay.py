"""Pen strokes played through the canvas: mouse events in, displayed digits out, counted and shown.

Everything except the pixels of the window is tested: positions are whole pixels, as those of a mouse, and the number
that counts is the one that the window would show.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
from annotated_types import Gt, Le, Len

from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.failures import contact_sheet
from mnist_lightning.apps.layout import BASE_HEIGHT, BASE_WIDTH, Rect
from mnist_lightning.errors import UserError
from mnist_lightning.inference.reader import Reader
from mnist_lightning.inference.reading import Reading
from mnist_lightning.ink.strokes import WrittenDigit, bounds, read_digits
from mnist_lightning.plots.words import percent
from mnist_lightning.run import files
from mnist_lightning.run import folder as runs
from mnist_lightning.types import Device, PositiveInt, Probability, Seed

SIZE = 300  # longest side of a drawing at scale 1, pixels
WINDOW = (BASE_WIDTH, BASE_HEIGHT + 82)  # with a sheet of 760 x 620 pixels, on which drawings fit up to scale 2


@dataclass(frozen=True)
class Outcome:
    """A digit that was written, and how the canvas read it."""

    digit: WrittenDigit
    reading: Reading

    @property
    def is_right(self) -> bool:
        """Whether the likeliest number is the label, sure or not."""
        return self.reading.best == str(self.digit.label)

    @property
    def is_sure(self) -> bool:
        """Whether the canvas shows it without a "?"."""
        return bool(self.reading.digits) and all(digit.sure for digit in self.reading.digits)


def play(
    digits: Sequence[WrittenDigit],
    reader: Reader,
    move: str | Sequence[float] | None = None,
    scale: float = 1.0,
    seed: int = 0,
) -> Iterator[Outcome]:
    """Draw each digit on an empty canvas with the mouse, and look at what it shows.

    Args:
        digits: placed and sized by their bounding boxes.
        reader: reads the canvas.
        move: where to draw: None for the middle of the sheet, "random", or shares of the room to the left and
            above, from (0, 0), the upper left corner, to (1, 1).
        scale: factor of the size at which the longer side of a drawing has 300 pixels.
        seed: of the random places.

    Raises:
        UserError: the drawings would not fit the sheet.
    """
    draw = random.Random(seed)
    for digit in digits:
        canvas = Canvas()
        canvas.resize(*WINDOW)
        canvas.reader = reader
        place = (draw.random(), draw.random()) if move == "random" else (0.5, 0.5) if move is None else move
        for first, *rest in mouse_paths(digit, canvas.layout.sheet, scale, place):
            canvas.press(*first)
            for point in rest:
                canvas.move(*point)
            canvas.release()
        yield Outcome(digit, canvas.reading)


def mouse_paths(
    digit: WrittenDigit, sheet: Rect, scale: float = 1.0, place: str | Sequence[float] = (0.5, 0.5)
) -> list[list[tuple[int, int]]]:
    """The strokes of a digit in pixels of the window that `sheet` lies in; `scale` and `place` as for `play`."""
    box = bounds(digit.strokes)
    if box is None:
        return []
    left, top, right, bottom = box
    factor = scale * SIZE / max(right - left, bottom - top, 1e-6)
    room = [sheet.width - 1 - (right - left) * factor, sheet.height - 1 - (bottom - top) * factor]
    if min(room) < 0:
        raise UserError(f"The drawings do not fit the sheet at scale={scale}: expected 2 or less.")
    x0, y0 = (sheet.left + float(place[0]) * room[0], sheet.top + float(place[1]) * room[1])
    return [
        [(round(x0 + (x - left) * factor), round(y0 + (y - top) * factor)) for x, y in stroke.points]
        for stroke in digit.strokes
    ]


def summarise(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """Count the outcomes.

    Args:
        outcomes: one or more.
        seconds: the time that all of them took.

    Returns:
        `accuracy`: share of the digits whose likeliest reading is right. `writer_mean`, `worst_writer`: mean and
        smallest of the writers' accuracies; `writers`: all of them by name, the worst first. `n`.
        `seconds_per_digit`. `not_sure`: share that the canvas shows as "?". `wrong_but_sure`: share that is
        wrong and shown without one. `confusions`: label, reading and how often, the most frequent first.
    """
    by_writer: dict[str, list[bool]] = defaultdict(list)
    for outcome in outcomes:
        by_writer[outcome.digit.writer].append(outcome.is_right)
    writers = dict(sorted(((name, _share(right)) for name, right in by_writer.items()), key=lambda item: item[1]))
    wrong = [outcome for outcome in outcomes if not outcome.is_right]
    pairs = Counter((str(outcome.digit.label), outcome.reading.best) for outcome in wrong)
    return {
        "accuracy": _share([outcome.is_right for outcome in outcomes]),
        "writer_mean": _share(list(writers.values())),
        "worst_writer": min(writers.values()),
        "n": len(outcomes),
        "seconds_per_digit": seconds / len(outcomes),
        "not_sure": _share([not outcome.is_sure for outcome in outcomes]),
        "wrong_but_sure": _share([not outcome.is_right and outcome.is_sure for outcome in outcomes]),
        "writers": writers,
        "confusions": [[label, reading, count] for (label, reading), count in pairs.most_common()],
    }


def _share(values: Sequence[float]) -> float:
    return float(sum(values)) / len(values)


def report(found: dict[str, Any]) -> str:
    """What `summarise` found, for a terminal."""
    doubt, wrong = percent(found["not_sure"]), percent(found["wrong_but_sure"])
    several = sum(count for _, reading, count in found["confusions"] if len(reading) != 1)
    confusions = [f"{label} as {reading or 'nothing'}: {count}" for label, reading, count in found["confusions"][:10]]
    writers = [f"{name or 'unnamed'} {percent(share)}" for name, share in list(found["writers"].items())[:5]]
    return "\n".join(
        [
            f"accuracy        {percent(found['accuracy'])} of {found['n']:,} digits, as displayed, sure or not",
            f"over writers    {percent(found['writer_mean'])} in the mean of {len(found['writers'])}",
            f"worst writers   {', '.join(writers)}",
            f"mistakes        {', '.join(confusions) or 'none'}",
            f"not one digit   {several:,} read as several digits or as nothing",
            f"not sure        {doubt} shown as ?; {wrong} are wrong and sure",
            f"time            {1000 * found['seconds_per_digit']:.2f} ms per digit",
        ]
    )


def replay(
    run: Path,
    *,
    ckpt: str | None = None,
    strokes: str,
    outputs: str = "outputs",
    device: Device = "cpu",
    sure: Probability | None = None,
    allow: Sequence[str] = (),
    move: Literal["random"] | Annotated[list[Probability], Len(2, 2)] | None = None,
    scale: Annotated[float, Gt(0), Le(2)] = 1.0,
    limit: PositiveInt | None = None,
    seed: Seed = 0,
) -> dict[str, Any]:
    """Play a stroke file, count, print, and write `replay.json` and `failures.png` into `run`.

    The last line of stdout is JSON: the numbers of `summarise` without its lists. The settings are those of
    conf/replay.yaml.

    Raises:
        UserError: no such file or checkpoint, or no digits in the file.
    """
    path, word = runs.find_checkpoint(ckpt, Path(outputs))
    digits = list(read_digits(strokes))
    if not digits:
        raise UserError(f"{strokes} holds no digits: expected a file of pen strokes.")
    if limit is not None and limit < len(digits):
        digits = random.Random(seed).sample(digits, limit)

    from mnist_lightning.inference.predictor import Predictor

    print(f"checkpoint      {word}", flush=True)
    reader = Reader(Predictor.load(path, device, threads=1, allow=allow), sure)
    began = time.perf_counter()
    outcomes = list(play(digits, reader, move, scale, seed))
    found = summarise(outcomes, time.perf_counter() - began)
    files.write_json(run / "replay.json", found)
    files.write_atomically(run / "failures.png", cv2.imencode(".png", contact_sheet(outcomes))[1].tobytes())
    print(report(found))
    print(f"failures        {runs.shown(run / 'failures.png')}")
    print(json.dumps({key: value for key, value in found.items() if not isinstance(value, dict | list)}))
    return found
