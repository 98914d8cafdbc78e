"""A real window on a screen of its own: drawn in with the mouse by xdotool, read by its title."""

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from mnist_lightning.apps import controls, places
from mnist_lightning.apps.layout import Layout, fitting
from mnist_lightning.ink.strokes import read_digits

PROJECT = Path(__file__).parent.parent.parent
DIGITS = {digit.label: digit.strokes for digit in read_digits(Path(__file__).with_name("hand_digits.jsonl"))}
PATIENCE = 60  # seconds to wait for anything; a busy machine is slow

missing = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]
needs_a_screen = pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")


@pytest.fixture
def screen():
    """A screen without a person: the environment for programs that are to use it.

    One each: the server goes on pressing a key that made its window go, until the key is let go of there.
    """
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with open(read) as pipe:  # noqa: PTH123
        number = pipe.readline().strip()  # waits until the server is ready
    assert number, "Xvfb did not start"
    yield {key: value for key, value in os.environ.items() if key != "WAYLAND_DISPLAY"} | {"DISPLAY": f":{number}"}
    server.terminate()
    server.wait()


class User:
    """Somebody who draws in the window of `scripts/draw.py`."""

    def __init__(self, environment, folder):
        self.environment, self.folder = environment, folder
        self.layout = Layout(*fitting((1280, 800)))
        self.program = subprocess.Popen(
            [sys.executable, str(PROJECT / "scripts/draw.py"), "ckpt=pretrained", "sure=0.5"],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        found = self.wait_for(lambda: self.xdotool("search --onlyvisible --name MNIST", check=False).split())
        self.window = found[-1]

    def xdotool(self, commands, check=True):
        done = subprocess.run(
            ["xdotool", *commands.split()], env=self.environment, capture_output=True, text=True, check=check
        )
        return done.stdout.strip()

    def wait_for(self, look, patience=PATIENCE):
        """What `look` gives, as soon as it is something."""
        end = time.monotonic() + patience
        while not (found := look()):
            assert self.program.poll() is None, self.program.communicate()
            assert time.monotonic() < end, f"waited in vain; the title is {self.title()!r}"
            time.sleep(0.02)
        return found

    def title(self):
        return self.xdotool(f"getwindowname {self.window}")

    def shows(self, number):
        """Whether the title says this number, or none for an empty text."""
        return self.title() == (f"{number} - " if number else "") + "MNIST Lightning - pretrained"

    def sees(self, number):
        self.wait_for(lambda: self.shows(number))

    def draws_and_sees(self, number, whole=None, **where):
        """Draw a number and see it, or `whole`, in the title; if not, once more with a slower hand.

        Qt leaves out positions of the mouse that it has no time to tell: on a busy machine a fast hand's digits
        lose their bends.
        """
        for pause in (0.012, 0.05, 0.2, 0.8):
            self.draw(number, pause, **where)
            with contextlib.suppress(AssertionError):
                self.wait_for(lambda: self.shows(whole or number), patience=PATIENCE if pause == 0.8 else 3)
                return
            self.press(*["u"] * sum(len(DIGITS[int(figure)]) for figure in number))
        pytest.fail(f"{number} was not read; the title is {self.title()!r}")

    def draw(self, number, pause, left=40, top=40, scale=1.5):
        """Write a number with the left button, the mouse stopping for `pause` seconds at each point of the sheet."""
        left, top = left + self.layout.sheet.left, top + self.layout.sheet.top
        words = []
        for place, figure in enumerate(number):
            for stroke in DIGITS[int(figure)]:
                path = [(left + (105 * place + x) * scale, top + y * scale) for x, y in stroke.points]
                for index, (x, y) in enumerate(path):
                    words.append(f"mousemove --window {self.window} {x:.0f} {y:.0f} sleep {pause}")
                    if index == 0:
                        words.append(f"mousedown 1 sleep {pause}")
                words.append(f"mouseup 1 sleep {pause}")
        self.xdotool(" ".join(words))

    def click(self, rect):
        """Click in the middle of a part of the window."""
        at = f"{rect.left + rect.width // 2} {rect.top + rect.height // 2}"
        self.xdotool(f"mousemove --window {self.window} {at} sleep 0.05 mousedown 1 sleep 0.05 mouseup 1 sleep 0.05")

    def holds(self, combination):
        """Press keys together where the keyboard is, as Ctrl+Z; the window needs the focus for it."""
        self.xdotool(f"windowfocus --sync {self.window}")
        first, second = combination.split("+")
        self.xdotool(f"keydown {first} sleep 0.05 keydown {second} sleep 0.15 keyup {second} keyup {first}")

    def press(self, *keys):
        """Keys by their X names; the window takes them without a window manager only if sent to it."""
        self.xdotool(f"key --window {self.window} {' '.join(keys)}", check=False)

    def click_the_close_button(self):
        """Send what a window manager, of which there is none here, sends then; not every xdotool can."""

        class ClientMessage(ctypes.Structure):
            _fields_ = (
                ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int),
                ("display", ctypes.c_void_p), ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong),
                ("format", ctypes.c_int), ("data", ctypes.c_long * 5), ("rest_of_an_xevent", ctypes.c_long * 24),
            )  # fmt: skip

        x11 = ctypes.CDLL("libX11.so.6")  # which xdotool uses, too
        x11.XOpenDisplay.restype, x11.XInternAtom.restype = ctypes.c_void_p, ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.environment["DISPLAY"].encode()))
        protocols, delete = (x11.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
        event = ClientMessage(type=33, window=int(self.window), message_type=protocols, format=32)
        event.data[0] = delete
        x11.XSendEvent(display, ctypes.c_ulong(int(self.window)), 0, ctypes.c_long(0), ctypes.byref(event))
        x11.XCloseDisplay(display)

    def screenshot(self):
        """The window's pixels, uint8 BGR [H, W, 3]."""
        if shutil.which("import") is None:
            pytest.skip("ImageMagick's import is not installed")
        path = self.folder / "screen.png"
        subprocess.run(["import", "-window", self.window, str(path)], env=self.environment, check=True)
        return cv2.imread(str(path))


@pytest.fixture
def user(screen, tmp_path):
    user = User(screen, tmp_path)
    yield user
    user.program.kill()
    user.program.wait()


@needs_a_screen
def test_a_person_draws_reads_undoes_clears_saves_labels_and_quits(user):
    user.sees("")
    for figure in "0123456789":
        user.draws_and_sees(figure, left=200, top=80, scale=3)
        user.press("c")
        user.sees("")
    user.draws_and_sees("20")
    user.draws_and_sees("26", whole="2026", left=40 + 2 * 105 * 1.5)
    user.press("u")
    user.sees("202")
    user.press("r")
    user.sees("2026")
    user.press("s")
    (picture,) = user.wait_for(lambda: list(user.folder.glob("drawings/*_2026_*.png")))
    user.wait_for(picture.with_suffix(".json").is_file)
    user.press("c")
    user.draws_and_sees("4")
    user.press("4")
    user.sees("")
    (kept,) = read_digits(user.folder / "drawings/drawings.jsonl")
    assert (kept.label, len(kept.strokes)) == (4, 2)
    user.press("BackSpace")
    user.sees("4")
    assert list(read_digits(user.folder / "drawings/drawings.jsonl")) == []
    user.press("question", "Escape")
    user.click(controls.places(user.layout)["clear"])
    user.sees("")
    user.holds("Control_L+z")
    user.sees("4")
    user.holds("Control_L+y")
    user.sees("")
    user.click(places.strip(user.layout, 1)[0])
    user.press("5")
    user.wait_for(lambda: [digit.label for digit in read_digits(user.folder / "drawings/drawings.jsonl")] == [5])
    user.press("Delete")
    user.wait_for(lambda: not list(read_digits(user.folder / "drawings/drawings.jsonl")))
    user.press("q")
    out, err = user.program.communicate(timeout=PATIENCE)
    assert (user.program.returncode, err) == (0, "")
    assert out == "Checkpoint: pretrained, the network that ships with the project\n"


@needs_a_screen
def test_the_window_shows_what_was_drawn_at_any_size(user):
    user.draws_and_sees("7", left=100, top=40, scale=2.5)
    before, sheet = user.screenshot(), user.layout.sheet
    assert before.shape == (672, 1045, 3)
    assert (before[sheet.top : sheet.bottom, sheet.left : sheet.right] < 60).all(axis=2).sum() > 5000  # ink
    user.xdotool(f"windowsize {user.window} 560 400")
    user.layout = Layout(560, 400)
    sheet = user.layout.sheet
    user.wait_for(lambda: user.screenshot().shape == (400, 560, 3))
    user.wait_for(
        lambda: (user.screenshot()[sheet.top : sheet.bottom, sheet.left : sheet.right] < 60).all(axis=2).sum() > 300
    )
    user.draws_and_sees("1", whole="71", left=170, top=40, scale=0.9)  # and the mouse draws where it is
    user.xdotool(
        f"mousemove --window {user.window} 228 75 mousedown 3 mousemove --window {user.window} 234 85 sleep 0.05 "
        + " ".join(
            f"mousemove --window {user.window} {231 + 6 * (y % 3 - 1)} {y} sleep 0.03" for y in range(80, 232, 4)
        )
        + " mouseup 3"
    )
    user.sees("7")
    user.click_the_close_button()
    _, err = user.program.communicate(timeout=PATIENCE)
    assert (user.program.returncode, err) == (0, "")


@needs_a_screen
def test_a_checkpoint_that_cannot_be_read_closes_the_window_with_a_sentence(screen, tmp_path):
    (tmp_path / "broken.ckpt").write_bytes(b"no checkpoint")
    done = run_draw(tmp_path, screen, "ckpt=broken.ckpt")
    assert done.returncode == 2
    assert re.fullmatch(r".*broken\.ckpt.*\n", done.stderr)


def run_draw(folder, environment, *arguments):
    return subprocess.run(
        [sys.executable, str(PROJECT / "scripts/draw.py"), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="has a screen always")
@pytest.mark.parametrize(
    ("display", "told"),
    [
        (None, "There is no display to open a window on (DISPLAY is not set): "),
        (":77", "The display that DISPLAY=:77 names does not answer: "),
    ],
)
def test_without_a_display_one_sentence_says_so_and_what_to_do(tmp_path, display, told):
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = run_draw(tmp_path, environment | ({"DISPLAY": display} if display else {}), "ckpt=pretrained")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
    assert "scripts/predict.py" in done.stderr
    assert "serve" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_opencv_without_windows_is_said(monkeypatch):
    from mnist_lightning.apps import window
    from mnist_lightning.apps.canvas import Canvas
    from mnist_lightning.errors import UserError

    def headless(*_):
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(window, "require_display", lambda: None)
    monkeypatch.setattr(cv2, "namedWindow", headless)
    with pytest.raises(UserError, match=r"opencv-python-headless.*scripts/predict\.py.*serve"):
        window.Window(Canvas(), (1100, 680))
