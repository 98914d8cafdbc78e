"""Stops a run before its last epoch when it no longer improves."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import callbacks

from mnist_lightning.types import Monitor, NonNegative, PositiveInt


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's EarlyStopping on the metric that chooses the best checkpoint; without a patience it never stops.

    Args:
        patience: epochs without a better value after which the run stops; None for never.
        min_delta: a smaller gain than this does not count, in units of the metric.
        monitor: `val_loss` or `val_accuracy`; `last`, which compares nothing, watches `val_loss`.
    """

    def __init__(
        self, patience: PositiveInt | None = None, min_delta: NonNegative = 0.0, monitor: Monitor = "val_accuracy"
    ) -> None:
        watched = "val_loss" if monitor == "last" else monitor
        super().__init__(
            watched,
            min_delta,
            patience or 2**31,
            mode="max" if watched == "val_accuracy" else "min",
            check_on_train_epoch_end=True,
            check_finite=False,
        )
        self.active = patience is not None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the count of the run that is resumed; the patience is this run's own, which may be another."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare, unless there is no patience or nothing was validated."""
        if self.active and self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)
