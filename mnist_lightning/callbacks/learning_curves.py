"""Training loss and learning rate within the epochs, for the loggers."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from mnist_lightning.models.classifier import Classifier
from mnist_lightning.types import PositiveInt


class LearningCurves(pl.Callback):
    """Collects points during the steps and passes them to the loggers after each epoch, so that no step waits.

    Args:
        every_n_steps: batches between two points.
    """

    def __init__(self, every_n_steps: PositiveInt = 50) -> None:
        self.every_n_steps = every_n_steps
        self.points: list[tuple[int, Tensor, float]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss where it is, on the device."""
        if batch_idx % self.every_n_steps == 0:  # on every rank: the points are averaged over them
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            # Lightning passes on the loss divided by the batches in a step; ours is corrected for a shorter last step.
            scale = float(trainer.accumulate_grad_batches)
            if scale > 1 and isinstance(pl_module, Classifier):
                scale /= pl_module.share_of_step(batch_idx)
            self.points.append((trainer.global_step, outputs["loss"].detach() * scale, float(rate)))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the points of the epoch; for several ranks, the mean of their losses, which is the global batch's."""
        if not self.points:
            return
        steps, losses, rates = zip(*self.points, strict=True)
        means = torch.stack(losses)
        if trainer.world_size > 1:
            means = trainer.strategy.reduce(means, reduce_op="mean")  # type: ignore[assignment]
        for step, loss, rate in zip(steps, means.tolist(), rates, strict=True):
            for logger in trainer.loggers:
                logger.log_metrics({"step/loss": loss, "step/lr": rate}, step)
        self.points.clear()
