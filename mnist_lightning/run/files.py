"""The one way in which files are written, whole or not at all; and the digest that identifies them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mnist_lightning.errors import UserError


def write_atomically(path: Path, data: bytes | Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that a reader sees either the old file or the whole new one, even if this process is killed.

    It is written next to `path`, flushed to disk, and renamed.

    Args:
        path: the file.
        data: its content, or a function that writes it into an open file.

    Raises:
        UserError: the disk is full, or the folder cannot be written to; the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data) if isinstance(data, bytes) else data(file)
        put_in_place(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); what was there before is unchanged.") from None
    finally:
        with contextlib.suppress(OSError):  # a file system that has become read-only says so before it looks
            temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a finished file its name: flush it to disk, and rename it. Both lie in one folder.

    Raises:
        OSError: the disk is full, or the folder cannot be written to; the old file is still there.
    """
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the rename to disk, where the system can do so: Windows opens no folders, some network disks flush none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # the file is there; only a power cut could still undo its renaming
                os.fsync(handle)
        finally:
            os.close(handle)


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, by which others identify it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, atomically."""
    write_atomically(path, text.encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """Write plain data as JSON, atomically: lists of numbers on one line, NaN and infinity as null."""
    write_atomically(path, (_dump(data) + "\n").encode("utf-8"))


def _dump(data: Any, indent: str = "") -> str:
    """JSON with objects spread over lines and lists of plain values on one line each."""
    deeper = indent + "  "
    if isinstance(data, dict) and data:
        lines = (f"{deeper}{json.dumps(str(key))}: {_dump(value, deeper)}" for key, value in data.items())
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(data, list | tuple):
        if any(isinstance(each, dict | list | tuple) for each in data):
            return "[\n" + ",\n".join(f"{deeper}{_dump(each, deeper)}" for each in data) + f"\n{indent}]"
        return "[" + ", ".join(_dump(each) for each in data) + "]"
    if isinstance(data, float) and not math.isfinite(data):
        return "null"
    return json.dumps(data)
