"""A long session: drawing, reading and clearing thousands of times costs no memory, no file and no thread."""

import contextlib
import gc
import os
import resource
import sys
import threading
from pathlib import Path

import pytest

from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.view import View
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.ink.strokes import MOST_UNDOS, read_digits
from mnist_lightning.run import folder as runs

DIGITS = [digit.strokes for digit in read_digits(Path(__file__).with_name("hand_digits.jsonl"))]
GROWTH = 8 << 20  # bytes that the process may grow by after the first tenth


def resident():
    """Bytes of memory that the process has."""
    gc.collect()
    path = Path("/proc/self/statm")
    if path.exists():
        return int(path.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def handles():
    """Open files, by their numbers and what they are, and running threads."""
    files = Path("/proc/self/fd")
    numbers = os.listdir(files) if files.exists() else ()  # noqa: PTH208
    opened = set()
    for number in numbers:
        with contextlib.suppress(FileNotFoundError):  # the one of this list
            opened.add((number, (files / number).readlink()))
    return opened | set(threading.enumerate())


def cycle(canvas, view, count):
    """Draw a digit somewhere, look at it as the window does, and clear the sheet in one of the ways there are."""
    sheet = canvas.layout.sheet
    x0, y0 = sheet.left + 20 + count * 37 % 450, sheet.top + 20 + count * 53 % 250
    for stroke in DIGITS[count % 10]:
        canvas.press(round(x0 + 1.5 * stroke.points[0][0]), round(y0 + 1.5 * stroke.points[0][1]))
        for x, y in stroke.points[1::3]:
            canvas.move(round(x0 + 1.5 * x), round(y0 + 1.5 * y))
        canvas.release()
    view.picture(canvas)
    assert canvas.reading.digits
    ways = {0: ("why", "why", "clear"), 1: ("help", "close", "delete"), 2: ("theme", "undo", "redo", "clear")}
    for action in ways.get(count % 10, ("clear",)):
        canvas.act(action)
        if count % 10 != 2:
            view.picture(canvas)
    view.picture(canvas)


def use(folder, cycles):
    """Bytes of growth after the first tenth, and what is left open."""
    canvas, view = Canvas(folder=folder), View()
    canvas.resize(900, 580)
    canvas.reader = Reader(Predictor.load(runs.PRETRAINED, "cpu"), sure=0.5)
    for count in range(cycles // 10):
        cycle(canvas, view, count)
    before, left_before = resident(), handles()
    for count in range(cycles // 10, cycles):
        cycle(canvas, view, count)
    return resident() - before, left_before, handles()


def check(folder, cycles):
    growth, before, after = use(folder, cycles)
    assert growth < GROWTH, f"{growth / 2**20:.1f} MiB more after {cycles:,} cycles"
    assert after - before == set()  # whatever another test has left may end meanwhile


def test_two_hundred_cycles_of_drawing_and_clearing_cost_no_memory_file_or_thread(tmp_path, monkeypatch):
    monkeypatch.setattr("mnist_lightning.ink.strokes.MOST_UNDOS", 20)  # or its history would still be growing
    check(tmp_path, 200)


@pytest.mark.long
def test_ten_thousand_cycles_of_drawing_and_clearing_cost_no_memory_file_or_thread(tmp_path):
    assert MOST_UNDOS < 10_000 // 10  # its history is full within the first tenth
    check(tmp_path, 10_000)
