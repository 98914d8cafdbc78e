"""Test-time augmentation: a network reads several views of each image, and its predictions are averaged.

A view is the image shifted or rotated a little. After Krizhevsky, Sutskever and Hinton (NeurIPS 2012), who average over
five crops and their mirror images; digits must not be mirrored.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnist_lightning.models.prepare import pixel_centres


class Views(nn.Module):
    """A network that averages its own predictions over views of the image.

    Args:
        network: float images [N, 1, H, W] in [0, 1] -> logits [N, C].
        shift: pixels by which four of the views are shifted, one each way; 0 for none of them.
        degrees: by which two of the views are rotated, one either way; 0 for none of them.
    """

    def __init__(self, network: nn.Module, shift: float = 0.0, degrees: float = 0.0) -> None:
        super().__init__()
        self.network = network
        turn = math.radians(degrees)
        ways = [(0.0, shift, 0.0), (0.0, -shift, 0.0), (0.0, 0.0, shift), (0.0, 0.0, -shift)] if shift else []
        ways += [(turn, 0.0, 0.0), (-turn, 0.0, 0.0)] if turn else []
        self.ways = ways

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, C] whose softmax is the mean of the views' probabilities."""
        views = [images, *(_moved(images, *way) for way in self.ways)]
        chances = torch.stack([self.network(view).float().log_softmax(1) for view in views])
        return chances.logsumexp(0) - math.log(len(views))


def _moved(images: Tensor, turn: float, x: float, y: float) -> Tensor:
    """Square images rotated by `turn` (radians) about their middle and shifted by `x` and `y` (pixels)."""
    size = images.shape[-1]
    along = pixel_centres(size, images.device)
    cos, sin, down = math.cos(turn), math.sin(turn), along.unsqueeze(1)
    # Not by affine_grid, whose matrix product would be done in bfloat16 wherever the network's are.
    grid = torch.stack([cos * along - sin * down + 2 * x / size, sin * along + cos * down + 2 * y / size], 2)
    return F.grid_sample(images, grid.expand(len(images), size, size, 2), align_corners=False)
