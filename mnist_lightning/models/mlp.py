"""A fully connected network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mnist_lightning.models.network import Network
from mnist_lightning.types import PositiveInt, Share


class MLP(Network):
    """Fully connected layers with batch norm and ReLU.

    Args:
        num_classes: number of logits.
        hidden_sizes: width of each hidden layer.
        dropout: share of each hidden layer that training drops, 0 to below 1.
        **prepare: arguments of `Network`.
    """

    def __init__(
        self,
        num_classes: PositiveInt = 10,
        hidden_sizes: Sequence[PositiveInt] = (256, 128),
        dropout: Share = 0.0,
        **prepare: Any,
    ) -> None:
        super().__init__(**prepare)
        layers: list[nn.Module] = []
        features = self.prepare.channels * self.prepare.size**2
        for width in hidden_sizes:
            layers += [nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
            features = width
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, H, W] in [0, 1] -> logits [N, num_classes]."""
        return self.head(self.hidden(self.prepare(images).flatten(1)))
