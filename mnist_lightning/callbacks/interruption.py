"""Ctrl-C and SIGTERM end training between two batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl

from mnist_lightning.distributed import ranks
from mnist_lightning.errors import Interrupted
from mnist_lightning.run import signals


class Interruption(pl.Callback):
    """Notes a signal when it arrives and raises Interrupted at the next batch.

    A handler that raises at once may do so anywhere: while a file is being written, or in a finaliser, where Python
    swallows the exception.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Note Ctrl-C and SIGTERM in the block; a second one ends the program in the usual way.

        With several ranks, the first ends the run: the others go on, since it may be waiting for them, and end with it.

        Raises:
            Interrupted: at the end of the block, if no batch came after the signal.
        """
        if ranks.place().rank > 0:
            with signals.handled(lambda _: None):
                yield
            return
        with signals.handled(self._note, once=True):
            yield
        self._end_if_noted()

    def on_train_batch_start(self, *args: Any) -> None:
        """End the run if a signal was noted."""
        self._end_if_noted()

    def on_validation_batch_start(self, *args: Any) -> None:
        """End the run if a signal was noted."""
        self._end_if_noted()

    def _note(self, signum: int) -> None:
        self.signum = signum

    def _end_if_noted(self) -> None:
        if self.signum is not None:
            raise Interrupted(self.signum)
