"""Validation at the end of every epoch, wherever else there is one."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl


class ValidateEpochEnd(pl.Callback):
    """Validates on the last batch of an epoch, also where `val_check_interval` does not divide the epoch.

    Lightning validates on every n-th batch only, and not on the batch at which `max_steps` is reached. The values of an
    epoch would then be those of earlier weights than the ones in its checkpoint.
    """

    def __init__(self) -> None:
        self._interval: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the interval; a run that is resumed within an epoch does not start that epoch."""
        self._interval = trainer.val_check_batch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the interval, which Lightning sets anew where it reloads the data."""
        self._interval = trainer.val_check_batch

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Make Lightning, which asks next whether it is to validate, validate after the last batch."""
        ends = trainer.is_last_batch or trainer.global_step == trainer.max_steps
        # With check_val_every_n_epoch=null validations are counted over epochs; with a time interval there is no count.
        if ends and isinstance(self._interval, int) and trainer.check_val_every_n_epoch is not None:
            trainer.val_check_batch = batch_idx + 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go back to the interval."""
        trainer.val_check_batch = self._interval
