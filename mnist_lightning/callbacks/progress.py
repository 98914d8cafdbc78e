"""What a person sees while it trains: a bar on a terminal, and one line per epoch everywhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import lightning.pytorch as pl
from tqdm import tqdm

log = logging.getLogger(__name__)


class Progress(pl.Callback):
    """A bar that counts batches, redrawn five times a second, and after each epoch its numbers in one line.

    Args:
        bar: draw the bar; only ever on a terminal.
    """

    def __init__(self, bar: bool = True) -> None:
        self.wants_bar = bar and sys.stderr.isatty()
        self.bar: tqdm[Any] | None = None
        self.began = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the epoch's bar."""
        self.began = time.perf_counter()
        if self.wants_bar and trainer.is_global_zero:
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar = tqdm(
                total=int(trainer.num_training_batches), desc=title, leave=False, mininterval=0.2, unit="batch"
            )

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Count a batch."""
        if self.bar is not None:
            self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar and say the epoch's numbers."""
        self._close()
        if not trainer.is_global_zero:
            return
        now = {name: float(value) for name, value in trainer.callback_metrics.items()}
        words = [
            f"{word} {now[name]:.4f}" if "loss" in name else f"{word} {100 * now[name]:.2f} %"
            for name, word in (
                ("train_loss", "train loss"),
                ("val_loss", "validation loss"),
                ("val_accuracy", "accuracy"),
            )
            if name in now
        ]
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs or 0
        number = f"{epoch:>{len(str(last))}}/{last}" if last > 0 else str(epoch)
        log.info("epoch %s  %s  %.1f s", number, "  ".join(words), time.perf_counter() - self.began)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave no half bar on the terminal."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
