"""How fast the canvas is: `python benchmarks/canvas.py`; prints a table, writes nothing.

Latency: from a mouse move until the picture with the new reading is handed to the window, and until the window is
painted, compared with the bare forward pass of the same network, as it is loaded, on one image. Each number is drawn
several times, and "undisturbed" is the median over the moves of the fastest time of each, which a busy machine affects
least. The other columns are over all times.

Start-up: `scripts/draw.py` as a user starts it, watched from outside with xdotool: until the window is visible, and
until a stroke drawn at once is read, which the window's title shows. Compared with the bare `import torch`.

Needs a display, or Xvfb; the start-up also needs xdotool.

`--pictures docs/images` measures nothing and writes what the window shows: `canvas.png` once 2026 is drawn,
`canvas_dark.png` with what decided, and the last drawings in the strip. With `--states`, every state of the window, and
with `--screen 3840 2160`, at the size at which it opens there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).parent.parent
STROKES = PROJECT / "tests/ink/pen_digits.jsonl"
Times = np.ndarray
"""Seconds, float64 [times, moves]."""


@contextmanager
def display() -> Iterator[None]:
    """The user's display, or one of Xvfb's while it is needed."""
    if os.environ.get("DISPLAY"):
        yield
        return
    if shutil.which("Xvfb") is None:
        sys.exit("There is no display, and no Xvfb to make one: install xvfb.")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    try:
        os.environ["DISPLAY"] = ":" + os.fdopen(read).readline().strip()  # which waits until the server is ready
        yield
    finally:
        server.terminate()
        server.wait()
        del os.environ["DISPLAY"]


def seconds(task: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def latency(ckpt: str, numbers: list[str], rounds: int) -> dict[str, tuple[Times, Times, Times]]:
    """For each number, written from left to right: times from each move to the window, to the paint, and bare."""
    import cv2
    import torch

    from mnist_lightning.apps.canvas import Canvas
    from mnist_lightning.apps.layout import BASE_HEIGHT, BASE_WIDTH
    from mnist_lightning.apps.window import Window, load_reader
    from mnist_lightning.ink.strokes import read_digits
    from mnist_lightning.models import checkpoint
    from mnist_lightning.models.network import to_input
    from mnist_lightning.run import folder as runs

    path = runs.find_checkpoint(ckpt, Path("outputs"))[0]
    reader = load_reader(path, "cpu", 0.8)
    network = checkpoint.restore(path)[0].eval()  # as it is on disk: the reader's has another memory order
    image = to_input(torch.zeros(1, 28, 28, dtype=torch.uint8))

    @torch.inference_mode()
    def bare() -> None:
        network(image)

    digits = {digit.label: digit.strokes for digit in read_digits(STROKES)}
    canvas = Canvas(folder=tempfile.mkdtemp())
    canvas.reader = reader
    window = Window(canvas, (BASE_WIDTH, BASE_HEIGHT))
    sheet = canvas.layout.sheet

    def drawn(number: str) -> Iterator[tuple[float, float, float]]:
        side = 300 if len(number) == 1 else 150
        canvas.key(ord("c"))
        for place, figure in enumerate(number):
            paths = [stroke.path() for stroke in digits[int(figure)]]
            corner = np.concatenate(paths).min(axis=0)
            scale = side / np.ptp(np.concatenate(paths), axis=0).max()
            for path in paths:
                points = (
                    np.round((path - corner) * scale + [sheet.left + 40 + place * (side + 10), sheet.top + 110])
                    .astype(int)
                    .tolist()
                )
                canvas.press(*points[0])
                for x, y in points[1:]:
                    bare()
                    alone = seconds(bare)
                    began = time.perf_counter()
                    canvas.move(x, y)
                    window.refresh()
                    window.show()
                    shown = time.perf_counter() - began
                    cv2.waitKey(1)
                    yield shown, time.perf_counter() - began, alone
                canvas.release()

    found = {}
    for number in numbers:
        shown, painted, alone = np.array([list(drawn(number)) for _ in range(rounds)]).transpose(2, 0, 1)
        found[number] = shown, painted, alone
    window.close()
    return found


def start_up(ckpt: str) -> tuple[float, float]:
    """Seconds from the command to the visible window, and to the first reading in its title."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(PROJECT / "scripts/draw.py"), f"ckpt={ckpt}", f"drawings={folder}"]
        began = time.perf_counter()
        program = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            search = f"search --onlyvisible --pid {program.pid} --name MNIST"
            while not (window := xdotool(search, check=False).split()):
                if program.poll() is not None:
                    sys.exit("scripts/draw.py ended instead of opening its window.")
            visible = time.perf_counter() - began
            xdotool(f"mousemove --window {window[-1]} 300 150 mousedown 1 mousemove --window {window[-1]} 300 260")
            xdotool(f"mousemove --window {window[-1]} 300 400 mouseup 1")
            while xdotool(f"getwindowname {window[-1]}").startswith("MNIST"):
                pass
            return visible, time.perf_counter() - began
        finally:
            program.terminate()
            program.wait()


def xdotool(arguments: str, check: bool = True) -> str:
    """Run xdotool, and return what it prints."""
    return subprocess.run(["xdotool", *arguments.split()], capture_output=True, text=True, check=check).stdout


def pictures(ckpt: str, folder: Path, size: tuple[int, int] | None, states: bool) -> None:
    """Draw with the mouse and write the window's pixels as PNG, light and dark.

    Args:
        ckpt: of the network that reads.
        folder: gets the files.
        size: of the screen in pixels, which the window fits as it does when it opens; None for the smallest size.
        states: every state of the window, each light and dark, instead of only the two pictures of the docs.
    """
    import cv2

    from mnist_lightning.apps.canvas import Canvas
    from mnist_lightning.apps.layout import fitting
    from mnist_lightning.apps.view import View
    from mnist_lightning.apps.window import load_reader, short_name
    from mnist_lightning.ink.strokes import Stroke, read_digits
    from mnist_lightning.run import folder as runs

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
    docs = {("canvas", False): "canvas", ("why", True): "canvas_dark"}
    wanted = (
        {(name, dark): f"{name}{'_dark' * dark}" for name in states_of for dark in (False, True)} if states else docs
    )
    for (name, is_dark), file in wanted.items():
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
            cv2.imwrite(str(folder / f"{file}.png"), View().picture(canvas), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def undisturbed(times: Times) -> float:
    """The median over the moves of the fastest time of each."""
    return float(np.median(times.min(axis=0)))


def row(name: str, times: Times) -> str:
    """A line of the table."""
    median, late, worst = (1000 * float(np.quantile(times, share)) for share in (0.5, 0.99, 1))
    return f"{name:42}{1000 * undisturbed(times):12.2f}{median:9.2f}{late:9.2f}{worst:9.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="pretrained", help="a .ckpt file, a run folder, latest or pretrained")
    parser.add_argument("--starts", type=int, default=5, help="how often draw.py is started, 0 for not at all")
    parser.add_argument("--rounds", type=int, default=10, help="how often each number is drawn")
    parser.add_argument("--pictures", type=Path, help="write the window's pictures into this folder; measure nothing")
    parser.add_argument("--screen", type=int, nargs=2, help="of the pictures: width and height of the screen, pixels")
    parser.add_argument("--states", action="store_true", help="pictures of every state of the window, light and dark")
    given = parser.parse_args()
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
        pictures(given.ckpt, given.pictures, given.screen, given.states)
        return
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    with display():
        print(f"{'milliseconds':42}{'undisturbed':>12}{'median':>9}{'p99':>9}{'max':>9}")
        for number, measured in latency(given.ckpt, [*"0125678", "2026"], given.rounds).items():
            shown, painted, alone = measured
            print(row(f"{number}: a move to the picture in the window", shown))
            print(row("   with one round of the event loop", painted))
            print(row("   the bare forward pass", alone))
            ratios = undisturbed(shown) / undisturbed(alone), np.median(shown) / np.median(alone)
            print(f"{'   first to third':42}{ratios[0]:12.2f}{ratios[1]:9.2f}")
        if not given.starts:
            return
        if shutil.which("xdotool") is None:
            sys.exit("The start-up is watched with xdotool: install it.")
        starts = [start_up(given.ckpt) for _ in range(given.starts)]
        torch = [seconds(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True)) for _ in starts]
    print(f"\n{'seconds':42}{'min':>9}{'median':>9}{'max':>9}")
    rows = {
        "draw.py to the visible window": [visible for visible, _ in starts],
        "draw.py to the first prediction": [first for _, first in starts],
        "python -c 'import torch'": torch,
    }
    for name, times in rows.items():
        print(f"{name:42}{min(times):9.2f}{float(np.median(times)):9.2f}{max(times):9.2f}")


if __name__ == "__main__":
    main()
