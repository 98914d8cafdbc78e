"""The OpenCV window around the canvas: its events in, its picture out, and the network loaded in the background."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cv2
from annotated_types import Ge, Le

from mnist_lightning import compat
from mnist_lightning.apps import x11
from mnist_lightning.apps.canvas import NAME, Canvas
from mnist_lightning.apps.display import INSTEAD, require_display, screen_size
from mnist_lightning.apps.layout import fitting
from mnist_lightning.apps.view import View
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs

if TYPE_CHECKING:
    from mnist_lightning.inference.reader import Reader

_BUSY, _IDLE = 1, 15  # milliseconds to wait for events while the pen is down, and while it is not


class Window:
    """A canvas on the screen."""

    def __init__(self, canvas: Canvas, size: tuple[int, int] | None = None) -> None:
        """Open the window, `size` being its width and height in pixels; None for what fits the screen.

        Raises:
            UserError: there is no display, or this OpenCV has no windows.
        """
        require_display()
        size = size or fitting(screen_size())
        self.canvas, self.view = canvas, View()
        self._events: list[tuple[int, int, int, int]] = []
        self._title = NAME
        self._is_stale = True
        try:
            # No fixed aspect ratio, no toolbar of OpenCV's own; the canvas is drawn at the size that the window has.
            cv2.namedWindow(NAME, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error:
            raise UserError(
                "This OpenCV cannot open windows: install `opencv-python` in place of `opencv-python-headless`, "
                f"or {INSTEAD}"
            ) from None
        cv2.resizeWindow(NAME, *size)
        canvas.resize(*size)
        cv2.setMouseCallback(NAME, self._on_mouse)
        speaks_x = sys.platform not in ("win32", "darwin") and os.environ.get("DISPLAY")
        self._keyboard = x11.server() if speaks_x else None

    def refresh(self) -> None:
        """Redraw the canvas at the next `step`, even if no event came."""
        self._is_stale = True

    def step(self) -> None:
        """Show what has changed, then wait a moment for events and hand them to the canvas."""
        self.show()
        self._hand_on(cv2.waitKeyEx(_BUSY if self.canvas.is_down else _IDLE))
        if not _is_visible():
            self.canvas.open = False

    def show(self) -> None:
        """Put the picture into the window, if anything happened since the last time."""
        width, height = cv2.getWindowImageRect(NAME)[2:]
        layout = self.canvas.layout
        if width > 0 and height > 0 and (width, height) != (layout.width, layout.height):
            self.canvas.resize(width, height)
            self._is_stale = True
        if not self._is_stale:
            return
        self._is_stale = False
        cv2.imshow(NAME, self.view.picture(self.canvas))
        if self.canvas.title != self._title:
            self._title = self.canvas.title
            cv2.setWindowTitle(NAME, self._title)

    def close(self) -> None:
        """Close the window; it may be gone already."""
        cv2.destroyAllWindows()
        cv2.waitKey(1)

    def _on_mouse(self, event: int, x: int, y: int, flags: int, _: Any) -> None:
        self._events.append((event, x, y, flags))  # handled outside: OpenCV would swallow exceptions raised here

    def _hand_on(self, key: int) -> None:
        events, self._events = self._events, []
        for event, x, y, flags in events:
            self._hand_on_mouse(event, x, y, flags)
        if key != -1:
            self.canvas.key(key)
            self._is_stale = True
        for action in self._keyboard.pressed(NAME) if self._keyboard is not None else ():
            self.canvas.release()
            self.canvas.act(action)
            self._is_stale = True

    def _hand_on_mouse(self, event: int, x: int, y: int, flags: int) -> None:
        canvas = self.canvas
        if event in (cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONDBLCLK):  # a double click is two strokes
            canvas.press(x, y)
        elif event in (cv2.EVENT_RBUTTONDOWN, cv2.EVENT_RBUTTONDBLCLK):
            canvas.press_eraser(x, y)
        elif not canvas.is_down:
            self._is_stale |= canvas.hover(x, y)
            return
        elif event in (cv2.EVENT_LBUTTONUP, cv2.EVENT_RBUTTONUP):
            canvas.release()
        elif not flags & (cv2.EVENT_FLAG_LBUTTON | cv2.EVENT_FLAG_RBUTTON):
            canvas.release()  # the button went up without an event
        else:
            canvas.move(x, y)
        self._is_stale = True


def _is_visible() -> bool:
    try:
        return cv2.getWindowProperty(NAME, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # Qt raises this when its last window is gone
        return False


def draw(
    *,
    ckpt: str | None = None,
    outputs: str = "outputs",
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu",
    sure: Annotated[float, Ge(0), Le(1)] | None = None,
    allow: Sequence[str] = (),
    pen_width: Annotated[float, Ge(4), Le(60)] = 20,
    drawings: str = "drawings",
    window: tuple[Annotated[int, Ge(200)], Annotated[int, Ge(200)]] | None = None,
    theme: Literal["light", "dark"] = "light",
) -> None:
    """Open the window and let the user draw until it is closed; the settings are those of conf/draw.yaml.

    The window opens at once, and can be drawn on while torch and the network are loaded in another thread.

    Raises:
        UserError: no display, no such checkpoint, or one that cannot be read.
    """
    path, word = runs.find_checkpoint(ckpt, Path(outputs))
    canvas = Canvas(pen_width, Path(drawings).expanduser(), theme == "dark", network=short_name(word))
    screen = Window(canvas, None if window is None else (window[0], window[1]))
    print(f"Checkpoint: {word}", flush=True)
    with ThreadPoolExecutor(1) as pool:
        try:
            screen.step()
            loading: Future[Reader] | None = pool.submit(load_reader, path, device, sure, allow)
            while canvas.open:
                if loading is not None and loading.done():
                    canvas.reader, loading = loading.result(), None
                    screen.refresh()
                screen.step()
        finally:
            screen.close()


def short_name(word: str) -> str:
    """The window's name for the network that `runs.find_checkpoint` describes as `word`."""
    return "pretrained" if word.startswith("pretrained") else word


def load_reader(path: Path, device: str, sure: float | None, allow: Sequence[str] = ()) -> Reader:
    """Load a network, and read once, so that the first reading is as fast as the others."""
    with compat.heavy_imports():
        from mnist_lightning.inference.predictor import Predictor
        from mnist_lightning.inference.reader import Reader
        from mnist_lightning.ink.strokes import Stroke

    # Reading a single digit takes less time than handing it to other threads.
    cv2.setNumThreads(1)
    reader = Reader(Predictor.load(path, device, threads=1, allow=allow), sure)
    reader.read([Stroke([(0.0, 0.0), (0.0, 9.0)])])
    return reader
