"""A folder of labelled drawings: one line per drawing, in the format of the stroke files.

`ink.strokes.read_digits` reads it back. Several windows may add to one folder at the same time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from mnist_lightning.errors import UserError
from mnist_lightning.ink.strokes import Drawing, Stroke, WrittenDigit, read_digit

FILE = "drawings.jsonl"
WRITER = "me"


def new_id() -> str:
    """A unique identity for a drawing."""
    return secrets.token_hex(8)


def append(
    folder: str | Path, strokes: Sequence[Stroke], label: int, writer: str = WRITER, identity: str | None = None
) -> int:
    """Add a drawing to `<folder>/drawings.jsonl`; the folder is created if it is missing.

    The line is one write to a file opened for appending, so it stays whole whoever else writes. Half a line at
    the end, from a writer that was killed or ran out of disk space, is blanked out first.

    Args:
        folder: of the drawings.
        strokes: of one digit.
        label: the digit, 0 to 9.
        writer: whose hand it is.
        identity: by which `relabel` and `remove` find it; None for a new one.

    Returns:
        How many lines the file has now.

    Raises:
        UserError: the folder or the file cannot be written.
    """
    data = Drawing(list(strokes)).to_data()
    known = {"id": identity or new_id(), "label": label, "writer": writer}
    line = json.dumps({**known, **data}, separators=(",", ":"))
    path = Path(folder) / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # writing to a pipe might block forever
            raise OSError(errno.EINVAL, "not a file")
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _wipe_half_a_line(file, path)
            content = (line + "\n").encode()
            if os.write(file, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # the half line is blanked out next time
            os.fsync(file)  # otherwise a power cut may lose the drawing
        finally:
            os.close(file)
        with path.open("rb") as lines:
            return sum(1 for each in lines if each.strip())
    except OSError as error:
        raise _cannot_write(path, error) from None


def relabel(folder: str | Path, identity: str, label: int) -> bool:
    """Give a drawing another label, in place: what others append meanwhile is kept.

    Returns:
        Whether there is such a drawing.

    Raises:
        UserError: the file cannot be written.
    """
    return _overwrite(Path(folder) / FILE, identity, lambda line: _LABEL.sub(rb"\g<1>%d" % label, line, count=1))


def remove(folder: str | Path, identity: str) -> bool:
    """Remove a drawing from the file: its line becomes blank, and readers skip it.

    Returns:
        Whether there was such a drawing.

    Raises:
        UserError: the file cannot be written.
    """
    return _overwrite(Path(folder) / FILE, identity, lambda line: b" " * len(line))


def last(folder: str | Path, count: int) -> list[WrittenDigit]:
    """The last `count` drawings of a folder, the newest first, without those that have no id or cannot be read."""
    path, found = Path(folder) / FILE, list[WrittenDigit]()
    try:
        lines = _last_lines(path, 4 * count)
    except OSError:
        return []
    for line in reversed(lines):
        with contextlib.suppress(UserError, UnicodeDecodeError):
            digit = read_digit(line.decode(), str(path)) if line.strip() else None
            if digit is not None and digit.id:
                found.append(digit)
        if len(found) == count:
            break
    return found


_LABEL = re.compile(rb'("label"\s*:\s*)\d')
_TAIL = 1 << 22  # bytes at the file's end that are searched for the last drawings


def _last_lines(path: Path, most: int) -> list[bytes]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL, 0))
        lines = file.read().splitlines()
    return (lines if size <= _TAIL else lines[1:])[-most:]


def _overwrite(path: Path, identity: str, change: Callable[[bytes], bytes]) -> bool:
    """Overwrite the line of a drawing with one of the same length."""
    known = re.compile(rb'"id"\s*:\s*"%s"' % re.escape(identity.encode()))
    try:
        with path.open("r+b") as file:
            begin = 0
            for line in file:
                if known.search(line):
                    file.seek(begin)
                    text = line.rstrip(b"\n")
                    file.write(change(text))
                    return True
                begin += len(line)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _cannot_write(path, error) from None
    return False


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written ({error.strerror}): choose another folder with drawings=.")


def _wipe_half_a_line(file: int, path: Path) -> None:
    """Turn what follows the last line end into a blank line, which readers skip."""
    size = os.fstat(file).st_size
    if size == 0 or _last_byte(file, size) == b"\n":
        return
    time.sleep(0.1)  # another window may be in the middle of its write
    if os.fstat(file).st_size != size:
        return
    # In place, without truncating the file: what others append meanwhile follows it and is kept.
    with path.open("r+b") as whole:
        begin = _begin_of_line(whole, size)
        whole.seek(begin)
        whole.write(b" " * (size - begin - 1) + b"\n")


def _begin_of_line(file: IO[bytes], end: int) -> int:
    """Start of the line that extends to `end`."""
    begin = end
    while begin > 0:
        start = max(begin - (1 << 16), 0)
        file.seek(start)
        found = file.read(begin - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        begin = start
    return 0


def _last_byte(file: int, size: int) -> bytes:
    os.lseek(file, size - 1, os.SEEK_SET)
    return os.read(file, 1)
