"""Requests -> batches: those that wait while a batch is read go into the next one.

A lone request never waits for others. Reading is done by one thread, which spends its time in ONNX Runtime, outside
Python's lock. The number of waiting images is limited; a request beyond it is refused at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from mnist_lightning.service.problems import Full

Read = Callable[[np.ndarray], np.ndarray]
"""Images uint8 [N, 28, 28] -> probabilities float32 [N, C]."""


class Batcher:
    """Reads images in batches.

    Attributes:
        waiting: images that are accepted and not answered yet.
        capacity: how many of them there may be.
    """

    def __init__(self, read: Read, *, capacity: int, largest: int, watch: Callable[[int], None] = lambda _: None):
        """Make a batcher; `start` it within an event loop.

        Args:
            read: reads one batch, in the thread.
            capacity: images that may wait at a time.
            largest: images in a batch at most; a larger part is a batch of its own.
            watch: called with the size of each batch.
        """
        self.capacity, self._largest, self._read, self._watch = capacity, largest, read, watch
        self.waiting = 0
        self._parts: deque[tuple[np.ndarray, asyncio.Future[np.ndarray]]] = deque()
        self._busy = False
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)

    def start(self) -> None:
        """Start the thread that reads; call it in the event loop that `read` will be awaited in."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End the thread once it has read what it was given."""
        self._jobs.put(None)
        self._thread.join()

    @property
    def full(self) -> bool:
        """Whether not even one more image is accepted."""
        return self.waiting >= self.capacity

    def reserve(self, count: int) -> None:
        """Reserve room for `count` images, until `release` is called.

        Raises:
            Full: there is none.
        """
        if self.waiting + count > self.capacity:
            raise Full
        self.waiting += count

    def release(self, count: int) -> None:
        """Give reserved room back."""
        self.waiting -= count

    async def read(self, images: np.ndarray) -> np.ndarray:
        """The probabilities of images for which there is room; raises what reading raised."""
        future: asyncio.Future[np.ndarray] = self._loop.create_future()
        self._parts.append((images, future))
        if not self._busy:
            self._next()
        return await future

    def _next(self) -> None:
        """Give the thread a batch of what is waiting."""
        chosen: list[tuple[np.ndarray, asyncio.Future[np.ndarray]]] = []
        count = 0
        while self._parts and (not chosen or count + len(self._parts[0][0]) <= self._largest):
            part = self._parts.popleft()
            if not part[1].done():  # its request was cancelled
                chosen.append(part)
                count += len(part[0])
        self._busy = bool(chosen)
        if chosen:
            self._watch(count)
            self._jobs.put(chosen)

    def _work(self) -> None:
        while (chosen := self._jobs.get()) is not None:
            result: np.ndarray | Exception
            try:
                images = chosen[0][0] if len(chosen) == 1 else np.concatenate([images for images, _ in chosen])
                result = self._read(images)
            except Exception as error:
                result = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is waiting any more
                self._loop.call_soon_threadsafe(self._deliver, chosen, result)

    def _deliver(self, chosen: list[tuple[np.ndarray, asyncio.Future[np.ndarray]]], result: Any) -> None:
        self._next()  # first, so that the thread works while the answers are written
        start = 0
        for images, future in chosen:
            if not future.done():
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result[start : start + len(images)])
            start += len(images)
