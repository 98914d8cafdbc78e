"""Augmentation of a whole batch on the device that holds it, with a different draw for each image.

No loop over images, no `.item()`: the draws of a batch are a few small tensors, and everything that moves
pixels (affine and elastic together) is one `grid_sample`. A knob at 0 costs nothing. Knows nothing of labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

import torch
from annotated_types import Len
from torch import Tensor
from torch.nn import functional as F

from mnist_lightning.data import appearance
from mnist_lightning.errors import UserError
from mnist_lightning.models.cuda_graph import Graphed
from mnist_lightning.models.prepare import pixel_centres
from mnist_lightning.types import Degrees, Fraction, NonNegative, Positive, PositiveInt, Probability, Slant

Fill = Literal["black", "grey", "image"]


class Augment:
    """Random changes of handwriting: how it is placed, bent, hidden and inked.

    Draws come from `generator`, or else from torch's global one for the device, so a seeded run repeats
    itself. Ranges are symmetric and uniform; with all knobs at 0 the images come back as they are.

    Args:
        degrees: largest rotation either way.
        translate: largest shift along each axis, in pixels.
        scale: smallest and largest scale factor (above 1 enlarges), uniform in its logarithm.
        shear: largest slant either way, in degrees.
        elastic: standard deviation of the displacements of a coarse random grid, in pixels; between its
            nodes they are interpolated smoothly (after Simard, Steinkraus and Platt, ICDAR 2003, who
            smooth a fine grid instead).
        elastic_cells: cells of that coarse grid along each axis; more cells bend more finely.
        erase: probability that a random rectangle of an image is blackened (Zhong et al., AAAI 2020).
        erase_size: smallest and largest side of the rectangle, as fractions of the image's.
        erase_with: what the rectangle shows instead: black; grey, of a random level; image, the same place
            in another image of the batch (after CutMix, Yun et al., ICCV 2019; the label stays).
        stroke: largest change of stroke width, 0 to 1: the share by which an image is mixed with its
            erosion or its dilation by a 3x3 window.
        overlay: probability that a piece of another image of the batch, turned on its side, is laid over an image; this
            one and the next four are in `appearance.py`.
        filter: probability that an image passes through a random filter.
        tone: probability that its grey levels pass through a random curve.
        wave: largest height of a random plane wave that is added to half of the images.
        noise: largest standard deviation of the Gaussian noise that is added to half of the images.
        clean: share of the images that are moved and bent but keep their look: none of the changes after `elastic`.
    """

    def __init__(
        self,
        degrees: Degrees = 0.0,
        translate: NonNegative = 0.0,
        scale: Annotated[Sequence[Positive], Len(2, 2)] = (1.0, 1.0),
        shear: Slant = 0.0,
        elastic: NonNegative = 0.0,
        elastic_cells: PositiveInt = 4,
        erase: Probability = 0.0,
        erase_size: Annotated[Sequence[Fraction], Len(2, 2)] = (0.1, 0.3),
        erase_with: Fill = "black",
        stroke: Probability = 0.0,
        overlay: Probability = 0.0,
        filter: Probability = 0.0,
        tone: Probability = 0.0,
        wave: NonNegative = 0.0,
        noise: NonNegative = 0.0,
        clean: Probability = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        amounts = {"degrees": degrees, "translate": translate, "shear": shear, "elastic": elastic}
        for name, value in (amounts | {"wave": wave, "noise": noise}).items():
            if value < 0:
                raise UserError(f"augment.{name}={value} must be 0 or more.")
        shares = {"erase": erase, "stroke": stroke, "overlay": overlay, "filter": filter, "tone": tone, "clean": clean}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise UserError(f"augment.{name}={value} must be between 0 and 1.")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise UserError(f"augment.scale={list(scale)} must be two rising factors above 0.")
        if len(erase_size) != 2 or not 0 < erase_size[0] <= erase_size[1] <= 1:
            raise UserError(f"augment.erase_size={list(erase_size)} must be two rising fractions.")
        if erase_with not in get_args(Fill):
            raise UserError(f"augment.erase_with={erase_with} must be one of {', '.join(get_args(Fill))}.")
        if shear >= 90:
            raise UserError(f"augment.shear={shear} must be under 90 degrees.")
        if elastic_cells < 1:
            raise UserError(f"augment.elastic_cells={elastic_cells} must be 1 or more.")
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, tuple(scale), shear
        self.elastic, self.elastic_cells = elastic, elastic_cells
        self.erase, self.erase_size, self.erase_with = erase, tuple(erase_size), erase_with
        self.stroke, self.overlay = stroke, overlay
        self.filter, self.tone, self.wave, self.noise, self.clean = filter, tone, wave, noise, clean
        self.generator = generator
        self._bases: dict[tuple[Any, ...], Tensor] = {}
        self._knobs: list[Any] = []  # those that `_replayed` was made for
        self._replayed = Graphed(self._change, lasting=True)

    def __call__(self, images: Tensor) -> Tensor:
        """Float images [N, 1, H, W] in [0, 1], black ground -> a changed copy of the same."""
        knobs = [value for name, value in vars(self).items() if not name.startswith("_")]
        if knobs != self._knobs:  # somebody's callback may turn one between two epochs
            self._knobs, self._replayed = knobs, Graphed(self._change, lasting=True)
        shares = (self.stroke, self.overlay, self.filter, self.tone, self.wave, self.noise, self.erase)
        if not (self.moves or any(shares)):
            return images
        # A recording draws from the global generator alone.
        own = self.generator is None and type(self) is Augment
        return self._replayed(images) if own else self._change(images)

    @property
    def moves(self) -> bool:
        """Whether it changes where the ink is."""
        return bool(self.degrees or self.translate or self.shear or self.elastic or tuple(self.scale) != (1, 1))

    def _change(self, images: Tensor) -> Tensor:
        if self.moves:
            images = F.grid_sample(images, self._grid(images), align_corners=False)
        moved = images
        if self.stroke:
            images = self._restroke(images)
        if self.overlay:
            images = appearance.random_overlay(images, self.overlay, self.generator)
        if self.filter:
            images = appearance.random_filter(images, self.filter, self.generator)
        if self.tone:
            images = appearance.random_tone(images, self.tone, self.generator)
        if self.wave:
            images = appearance.random_wave(images, self.wave, self.generator)
        if self.noise:
            images = appearance.random_noise(images, self.noise, self.generator)
        if self.erase:
            images = self._erase(images)
        if self.clean:
            images = torch.where(self._uniform(images, (len(images), 1, 1, 1), 0.0, 1.0) < self.clean, moved, images)
        return images

    def _uniform(self, like: Tensor, shape: tuple[int, ...], low: float = -1.0, high: float = 1.0) -> Tensor:
        return appearance.uniform(like, shape, low, high, self.generator)

    def _grid(self, images: Tensor) -> Tensor:
        """For each output pixel the place in the input that it shows: [N, H, W, 2] in grid_sample's coordinates.

        Affine and elastic places are both linear in what was drawn, so the batch takes one matrix product.
        (`affine_grid` computes one product per image, which costs more on a CPU than all the rest.)
        """
        count, _, height, width = images.shape
        draw = self._uniform(images, (5, count))
        turn = draw[0] * math.radians(self.degrees)
        slant = torch.tan(draw[1] * math.radians(self.shear))
        low, high = (math.log(factor) for factor in self.scale)
        shrink = torch.exp(-((low + high) / 2 + draw[2] * (high - low) / 2))  # the grid says where pixels come from
        cos, sin = torch.cos(turn) * shrink, torch.sin(turn) * shrink
        x_from = [cos, cos * slant - sin, draw[3] * (2 * self.translate / width)]
        y_from = [sin, sin * slant + cos, draw[4] * (2 * self.translate / height)]
        drawn = torch.stack(x_from + y_from, dim=1)
        if self.elastic:
            nodes = torch.empty((count, 2 * (self.elastic_cells + 1) ** 2), device=images.device)
            drawn = torch.cat([drawn, nodes.normal_(std=2 * self.elastic / width, generator=self.generator)], dim=1)
        return (drawn @ self._basis(height, width, images.device)).view(count, height, width, 2)

    def _basis(self, height: int, width: int, device: torch.device) -> Tensor:
        """What one unit of each drawn number moves: [numbers, H * W * 2], x and y of a pixel side by side."""
        key = (height, width, device, self.elastic and self.elastic_cells)
        if key not in self._bases:
            x = pixel_centres(width).expand(height, width)
            y = pixel_centres(height)[:, None].expand(height, width)
            shapes = torch.stack([x, y, torch.ones(height, width)])
            parts = [self._per_axis(shapes)]
            if self.elastic:
                nodes = self.elastic_cells + 1
                bumps = torch.eye(nodes**2).view(nodes**2, 1, nodes, nodes)
                smooth = F.interpolate(bumps, size=(height, width), mode="bicubic", align_corners=True)
                parts.append(self._per_axis(smooth.squeeze(1)))
            self._bases[key] = torch.cat(parts).to(device)
        return self._bases[key]

    @staticmethod
    def _per_axis(shapes: Tensor) -> Tensor:
        """Shapes [K, H, W] -> [2K, H * W * 2]: each once as a move along x, then each as a move along y."""
        nothing = torch.zeros_like(shapes)
        both = [torch.stack([shapes, nothing], dim=-1), torch.stack([nothing, shapes], dim=-1)]
        return torch.cat(both).flatten(1)

    def _restroke(self, images: Tensor) -> Tensor:
        """Mix each image with its dilation or its erosion by a 3x3 window."""
        amount = self._uniform(images, (len(images), 1, 1, 1)) * self.stroke
        # An eroded image is the negative of its dilated negative, so one dilation serves both.
        sign = torch.where(amount < 0, -1.0, 1.0)
        wide = F.pad(images * sign, (1, 1, 1, 1), mode="replicate")
        wide = torch.maximum(torch.maximum(wide[..., :-2], wide[..., 1:-1]), wide[..., 2:])
        wide = torch.maximum(torch.maximum(wide[..., :-2, :], wide[..., 1:-1, :]), wide[..., 2:, :])
        return torch.lerp(images, wide * sign, amount.abs())

    def _erase(self, images: Tensor) -> Tensor:
        """Hide one rectangle in some of the images."""
        count, _, height, width = images.shape
        low, high = self.erase_size
        chosen, *sides = self._uniform(images, (5, count, 1), 0.0, 1.0)
        rows, columns = (
            self._span(length, low + (high - low) * size, place)
            for length, size, place in ((height, sides[0], sides[1]), (width, sides[2], sides[3]))
        )
        hidden = rows.unsqueeze(2) & columns.unsqueeze(1) & (chosen < self.erase).unsqueeze(2)
        if self.erase_with == "black":
            return images.masked_fill(hidden.unsqueeze(1), 0.0)
        fill = images.roll(1, 0) if self.erase_with == "image" else self._uniform(images, (count, 1, 1, 1), 0.0, 1.0)
        return torch.where(hidden.unsqueeze(1), fill, images)

    @staticmethod
    def _span(length: int, size: Tensor, place: Tensor) -> Tensor:
        """Which of `length` pixels lie in a stretch of `size` (a fraction) at `place`: bool [N, length]."""
        pixel = (torch.arange(length, device=size.device) + 0.5) / length
        start = place * (1 - size)
        return (pixel >= start) & (pixel < start + size)
