"""Exponential moving average of the weights; validation, checkpoints and the final network use it."""

from __future__ import annotations

from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Averaging(WeightAveraging):
    """Lightning's weight averaging with an exponential moving average, updated every few steps.

    Args:
        decay: share of the old average kept at each update, 0 to below 1.
        every_n_steps: optimiser steps between two updates; the average spans about
            `every_n_steps / (1 - decay)` steps.
    """

    def __init__(self, decay: float, every_n_steps: int) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.every_n_steps = every_n_steps

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every `every_n_steps`-th optimiser step."""
        return step_idx is not None and (step_idx + 1) % self.every_n_steps == 0
