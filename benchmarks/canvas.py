"""The picture of the drawing window in the README: `python benchmarks/canvas.py --pictures docs/images`.

With `--states`, every state of the window, light and dark, instead; with `--screen 3840 2160`, at the size at which it
opens there. Needs no display.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.layout import fitting
from mnist_lightning.apps.view import View
from mnist_lightning.apps.window import load_reader, short_name
from mnist_lightning.ink.strokes import Stroke, read_digits
from mnist_lightning.run import folder as runs

PROJECT = Path(__file__).parent.parent


def pictures(ckpt: str, folder: Path, size: tuple[int, int] | None, states: bool) -> None:
    """Draw with the mouse and write the window's pixels as PNG.

    Args:
        ckpt: of the network that reads.
        folder: gets the files.
        size: of the screen in pixels, which the window fits as it does when it opens; None for the smallest size.
        states: every state of the window, each light and dark, instead of only the picture of the docs.
    """
    digits = {digit.label: digit.strokes for digit in read_digits(PROJECT / "tests/apps/hand_digits.jsonl")}
    path, word = runs.find_checkpoint(ckpt, Path("outputs"))
    reader = load_reader(path, "cpu", 0.8)

    def draw(canvas: Canvas, strokes: Sequence[Stroke], left: float, top: float, scale: float) -> None:
        sheet, unit = canvas.layout.sheet, canvas.layout.scale
        for stroke in strokes:
            first, *rest = [
                (round(sheet.left + unit * (left + scale * x)), round(sheet.top + unit * (top + scale * y)))
                for x, y in stroke.points
            ]
            canvas.press(*first)
            for point in rest:
                canvas.move(*point)
            canvas.release()

    def write(canvas: Canvas, number: str, left: float, top: float, scale: float) -> None:
        for place, figure in enumerate(number):
            step = 112 * scale * place
            draw(canvas, digits[int(figure)], left + step, top + (6, 16, 0, 10)[place % 4], scale)

    def scribble(canvas: Canvas) -> None:
        turns = [(380 + 12 * n + 90 * np.cos(n), 260 + 90 * np.sin(1.3 * n)) for n in range(24)]
        draw(canvas, [Stroke(turns)], -120, 0, 1)

    Drawn = list[tuple[str, float, float, float]]
    states_of: dict[str, tuple[Drawn, list[str]]] = {  # what is written where and how large, and what is done then
        "canvas": ([("2026", 50, 140, 1.5)], []),
        "why": ([("69", 60, 70, 2.6)], ["why"]),
        "empty": ([], []),
        "help": ([("7", 200, 60, 2)], ["help"]),
        "no_digit": ([], ["scribble"]),
        "many": ([("314159265358", 10, 200, 0.54)], []),
        "two_rows": ([("12", 60, 20, 1.4), ("345", 60, 290, 1.4)], []),
        "kept": ([("5", 250, 60, 2)], ["5"]),
        "question": ([("26", 100, 60, 2)], ["4"]),
    }
    wanted = [(name, dark) for name in states_of for dark in (False, True)] if states else [("canvas", False)]
    for name, is_dark in wanted:
        with tempfile.TemporaryDirectory() as drawings:
            canvas = Canvas(18, drawings, is_dark, short_name(word))
            canvas.resize(*fitting(size))
            canvas.reader = reader
            for figure in "" if name == "empty" else "7314":
                write(canvas, figure, 200, 60, 2)
                canvas.act("clear" if figure == "3" else figure)
            canvas.message = ""
            written, done = states_of[name]
            for each in written:
                write(canvas, *each)
            for action in done:
                scribble(canvas) if action == "scribble" else canvas.act(action)
            cv2.imwrite(
                str(folder / f"{name}{'_dark' * is_dark}.png"), View().picture(canvas), [cv2.IMWRITE_PNG_COMPRESSION, 9]
            )


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="pretrained", help="a .ckpt file, a run folder, latest or pretrained")
    parser.add_argument("--pictures", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--screen", type=int, nargs=2, help="width and height of the screen, pixels")
    parser.add_argument("--states", action="store_true", help="every state of the window, light and dark")
    given = parser.parse_args()
    given.pictures.mkdir(parents=True, exist_ok=True)
    pictures(given.ckpt, given.pictures, given.screen, given.states)


if __name__ == "__main__":
    main()
