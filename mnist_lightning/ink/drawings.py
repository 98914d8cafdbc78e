"""A folder of labelled drawings: one line a drawing, in the format of the stroke files.

`ink.strokes.read_digits` reads it back. Several windows may add to one folder at a time.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from mnist_lightning.errors import UserError
from mnist_lightning.ink.strokes import Drawing, Stroke

FILE = "drawings.jsonl"
WRITER = "me"


def append(folder: str | Path, strokes: Sequence[Stroke], label: int, writer: str = WRITER) -> int:
    """Add a drawing to `<folder>/drawings.jsonl`; the folder is made where it is missing.

    The line is one write to a file opened for appending, so it stays whole whoever else writes. Half a line at
    the end, of a writer that was killed or had no more disk, is wiped out first.

    Args:
        folder: of the drawings.
        strokes: of one digit.
        label: the digit, 0 to 9.
        writer: whose hand it is.

    Returns:
        How many lines the file has now.

    Raises:
        UserError: the folder or the file cannot be written.
    """
    data = Drawing(list(strokes)).to_data()
    line = json.dumps({"id": secrets.token_hex(8), "label": label, "writer": writer, **data}, separators=(",", ":"))
    path = Path(folder) / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _wipe_half_a_line(file, path)
            os.write(file, (line + "\n").encode())
        finally:
            os.close(file)
        with path.open("rb") as lines:
            return sum(1 for each in lines if each.strip())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another folder with drawings=.") from None


def _wipe_half_a_line(file: int, path: Path) -> None:
    """Turn what stands behind the last line end into blank lines, which readers skip."""
    size = os.fstat(file).st_size
    if size == 0 or _last_byte(file, size) == b"\n":
        return
    time.sleep(0.1)  # another window may be in the middle of its write
    if os.fstat(file).st_size != size:
        return
    # In place and not by cutting the file: what others append meanwhile lies behind it and stays.
    with path.open("r+b") as whole:
        begin = whole.read(size).rfind(b"\n") + 1
        whole.seek(begin)
        whole.write(b"\n" * (size - begin))


def _last_byte(file: int, size: int) -> bytes:
    os.lseek(file, size - 1, os.SEEK_SET)
    return os.read(file, 1)
