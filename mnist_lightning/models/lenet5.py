"""The classic convolutional network of 1998."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mnist_lightning.errors import UserError
from mnist_lightning.models.network import Network
from mnist_lightning.types import PositiveInt


class LeNet5(Network):
    """LeNet-5 of LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    As it is taught today: tanh, average pooling, C3 connected to all of S2, a linear output in place of the
    radial basis functions. Padding in the first layer stands for the paper's 32x32 input.

    Args:
        num_classes: number of logits.
        **prepare: arguments of `Network`.

    Raises:
        UserError: the images are smaller than 12x12.
    """

    def __init__(self, num_classes: PositiveInt = 10, **prepare: Any) -> None:
        super().__init__(**prepare)
        side = (self.prepare.size // 2 - 4) // 2
        if side < 1:
            raise UserError(
                f"model=lenet5 needs images of at least 12x12, not {self.prepare.size}x{self.prepare.size}."
            )
        self.features = nn.Sequential(
            nn.Conv2d(self.prepare.channels, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.hidden = nn.Sequential(nn.Linear(16 * side * side, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh())
        self.head = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, H, W] in [0, 1] -> logits [N, num_classes]."""
        return self.head(self.hidden(self.features(self.prepare(images)).flatten(1)))
