"""A residual network (after He et al., CVPR 2016)."""

from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Two convolutions around which the input is carried."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        """Float [N, width, H, W] -> the same."""
        return F.relu(maps + self.layers(maps))


class ResNet(nn.Module):
    """A stem, residual blocks, and the mean of each map.

    Args:
        num_classes: number of logits.
        width: maps of each block.
        depth: number of blocks.
    """

    def __init__(self, num_classes: int = 10, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 5, stride=2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(depth)))
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, 28, 28] in [0, 1] -> logits [N, num_classes]."""
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))
