"""Exponential moving average of the weights; validation, checkpoints and the final network use it."""

from __future__ import annotations

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class Averaging(WeightAveraging):
    """Lightning's weight averaging with an exponential moving average, updated every few steps.

    The n-th update keeps `min(decay, (1 + n) / (10 + n))` of the old average, as TensorFlow's
    ExponentialMovingAverage does: a young average forgets the random weights it began with.

    Args:
        decay: share of the old average kept at each update, 0 to below 1.
        every_n_steps: optimiser steps between two updates; the average spans about
            `every_n_steps / (1 - decay)` steps.
    """

    def __init__(self, decay: float, every_n_steps: int) -> None:
        super().__init__(multi_avg_fn=self._blend)
        self.decay, self.every_n_steps = decay, every_n_steps

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every `every_n_steps`-th optimiser step."""
        return step_idx is not None and (step_idx + 1) % self.every_n_steps == 0

    @torch.no_grad()
    def _blend(self, averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            keep = min(self.decay, (1 + int(updates)) / (10 + int(updates)))
            torch._foreach_lerp_(averaged, current, 1 - keep)
        else:  # counters, such as batch norm's number of batches
            torch._foreach_copy_(averaged, current)
