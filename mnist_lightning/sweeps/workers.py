"""Which of the processes that work on a study are alive.

A process holds a lock on a file of its own for as long as it lives. The system releases the lock however the process
ends, and a reused process number cannot mislead. A process on another machine, which cannot see that file, watches the
heartbeat in the storage instead; clocks are never compared.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

HEARTBEAT = 15.0  # seconds between two beats
GRACE = 90.0  # seconds without a beat after which a process on another machine counts as dead


class Worker:
    """This process.

    Args:
        folder: where the lock files are.
        beat: writes one heartbeat for all to see; None where all see the lock files.
    """

    def __init__(self, folder: Path, beat: Callable[[str], None] | None = None) -> None:
        self.host = socket.gethostname()
        self.name = f"{self.host}-{os.getpid()}-{secrets.token_hex(3)}"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{self.name}.lock"
        self._lock = FileLock(self._file)
        self._lock.acquire(timeout=0)
        self._over = threading.Event()
        if beat is not None:
            threading.Thread(target=self._beat, args=(beat,), daemon=True).start()

    def _beat(self, beat: Callable[[str], None]) -> None:
        while True:
            try:
                beat(self.name)
            except Exception:
                time.sleep(1)  # the storage is unreachable; if for long, others take over, as they should
            if self._over.wait(HEARTBEAT):
                return

    def close(self) -> None:
        """Release the lock: for the others this process has ended."""
        self._over.set()
        self._lock.release()
        self._file.unlink(missing_ok=True)


class Watch:
    """The other processes, as this one sees them.

    Args:
        folder: where the lock files are.
        beats: reads the last heartbeat of a process; None where all of them see the lock files.
    """

    def __init__(self, folder: Path, beats: Callable[[str], object] | None = None) -> None:
        self.folder, self.beats = folder, beats
        self._seen: dict[str, tuple[object, float]] = {}

    def lives(self, name: str) -> bool:
        """Whether the process is alive, or may be."""
        file = self.folder / f"{name}.lock"
        here = name.startswith(f"{socket.gethostname()}-")
        if file.exists() and (here or self.beats is None):
            lock = FileLock(file)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return True
            lock.release()
            file.unlink(missing_ok=True)
            return False
        if self.beats is None:
            return False
        beat, now = self.beats(name), time.monotonic()
        last, since = self._seen.setdefault(name, (beat, now))
        if beat != last:
            self._seen[name] = beat, now
            return True
        return now - since < GRACE
