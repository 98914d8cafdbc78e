"""The random numbers of each training batch."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from mnist_lightning.distributed import ranks
from mnist_lightning.types import Seed


class Seeding(pl.Callback):
    """Makes augmentation and dropout of a batch depend on seed, epoch, batch and rank alone.

    A run that is resumed anywhere, any number of times, then draws what an uninterrupted run draws, without a
    random state in its checkpoints.

    Args:
        seed: that of the run; None for 0. A run with `seed=null` draws one and passes it here.
    """

    def __init__(self, seed: Seed | None = 0) -> None:
        self.seed = seed or 0
        self._epoch = -1
        self._seeds = np.empty(0, np.uint64)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed the first batch of a run that is resumed within an epoch."""
        self._seed(trainer, trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed the first batch."""
        self._seed(trainer, 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Seed the next batch, whose augmentation is drawn before it starts."""
        self._seed(trainer, batch_idx + 1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed the next batch again, after a validation within an epoch."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._seed(trainer, trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    def _seed(self, trainer: pl.Trainer, batch: int) -> None:
        epoch = trainer.current_epoch
        if epoch != self._epoch or batch >= len(self._seeds):
            count = max(1024, 2 * batch)
            mixed = np.random.SeedSequence([self.seed, ranks.place().rank, epoch])
            self._epoch, self._seeds = epoch, mixed.generate_state(count, np.uint64) >> np.uint64(1)
        number = int(self._seeds[batch])
        torch.default_generator.manual_seed(number)
        if (device := trainer.strategy.root_device.type) in ("cuda", "mps"):  # each has a generator of its own
            getattr(torch, device).manual_seed(number)
