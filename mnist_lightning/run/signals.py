"""Ctrl-C and SIGTERM, handled temporarily."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def handled(handle: Callable[[int], None], *, once: bool = False) -> Iterator[None]:
    """Pass the number of each of these signals that arrives in the block to `handle`; only the main thread gets any.

    Args:
        handle: called between any two instructions of the main thread, so it should not raise.
        once: whether the second signal goes to the previous handler.
    """

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    def note(signum: int, _frame: Any) -> None:
        if once:
            restore()
        handle(signum)

    before: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # not in the main thread: signals go elsewhere
        before = {each: signal.signal(each, note) for each in ENDING}
    try:
        yield
    finally:
        restore()
