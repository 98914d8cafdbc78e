"""A convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from mnist_lightning.errors import UserError
from mnist_lightning.models.network import Network
from mnist_lightning.types import PositiveInt, Share


class Block(nn.Module):
    """Convolution, maximum pooling, batch norm, ReLU.

    Pooling comes first because the other two then touch a quarter of the values. For a norm with a positive
    weight, which it starts with, the order makes no difference to what the block can compute.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, pool: int, padding: int) -> None:
        super().__init__()
        # Batch norm has a bias of its own.
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        self.pool = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Float [N, inputs, H, W] -> [N, outputs, H', W']."""
        return F.relu(self.norm(self.pool(self.conv(maps))), inplace=True)


class CNN(Network):
    """Blocks of convolution and pooling, then one linear layer.

    `channels`, `kernels` and `pools` have one entry per block.

    Args:
        num_classes: number of logits.
        channels: feature maps of each block.
        kernels: side of each block's square kernel, pixels.
        pools: side of each block's pooling window, pixels; 1 for none.
        padding: convolutions keep the size of the map (with odd kernels) instead of shrinking it.
        dropout: share of the features that training drops before the last layer, 0 to below 1.
        **prepare: arguments of `Network`.

    Raises:
        UserError: the lists differ in length, or the blocks shrink the image to nothing.
    """

    def __init__(
        self,
        num_classes: PositiveInt = 10,
        channels: Sequence[PositiveInt] = (32, 64, 256),
        kernels: Sequence[PositiveInt] = (5, 3, 3),
        pools: Sequence[PositiveInt] = (2, 2, 1),
        padding: bool = False,
        dropout: Share = 0.0,
        **prepare: Any,
    ) -> None:
        super().__init__(**prepare)
        if not len(channels) == len(kernels) == len(pools) > 0:
            raise UserError("model.channels, model.kernels and model.pools need the same length: one entry per block.")
        size, maps = self.prepare.size, self.prepare.channels
        blocks = []
        for outputs, kernel, pool in zip(channels, kernels, pools, strict=True):
            border = kernel // 2 if padding else 0
            blocks.append(Block(maps, outputs, kernel, pool, border))
            size = (size + 2 * border - kernel + 1) // pool
            if size < 1:
                raise UserError(
                    f"model.kernels={list(kernels)} and model.pools={list(pools)} leave nothing of the image."
                )
            maps = outputs
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(maps * size * size, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, H, W] in [0, 1] -> logits [N, num_classes]."""
        return self.head(self.dropout(self.blocks(self.prepare(images)).flatten(1)))
