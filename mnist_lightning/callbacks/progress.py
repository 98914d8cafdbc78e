"""What the user sees during training: a bar on a terminal, and one line per epoch everywhere."""

from __future__ import annotations

import logging
import math
import sys
import time
from typing import Any

import lightning.pytorch as pl
from tqdm import tqdm

log = logging.getLogger(__name__)


REDRAWN = 0.2  # seconds between two redraws of the bar


class Progress(pl.Callback):
    """A bar that counts batches, redrawn five times per second, and one line of numbers after each epoch.

    After the bar come the mean training loss of the epoch so far, the accuracy of the last validation, images per
    second, and the remaining time of the whole run. The loss is read when the bar is drawn, not in each step, which
    would wait for the device.

    Args:
        bar: draw the bar, which is only done on a terminal.
    """

    def __init__(self, bar: bool = True) -> None:
        self.wants_bar = bar and sys.stderr.isatty()
        self.bar: tqdm[Any] | None = None
        self.began = self.shown = time.perf_counter()
        self.batches = self.images = 0  # of this process, and of this epoch
        self.accuracy: Any = None  # of the last validation

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the run; a resumed one has less to do."""
        self.run_began = time.perf_counter()
        self.to_do = _batches(trainer) - _done(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the epoch's bar."""
        self.accuracy = trainer.callback_metrics.get("val_accuracy", self.accuracy)  # the module forgets it now
        self.began, self.images = time.perf_counter(), 0
        if self.wants_bar and trainer.is_global_zero:
            limit = trainer.max_epochs if (trainer.max_epochs or -1) > 0 else "?"
            title = f"epoch {trainer.current_epoch + 1}/{limit}"
            count = trainer.num_training_batches
            total = int(count) if math.isfinite(count) else None
            self.bar = tqdm(total=total, desc=title, leave=False, bar_format=BAR)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch, and draw the bar if it is time."""
        self.batches += 1
        if self.bar is None:
            return
        self.images += len(batch[-1]) * trainer.world_size
        now = time.perf_counter()
        if now - self.shown >= REDRAWN or batch_idx == 0:
            self.shown = now
            self.bar.n = batch_idx + 1
            self.bar.bar_format = BAR + ", ".join(self._words(trainer, pl_module, now))
            self.bar.refresh()

    def _words(self, trainer: pl.Trainer, pl_module: pl.LightningModule, now: float) -> list[str]:
        words = []
        if (loss := getattr(pl_module, "train_loss_so_far", None)) is not None:
            words.append(f"loss {loss:.4f}")
        if (accuracy := trainer.callback_metrics.get("val_accuracy", self.accuracy)) is not None:
            words.append(f"validation {100 * float(accuracy):.2f} %")
        words.append(f"{self.images / max(now - self.began, 1e-9):,.0f} images/s")
        if math.isfinite(left := (now - self.run_began) / self.batches * (self.to_do - self.batches)):
            words.append(f"{tqdm.format_interval(max(left, 0))} left")
        return words

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar and print the epoch's numbers."""
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


BAR = "{desc} {percentage:3.0f} %|{bar:16}| "


def _batches(trainer: pl.Trainer) -> float:
    """How many training batches the whole run has; infinity if nothing ends it."""
    each = trainer.num_training_batches
    limits = [each * epochs for epochs in (trainer.max_epochs,) if epochs is not None and epochs >= 0]
    limits += [steps * trainer.accumulate_grad_batches for steps in (trainer.max_steps,) if steps >= 0]
    return min(limits, default=math.inf)


def _done(trainer: pl.Trainer) -> float:
    """How many of them an earlier run has done."""
    return (
        trainer.current_epoch * trainer.num_training_batches + trainer.fit_loop.epoch_loop.batch_progress.current.ready
    )
