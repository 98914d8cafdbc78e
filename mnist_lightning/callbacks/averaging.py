"""Exponential moving average of the weights; validation, checkpoints and the final network use it."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mnist_lightning.types import PositiveInt, Share


class Averaging(WeightAveraging):
    """Lightning's weight averaging with an exponential moving average, updated every few steps.

    The n-th update keeps `min(decay, (1 + n) / (10 + n))` of the old average, as TensorFlow's ExponentialMovingAverage
    does: a young average forgets the random weights it began with. Where an epoch ends before the first update, the
    average is set to the weights of that moment, so that untrained weights are never validated or saved.

    Args:
        decay: share of the old average kept at each update, 0 to below 1; 0 turns averaging off.
        every_n_steps: optimizer steps between two updates; the average spans about `every_n_steps / (1 - decay)`
            steps.
    """

    def __init__(self, decay: Share = 0.98, every_n_steps: PositiveInt = 5) -> None:
        super().__init__(multi_avg_fn=self._blend)
        self.decay, self.every_n_steps = decay, every_n_steps
        self.active = decay > 0
        self.started = False
        self._now = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every `every_n_steps`-th optimizer step."""
        due = step_idx is not None and (self._now or (step_idx + 1) % self.every_n_steps == 0)
        self.started |= due
        return due

    def state_dict(self) -> dict[str, Any]:
        """Lightning's state, and whether there was an update."""
        return {**super().state_dict(), "started": self.started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from that state."""
        super().load_state_dict(state_dict)
        self.started = state_dict.get("started", True)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the average, which has at least one update by now."""
        self._start(trainer, pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average as the network; one without an update equals the network only before the first step."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if not self.started and trainer.global_step > 0:
            checkpoint["state_dict"] = dict(checkpoint["current_model_state"])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the average into the network."""
        self._start(trainer, pl_module)
        super().on_train_end(trainer, pl_module)

    def _start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do the first update now, if training has begun without one."""
        if not self.started and trainer.state.fn == "fit" and trainer.global_step > 0:
            self._now = True
            self.on_train_batch_end(trainer, pl_module, None, None, 0)
            self._now = False

    def _blend(self, averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        keep = min(self.decay, (1 + int(updates)) / (10 + int(updates)))
        if not averaged[0].is_floating_point():  # counters, such as batch norm's number of batches, are copied
            keep = 0.0
        get_ema_multi_avg_fn(keep)(averaged, current, updates)
