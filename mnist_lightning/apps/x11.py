"""The little that OpenCV does not report about an X server: the size of its screen, and whether Ctrl+Z is held.

OpenCV's Qt windows swallow every key that is pressed together with Ctrl alone (in `CvWindow::keyPressEvent`), so these
keys are read from the keyboard's state. Calls libxcb, which Qt brings along, directly.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from typing import Any

_CONTROL, _SHIFT = (0xFFE3, 0xFFE4), (0xFFE1, 0xFFE2)  # keysyms, left and right
_ACTIONS = {ord("z"): "undo", ord("y"): "redo"}
_HEADER = 32  # bytes of a reply before its list


class Server:
    """A connection to the X server that DISPLAY names; it stays open as long as the program runs.

    A server resets when its last client leaves, and would then not answer Qt.
    """

    def __init__(self) -> None:
        """Connect.

        Raises:
            OSError: there is no libxcb.
        """
        self._xcb = ctypes.CDLL("libxcb.so.1")
        self._libc = ctypes.CDLL(None)
        self._libc.free.argtypes = [ctypes.c_void_p]
        for name in ("xcb_connect", "xcb_get_setup"):
            getattr(self._xcb, name).restype = ctypes.c_void_p
        self._connection = ctypes.c_void_p(self._xcb.xcb_connect(None, None))
        self._held: set[str] = set()

    @property
    def answers(self) -> bool:
        """Whether the server accepted the connection."""
        return self._xcb.xcb_connection_has_error(self._connection) == 0

    def screen_size(self) -> tuple[int, int] | None:
        """Width and height of the first screen, pixels."""
        if not self.answers:
            return None
        iterator = self._xcb.xcb_setup_roots_iterator
        iterator.argtypes, iterator.restype = [ctypes.c_void_p], _Iterator
        screen = iterator(self._xcb.xcb_get_setup(self._connection)).data
        return struct.unpack_from("HH", ctypes.string_at(screen, 24), 20)

    def pressed(self, title: str) -> list[str]:
        """What was pressed with Ctrl since the last call, "undo" or "redo", in this program's window of this title."""
        if not self.answers:
            return []
        held = self._held_now()
        new, self._held = held - self._held, held
        return sorted(new) if new and self._has_focus(title) else []

    def _held_now(self) -> set[str]:
        reply = self._ask("query_keymap")
        if reply is None:
            return set()
        down = {code for code in range(8, 256) if reply[8 + code // 8] >> code % 8 & 1}
        symbols = {symbol for code in down for symbol in self._symbols.get(code, ())}
        if not symbols & {*_CONTROL}:
            return set()
        actions = {_ACTIONS[symbol] for symbol in symbols if symbol in _ACTIONS}
        return {"redo"} if actions == {"undo"} and symbols & {*_SHIFT} else actions

    @functools.cached_property
    def _symbols(self) -> dict[int, tuple[int, ...]]:
        """The keysyms of each key code."""
        reply = self._ask("get_keyboard_mapping", ctypes.c_uint8(8), ctypes.c_uint8(248))
        if reply is None:
            return {}
        each = reply[1]
        words = struct.unpack_from(f"{each * 248}I", reply, _HEADER)
        return {8 + place: words[place * each : (place + 1) * each] for place in range(248)}

    def _has_focus(self, title: str) -> bool:
        """Whether the window that gets the keys has this title, and is not another program's."""
        reply = self._ask("get_input_focus")
        if reply is None:
            return False
        (window,) = struct.unpack_from("I", reply, 8)
        owner = self._property(window, self._owner)
        own = len(owner) != 4 or struct.unpack("I", owner) == (os.getpid(),)
        return own and title in self._property(window, _WM_NAME).decode("latin-1")

    def _property(self, window: int, name: int) -> bytes:
        """The value of a window's property; empty if it has none."""
        reply = self._ask("get_property", *map(ctypes.c_uint32, (0, window, name, _ANY, 0, 256)))
        if reply is None:
            return b""
        return reply[_HEADER : _HEADER + struct.unpack_from("I", reply, 16)[0] * max(reply[1] // 8, 1)]

    @functools.cached_property
    def _owner(self) -> int:
        """The atom of the property with a window's process id."""
        name = b"_NET_WM_PID"
        reply = self._ask("intern_atom", ctypes.c_uint8(0), ctypes.c_uint16(len(name)), ctypes.c_char_p(name))
        return 0 if reply is None else struct.unpack_from("I", reply, 8)[0]

    def _ask(self, request: str, *arguments: Any) -> bytes | None:
        """The server's reply, or None if it refuses."""
        send, receive = getattr(self._xcb, f"xcb_{request}"), getattr(self._xcb, f"xcb_{request}_reply")
        send.restype, receive.restype = ctypes.c_uint, ctypes.c_void_p
        reply = receive(self._connection, ctypes.c_uint(send(self._connection, *arguments)), None)
        if not reply:
            return None
        (length,) = struct.unpack_from("I", ctypes.string_at(reply, 8), 4)
        data = ctypes.string_at(reply, _HEADER + 4 * length)
        self._libc.free(reply)
        return data


_WM_NAME, _ANY = 39, 0  # predefined atoms


class _Iterator(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("rem", ctypes.c_int), ("index", ctypes.c_int))


@functools.cache
def server() -> Server | None:
    """The connection of this process; None where there is no libxcb."""
    try:
        return Server()
    except OSError:
        return None
