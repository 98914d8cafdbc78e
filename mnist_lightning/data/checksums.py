"""Checksums of the IDX files on disk: each file is hashed once, and again only after it has changed.

The digests are stored next to the files, in `checksums.json`, with the size and the times that each file had when it
was hashed. They protect against damage and mix-ups, not against somebody who can write to the data folder.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnist_lightning.data.download import part_file
from mnist_lightning.data.idx import encode_header

FILE = "checksums.json"

# SHA-256 of the unpacked files of MNIST. The other sets are compared with what was unpacked when they were fetched.
PUBLISHED: dict[str, dict[str, str]] = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
}

_LARGEST = 1 << 16  # bytes of `checksums.json`; four entries take under 1,000

Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change of the content and of the entry, nanoseconds."""


def stamp_of(status: os.stat_result) -> Stamp:
    """What changes when a file is written, replaced or copied over."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def sha256(values: np.ndarray) -> str:
    """SHA-256, hexadecimal, of the IDX file that holds these uint8 values."""
    digest = hashlib.sha256(encode_header(values))
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


@dataclass
class Checksums:
    """The checksums of one data set's folder.

    Args:
        raw: the folder with the four IDX files.
        name: of the data set, a key of `archives.TORCHVISION`.
    """

    raw: Path
    name: str
    _known: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._known = _read(self.raw / FILE)

    def fault(self, part: str, values: np.ndarray, stamp: Stamp) -> str | None:
        """What is wrong with the content of a file, as part of a sentence, or None. Hashes it unless done before.

        Args:
            part: name of the IDX file.
            values: its content, uint8.
            stamp: of the opened file that the content was read from.
        """
        expected = self.expected(part)
        if expected is None:
            return "cannot be checked: no checksum of it is known"
        if self._known.get(part) == _entry(expected, stamp):
            return None
        found = sha256(values)
        if found != expected:
            others = [other for other in self._parts() if other != part and self.expected(other) == found]
            return f"holds the content of {others[0]}" if others else "is not the published file (wrong SHA-256)"
        self.note(part, expected, stamp)
        return None

    def expected(self, part: str) -> str | None:
        """The digest that a file must have; None if nothing is known about it."""
        return PUBLISHED.get(self.name, {}).get(part) or self._known.get(part, {}).get("sha256")

    def note(self, part: str, digest: str, stamp: Stamp) -> None:
        """Remember that a file with this stamp has this digest. Not kept where the folder cannot be written."""
        # What it knows itself stays: another process that loads the set may have written the file without it meanwhile.
        self._known = {**self._known, **_read(self.raw / FILE), part: _entry(digest, stamp)}
        with suppress(OSError), part_file(self.raw / FILE) as new:
            new.write_text(json.dumps(self._known, indent=1) + "\n", encoding="utf-8")
            new.replace(self.raw / FILE)

    def _parts(self) -> set[str]:
        return {*PUBLISHED.get(self.name, ()), *self._known}


def _entry(digest: str, stamp: Stamp) -> dict[str, Any]:
    return {"sha256": digest, "stamp": list(stamp)}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of `checksums.json`; none where it is missing or damaged, and then the files are hashed again."""
    try:
        with path.open("rb") as file:
            known = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    entries = known.items() if isinstance(known, dict) else ()
    return {part: entry for part, entry in entries if isinstance(entry, dict) and isinstance(entry.get("sha256"), str)}
