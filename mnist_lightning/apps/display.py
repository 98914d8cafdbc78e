"""Whether a window can be opened here, and on how large a screen.

Checked before OpenCV is used: without a display, Qt aborts the whole process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

from mnist_lightning.apps import x11
from mnist_lightning.errors import UserError

INSTEAD = (
    "read image files with `python scripts/predict.py image=...`, "
    "or draw in a browser on another machine with `python scripts/serve.py`."
)


def require_display() -> None:
    """Make sure that OpenCV can open a window.

    Raises:
        UserError: there is no display, it does not answer, or a library that windows need is missing.
    """
    if sys.platform in ("win32", "darwin"):
        return
    plugins = _qt_plugins()
    display, wayland = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    if [plugin.name for plugin in plugins] == ["libqxcb.so"]:
        wayland = None  # the wheels of opencv-python support X only, which Wayland desktops offer too
        os.environ["QT_QPA_PLATFORM"] = "xcb"  # regardless of what other Qt programs are set to use
    if not display and not wayland:
        raise UserError(f"There is no display to open a window on (DISPLAY is not set): {INSTEAD}")
    try:
        for plugin in plugins:
            ctypes.CDLL(str(plugin))
    except OSError as error:
        raise UserError(f"OpenCV's windows need a system library that is missing ({error}): {INSTEAD}") from None
    if display and not wayland and not _x_answers():
        raise UserError(f"The display that DISPLAY={display} names does not answer: {INSTEAD}")


def _qt_plugins() -> list[Path]:
    """The platform plugins of the Qt that comes with OpenCV, if any, found without importing cv2."""
    spec = importlib.util.find_spec("cv2")
    folders = spec.submodule_search_locations if spec else None
    return [plugin for folder in folders or [] for plugin in Path(folder).glob("qt/plugins/platforms/libq*.so")]


def _x_answers() -> bool:
    """Whether the X server that DISPLAY names accepts a connection."""
    server = x11.server()
    return server is None or server.answers  # without libxcb, leave it to OpenCV


def screen_size() -> tuple[int, int] | None:
    """Width and height of the screen in pixels; None where it cannot be determined."""
    if sys.platform == "win32":
        metrics = ctypes.windll.user32.GetSystemMetrics
        return metrics(0), metrics(1)
    if sys.platform == "darwin":
        graphics = ctypes.CDLL("/System/Library/Frameworks/CoreGraphics.framework/CoreGraphics")
        screen = graphics.CGMainDisplayID()
        return graphics.CGDisplayPixelsWide(screen), graphics.CGDisplayPixelsHigh(screen)
    server = x11.server() if os.environ.get("DISPLAY") else None
    return None if server is None else server.screen_size()
