"""A load generator over HTTP/1.1: a number of connections, each sending its next request when the last is answered.

    python benchmarks/load.py http://127.0.0.1:8000/v1/predict connections=64 seconds=10 body=digit.png type=image/png

Its own work per request is about ten microseconds, far below what a Python server takes; it runs in one thread.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Outcome:
    """The outcome of a load.

    Attributes:
        statuses: how many answers of each status; 0 for a connection that broke during a request.
        seconds: latency of each answer with status 200.
        took: seconds that the whole load took.
        refused: connections that were not accepted.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    took: float = 0.0
    refused: int = 0

    def summary(self) -> dict[str, Any]:
        """Requests per second, median and 99th percentile in milliseconds, statuses."""
        ordered = sorted(self.seconds)
        at = [1000 * ordered[int(share * (len(ordered) - 1))] if ordered else None for share in (0.5, 0.99, 1)]
        return {
            "per_second": round(len(ordered) / self.took, 1) if self.took else 0.0,
            "median_ms": at[0], "p99_ms": at[1], "max_ms": at[2],
            "statuses": dict(self.statuses), "refused": self.refused,
        }  # fmt: skip


class _Client(asyncio.Protocol):
    """One connection. Answers must have a content-length."""

    def __init__(self, load: _Load) -> None:
        self._load, self._buffer, self._began, self._asked = load, b"", 0.0, False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if self._load.over:
            self._transport.close()
            return
        self._began, self._asked = time.perf_counter(), True
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].partition(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        status = int(head[9:12])
        outcome = self._load.outcome
        outcome.statuses[status] += 1
        if status == 200:
            outcome.seconds.append(time.perf_counter() - self._began)
        self._buffer, self._asked = self._buffer[end + 4 + length :], False
        if b"\r\nconnection: close" in head:
            self._transport.close()
        elif self._load.pause:
            asyncio.get_running_loop().call_later(self._load.pause, self._ask)
        else:
            self._ask()

    def connection_lost(self, _error: Any) -> None:
        if self._asked:
            self._load.outcome.statuses[0] += 1
        self._load.reconnect()


class _Load:
    def __init__(self, url: str, connections: int, body: bytes, kind: str, pause: float, headers: str) -> None:
        parts = urlsplit(url)
        self._at = (parts.hostname or "127.0.0.1", parts.port or 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}"
        if body:
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self.request = head.encode() + b"\r\n" + body
        self.connections, self.pause, self.outcome, self.over = connections, pause, Outcome(), False
        self._tasks: set[asyncio.Task[None]] = set()

    def reconnect(self) -> None:
        if not self.over:
            task = asyncio.ensure_future(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Client(self), *self._at)
        except OSError:
            self.outcome.refused += 1
            await asyncio.sleep(0.05)
            self.reconnect()

    async def run(self, seconds: float) -> Outcome:
        began = time.perf_counter()
        for _ in range(self.connections):
            self.reconnect()
        await asyncio.sleep(seconds)
        self.over, self.outcome.took = True, time.perf_counter() - began
        await asyncio.sleep(0.5)
        return self.outcome


def run(url: str, connections: int, seconds: float, body: bytes = b"", kind: str = "image/png", pause: float = 0.0,
        headers: str = "") -> Outcome:  # fmt: skip
    """Put load on a server.

    Args:
        url: of the route.
        connections: open at a time.
        seconds: for how long.
        body: of each request; none for a GET.
        kind: media type of the body.
        pause: seconds that a connection waits between an answer and its next request.
        headers: further header lines, each with its line end.
    """
    try:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    load = _Load(url, connections, body, kind, pause, headers)
    try:
        return loop.run_until_complete(load.run(seconds))
    finally:
        loop.close()


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[2:])
    content = Path(given["body"]).read_bytes() if "body" in given else b""
    found = run(sys.argv[1], int(given.get("connections", 64)), float(given.get("seconds", 5)), content,
                given.get("type", "image/png"), float(given.get("pause", 0)))  # fmt: skip
    print(json.dumps(found.summary()))
