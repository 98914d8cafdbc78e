"""What all networks share: they take raw pixels, and remember what they were made with.

Knows nothing of Lightning, Hydra, training or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mnist_lightning.arguments import bound_arguments
from mnist_lightning.models.prepare import MNIST_MEAN, MNIST_STD, Input, Prepare
from mnist_lightning.types import Positive, PositiveInt


def to_input(images: Tensor) -> Tensor:
    """Turn uint8 [N, H, W] into what every network takes: float [N, 1, H, W] in [0, 1]."""
    return images.unsqueeze(1).float().div_(255)


class Network(nn.Module):
    """Base class of the networks that this package offers, and a convenient one for networks of your own.

    It has `self.prepare` (crop and normalisation, the first module of the network) and `arguments`, the constructor
    arguments as plain data, from which a checkpoint rebuilds the network.

    Args:
        image_size: height and width of the images, pixels.
        inputs: the channels that the first layer sees: `image`, and `deslanted`, the image without its slant.
        crop: side of the central square that the network looks at, pixels; None for the whole image.
        mean: mean of the pixels, as a fraction of white; it is subtracted.
        std: standard deviation of the pixels, as a fraction of white; it divides.
        standardize: normalise each image by its own mean and standard deviation instead.

    Raises:
        UserError: an argument is out of its range, or the arguments do not fit together.
    """

    arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Network:
        """Record the arguments here, so that a subclass need not do it."""
        network = super().__new__(cls)
        network.__dict__["arguments"] = bound_arguments(cls, args, kwargs)
        return network

    def __init__(
        self,
        image_size: PositiveInt = 28,
        inputs: Sequence[Input] = ("image",),
        crop: PositiveInt | None = None,
        mean: float = MNIST_MEAN,
        std: Positive = MNIST_STD,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.prepare = Prepare(image_size, inputs, crop, mean, std, standardize)

    @property
    def example(self) -> Tensor:
        """Two black images in the form that the network takes: float [2, 1, H, W]."""
        size = self.arguments["image_size"]
        return torch.zeros(2, 1, size, size)
