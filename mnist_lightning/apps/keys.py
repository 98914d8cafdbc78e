"""What each key does, by the code that OpenCV's windows give it on Linux, Windows and macOS."""

from __future__ import annotations

import sys

ACTIONS = {
    "undo": ("u, Ctrl+Z, Backspace", "undo, a label too"),
    "redo": ("r, Ctrl+Y", "redo"),
    "clear": ("c, Space", "a fresh sheet"),
    "delete": ("Delete", "the chosen drawing, or the sheet"),
    "thinner": ("[ or -", "thinner pen"),
    "thicker": ("] or +", "thicker pen"),
    "erase": ("e", "left button: draw or erase"),
    "why": ("h", "what decided, in colours"),
    "save": ("s", "save picture and strokes"),
    "theme": ("d", "dark or light"),
    "help": ("? or F1", "this list"),
    "close": ("Esc", "close what is open"),
    "quit": ("q", "quit"),
}
"""Action -> its keys and what it does, in words."""

MOUSE = {
    "left button": "draw",
    "right button": "erase",
    "0 to 9": "keep the drawing as this digit",
    "click a small picture": "its probabilities; a label",
}
"""What else the help lists."""

_LETTERS = {
    "u": "undo", "r": "redo", "c": "clear", " ": "clear", "[": "thinner", "-": "thinner", "]": "thicker",
    "+": "thicker", "=": "thicker", "e": "erase", "h": "why", "s": "save", "d": "theme", "?": "help", "q": "quit",
    "\x1a": "undo", "\x19": "redo", "\x1b": "close",
}  # fmt: skip
_BACKSPACE = {8, 0xFF08} | ({127} if sys.platform == "darwin" else set())
_DELETE = {0xFFFF, 0xFF9F, 0x2E0000, 0xF728} | ({127} if sys.platform != "darwin" else set())
_F1 = {0xFFBE, 0x700000, 0xF704}
_KEYPAD_0 = 0xFFB0  # X's keysym of 0 on the numeric keypad; 1 to 9 follow in order
_CONTROL = 0x40000  # GTK's modifier


def action(code: int) -> str | None:
    """What a key does: a name in `ACTIONS`, a digit as text, or None. Upper and lower case are equivalent.

    Args:
        code: as `cv2.waitKeyEx` returns it, or an ASCII code.
    """
    if code <= 0:
        return None
    for codes, name in ((_BACKSPACE, "undo"), (_DELETE, "delete"), (_F1, "help")):
        if code in codes or code & 0xFFFF in codes:
            return name
    letter = code & 0xFFFF  # the higher bits are the modifier keys, in some builds
    if 0 <= letter - _KEYPAD_0 <= 9:
        return str(letter - _KEYPAD_0)
    name = chr(letter).lower() if 0 < letter < 128 else ""
    if code & _CONTROL:
        return {"z": "undo", "y": "redo"}.get(name)
    return name if name.isdigit() else _LETTERS.get(name)
