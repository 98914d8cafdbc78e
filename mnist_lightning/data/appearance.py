"""Random changes of grey levels, for a whole batch at once: the part of `augment.py` that does not move ink.

Every function takes and returns float images [N, 1, H, W] in [0, 1], draws for each image on its own, and neither
loops over images nor waits for the device. None of them is one of `evaluation/corruptions.py`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_REACH = 3  # random filters are 7x7: three pixels to each side
_KNOTS = 4  # grey levels that a random tone curve is drawn at; straight lines between them
_WAVELENGTHS = (3.0, 56.0)  # of random waves, pixels: from the finest that shows to half a wave per image

Generator = torch.Generator | None


def uniform(like: Tensor, shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Uniform draws from `low` to `high`, on the device of `like`."""
    return torch.empty(shape, device=like.device).uniform_(low, high, generator=generator)


def full_range(images: Tensor) -> Tensor:
    """Each image rescaled to 0 at its darkest and 1 at its brightest pixel; a uniform one becomes 0."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-6)


def random_overlay(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Lay a piece of another image over a share of the images: strokes that cross the digit and do not belong to it.

    The piece is a random rectangle of at most a third of the area of another image of the batch, transposed so that
    it rarely looks like part of a digit itself, at a random strength. Where both have ink, the stronger shows.
    """
    count, _, height, width = images.shape
    draw = uniform(images, (6, count, 1, 1, 1), 0.0, 1.0, generator)
    tall = 0.1 + 0.9 * draw[1]
    wide = torch.minimum(0.1 + 0.9 * draw[2], 0.33 / tall)
    rows = ((torch.arange(height, device=images.device)[:, None] + 0.5) / height - draw[3] * (1 - tall)) / tall
    columns = ((torch.arange(width, device=images.device) + 0.5) / width - draw[4] * (1 - wide)) / wide
    inside = (rows >= 0) & (rows < 1) & (columns >= 0) & (columns < 1) & (draw[0] < share)
    other = images.roll(1, 0)
    other = other.transpose(2, 3) if height == width else other.flip(2)
    return torch.where(inside, torch.maximum(images, other * (0.3 + 0.7 * draw[5])), images)


def random_filter(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Pass a share of the images through a random filter each, mix in the image itself, and rescale to the full range.

    Z. Xu et al., "Robust and Generalizable Visual Representation Learning via Random Convolutions", ICLR 2021. That
    weights fade from the middle, over a random width that stands for the kernel's size, is from S. Choi et al.,
    "Progressive Random Convolutions for Single Domain Generalization", CVPR 2023. Half of the filters are negatives.
    """
    count = len(images)
    side = 2 * _REACH + 1
    chosen, mix, width = uniform(images, (3, count, 1, 1, 1), 0.0, 1.0, generator)
    weights = torch.empty((count, 1, side, side), device=images.device).normal_(generator=generator)
    away = torch.arange(-_REACH, _REACH + 1, device=images.device).square()
    weights = weights * torch.exp(-(away[:, None] + away) / (2 * (0.3 + 2 * width).square()))
    weights = weights / weights.square().sum((2, 3), keepdim=True).sqrt().clamp_min(1e-6)
    middle = torch.zeros_like(weights[:1])
    middle[..., _REACH, _REACH] = 1
    padded = F.pad(images, (_REACH,) * 4, mode="replicate")
    filtered = F.conv2d(padded.transpose(0, 1), torch.lerp(weights, middle, mix), groups=count).transpose(0, 1)
    return torch.where(chosen < share, full_range(filtered), images)


def random_tone(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Pass the grey levels of a share of the images through a random curve each, and rescale to the full range.

    The curve need not rise: it makes negatives, harder and softer edges, and now and then an outline. It never makes
    an image brighter or fainter as a whole, since the result spans black to white.
    """
    chosen = uniform(images, (len(images), 1, 1, 1), 0.0, 1.0, generator)
    heights = uniform(images, (len(images), _KNOTS, 1, 1), 0.0, 1.0, generator)
    steps = heights.diff(dim=1)
    curve = sum(steps[:, i : i + 1] * (images * (_KNOTS - 1) - i).clamp(0, 1) for i in range(_KNOTS - 1))
    return torch.where(chosen < share, full_range(torch.as_tensor(curve)), images)


def random_wave(images: Tensor, largest: float, generator: Generator) -> Tensor:
    """Add a plane wave of random direction, length, phase and height to half of the images; rescale to full range.

    P. Vaish, S. Wang and N. Strisciuglio, "Fourier-basis functions to bridge augmentation gap", CVPR 2024.

    Args:
        images: float [N, 1, H, W] in [0, 1].
        largest: largest height of the wave, in units of the difference between black and white.
        generator: source of the random draws.
    """
    count, _, height, width = images.shape
    draw = uniform(images, (4, count, 1, 1, 1), 0.0, 1.0, generator)
    high = largest * (2 * draw[0] - 1).clamp_min(0)
    angle, phase = math.pi * draw[1], 2 * math.pi * draw[2]
    shortest, longest = (math.log(length) for length in _WAVELENGTHS)
    turn = 2 * math.pi * torch.exp(-(shortest + (longest - shortest) * draw[3]))
    down = torch.arange(height, device=images.device)[:, None]
    right = torch.arange(width, device=images.device)
    wave = torch.sin(turn * (right * torch.cos(angle) + down * torch.sin(angle)) + phase)
    return torch.where(high > 0, full_range(images + high * wave), images)


def random_noise(images: Tensor, largest: float, generator: Generator) -> Tensor:
    """Add Gaussian noise of standard deviation up to `largest` to half of the images, clipped at black and white."""
    deviation = largest * uniform(images, (len(images), 1, 1, 1), -1.0, 1.0, generator).clamp_min(0)
    noise = torch.empty(images.shape, device=images.device).normal_(generator=generator)
    return (images + deviation * noise).clamp(0, 1)
