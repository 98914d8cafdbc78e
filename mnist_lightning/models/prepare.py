"""Prepare, the first module of every network: raw pixels -> what the first layer sees.

It is part of the network, so a checkpoint or an export takes raw pixels, and no caller has to know the mean of MNIST.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnist_lightning.errors import UserError

MNIST_MEAN = 0.1307  # mean and standard deviation of the training pixels, as fractions of white
MNIST_STD = 0.3081
_FAINTEST = 0.01  # images with less contrast than this are not brought to a standard deviation of 1
_STEEPEST = 0.8  # pixels sideways per pixel upwards, the most slant that is removed

Input = Literal["image", "deslanted"]


class Prepare(nn.Module):
    """Central crop and normalisation of the image, and of the image without its slant.

    Takes float [N, 1, H, W] and returns [N, channels, size, size]. `Network` documents the arguments.

    Raises:
        UserError: an argument is invalid.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        image_size: int,
        inputs: Sequence[Input],
        crop: int | None,
        mean: float,
        std: float,
        standardize: bool,
    ) -> None:
        super().__init__()
        if not inputs or not set(inputs) <= set(get_args(Input)):
            raise UserError(f"model.inputs={list(inputs)} must name one or more of {', '.join(get_args(Input))}.")
        if crop is not None and not 0 < crop <= image_size:
            raise UserError(f"model.crop={crop} does not fit the {image_size}x{image_size} images; use null or less.")
        if std <= 0:
            raise UserError(f"model.std={std} must be above 0.")
        self.inputs = tuple(inputs)
        self.channels = len(self.inputs)
        self.size = crop or image_size
        self.standardize = standardize
        self.border = (image_size - self.size) // 2
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    def extra_repr(self) -> str:
        """What `print(network)` shows of it."""
        return f"inputs={list(self.inputs)}, size={self.size}, border={self.border}, standardize={self.standardize}"

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 1, H, W] -> [N, channels, size, size]."""
        if self.inputs != ("image",):
            images = torch.cat([deslanted(images) if each == "deslanted" else images for each in self.inputs], 1)
        inside = slice(self.border, self.border + self.size)
        images = images[:, :, inside, inside]
        if self.standardize:
            variance, mean = torch.var_mean(images, dim=(2, 3), keepdim=True, correction=0)
            return (images - mean) * torch.rsqrt(variance + _FAINTEST**2)
        return (images - self.mean) / self.std


def pixel_centres(count: int, device: torch.device | None = None) -> Tensor:
    """The centres of `count` pixels in a line, in grid_sample's coordinates from -1 to 1: float [count]."""
    return (torch.arange(count, device=device) * 2 + 1) / count - 1


def deslanted(images: Tensor) -> Tensor:
    """Shear each image so that its ink leans neither way: float [N, 1, H, W], bright ink on 0 -> the same.

    The slant is the slope of the line x(y) through the ink with the least squared error sideways, that is its
    covariance over its variance upwards; the centre of mass stays where it is. One of the normalisations of LeCun et
    al., "Gradient-based learning applied to document recognition", 1998 (the "deslanted" rows of its table of results).
    """
    height, width = images.shape[-2:]
    x, y = pixel_centres(width, images.device), pixel_centres(height, images.device)
    ink = images.squeeze(1)
    rows = ink.sum(2)
    mass = rows.sum(1, keepdim=True).clamp_min(1e-3)
    above = y - (rows * y).sum(1, keepdim=True) / mass  # of each row, from the centre of mass: [N, H]
    together = ((ink * x).sum(2) * above).sum(1, keepdim=True)
    upwards = (rows * above.square()).sum(1, keepdim=True)
    slant = (together / upwards.clamp_min(1e-4)).clamp(-_STEEPEST, _STEEPEST)
    from_x = x + (slant * above).unsqueeze(2)  # the place that each pixel shows: [N, H, W]
    from_y = y.unsqueeze(1).expand_as(from_x)
    return F.grid_sample(images, torch.stack([from_x, from_y], 3), align_corners=False)
