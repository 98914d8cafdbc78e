import asyncio
import threading

import numpy as np
import pytest

from mnist_lightning.service.batcher import Batcher
from mnist_lightning.service.problems import Full


def pictures(*values):
    return np.array(values, np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)


class Slow:
    """Reads when it is let: the probability is the pixel."""

    def __init__(self):
        self.batches, self.gate = [], threading.Semaphore(0)

    def __call__(self, images):
        self.gate.acquire()
        self.batches.append(images[:, 0, 0].tolist())
        if 13 in self.batches[-1]:
            raise ValueError("unlucky")
        return images[:, 0, :1].astype(np.float32)


def run(scenario, **settings):
    """Run `scenario(batcher, reader)` in a loop."""

    async def main():
        slow = Slow()
        batcher = Batcher(slow, **{"capacity": 10, "largest": 4} | settings)
        batcher.start()
        try:
            return await scenario(batcher, slow)
        finally:
            slow.gate.release(100)
            batcher.stop()

    return asyncio.run(main())


def test_a_lone_request_does_not_wait_and_what_comes_meanwhile_is_one_batch():
    async def scenario(batcher, slow):
        first = asyncio.create_task(batcher.read(pictures(1)))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(batcher.read(pictures(*values))) for values in ([2], [3, 4], [5])]
        await asyncio.sleep(0.01)
        slow.gate.release(9)
        found = [(await task).ravel().tolist() for task in (first, *others)]
        return found, slow.batches

    assert run(scenario) == ([[1], [2], [3, 4], [5]], [[1], [2, 3, 4, 5]])


def test_a_batch_has_no_more_than_the_largest_unless_one_request_has():
    async def scenario(batcher, slow):
        slow.gate.release(9)
        await asyncio.gather(*(batcher.read(pictures(*values)) for values in ([1], [2, 3, 4], [5, 6], range(20, 27))))
        return slow.batches

    assert run(scenario) == [[1], [2, 3, 4], [5, 6], list(range(20, 27))]


def test_a_full_queue_refuses_at_once_and_room_comes_back():
    async def scenario(batcher, _slow):
        batcher.reserve(9)
        with pytest.raises(Full):
            batcher.reserve(2)
        batcher.reserve(1)
        assert batcher.full
        batcher.release(1)
        assert not batcher.full
        assert batcher.waiting == 9

    run(scenario)


def test_what_reading_raises_reaches_those_who_asked_and_nobody_else():
    async def scenario(batcher, slow):
        slow.gate.release(9)
        first, second = await asyncio.gather(
            batcher.read(pictures(13)), batcher.read(pictures(2)), return_exceptions=True
        )
        return type(first), second.tolist()

    assert run(scenario) == (ValueError, [[2]])


def test_a_request_that_went_away_is_not_read():
    async def scenario(batcher, slow):
        first = asyncio.create_task(batcher.read(pictures(1)))
        await asyncio.sleep(0.01)
        gone, stays = (asyncio.create_task(batcher.read(pictures(value))) for value in (2, 3))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        slow.gate.release(9)
        await asyncio.gather(first, stays)
        return slow.batches

    assert run(scenario) == [[1], [3]]
