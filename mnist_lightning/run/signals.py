"""Ctrl-C and SIGTERM, handled for a while."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def handled(handle: Callable[[int], None], *, once: bool = False) -> Iterator[None]:
    """Within, `handle` gets the number of each of these signals that arrives; outside the main thread none does.

    Args:
        handle: called between two instructions of the main thread, whatever they are: it had better raise nothing.
        once: whether the second signal goes where it would have gone without this.
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
