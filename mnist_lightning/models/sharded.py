"""Weights, gradients and optimiser state shared out among the ranks: PyTorch's FSDP2, under Lightning's name for it.

FSDP1, which is Lightning's "fsdp", runs on GPUs only; this one runs wherever ranks do. Checkpoints are whole and plain.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

from mnist_lightning.models.classifier import Classifier


class ShardedClassifier(Classifier):
    """A Classifier whose network is sharded, layer by layer."""

    def configure_model(self) -> None:
        """Shard each convolutional and linear layer by itself; the other weights, such as those of norms, together."""
        mesh = self.device_mesh["data_parallel"]  # type: ignore[index]
        self.network.to(memory_format=torch.contiguous_format)  # fully_shard takes no other
        for layer in self.network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                fully_shard(layer, mesh=mesh)
        fully_shard(self.network, mesh=mesh)

    def on_validation_epoch_start(self) -> None:
        """Let all ranks validate with the first one's batch norm statistics, which are the ones that are saved."""
        super().on_validation_epoch_start()
        for buffer in self.network.buffers():
            torch.distributed.broadcast(buffer, src=0)


class Sharded(ModelParallelStrategy):
    """Lightning's strategy for FSDP2, with checkpoints in one file.

    Args:
        ranks: number of ranks.
    """

    def __init__(self, ranks: int) -> None:
        super().__init__(ranks, 1, save_distributed_checkpoint=False)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The whole state, on the first rank.

        Before the first step there is none, and PyTorch would take a step on zeros to get one: Adam would count it.
        """
        return super().optimizer_state(optimizer) if optimizer.state else optimizer.state_dict()
