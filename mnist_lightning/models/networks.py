"""The networks that learn, and the vote of several: plain `nn.Module`s from float images in [0, 1] to logits.

This file knows neither Lightning nor Hydra, no training, no files. The first module of each network is `prepare.py`'s,
so a network takes raw pixels; `build` makes both of one set of knobs.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnist_lightning.errors import UserError
from mnist_lightning.models.prepare import Prepare


def to_input(images: Tensor) -> Tensor:
    """Turn uint8 [N, H, W] into what every network takes: float [N, 1, H, W] in [0, 1]."""
    return images.unsqueeze(1).float().div_(255)


class Block(nn.Module):
    """Convolution, maximum pooling, batch norm, ReLU.

    Pooling comes first because the other two then touch a quarter of the values. For a norm with a positive
    weight, as it starts, the order of the two makes no difference to what the block can compute.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, pool: int, padding: int) -> None:
        super().__init__()
        # The norm brings the bias.
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        self.pool = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Float [N, inputs, H, W] -> [N, outputs, H', W']."""
        return F.relu(self.norm(self.pool(self.conv(maps))), inplace=True)


class CNN(nn.Module):
    """Blocks of convolution and pooling, then one linear layer.

    `channels`, `kernels` and `pools` have one entry a block: feature maps, side of the square kernel, side of
    the pooling window (1 for none). With `padding` an odd kernel keeps the size, without it the map shrinks.
    """

    def __init__(
        self,
        prepare: Prepare,
        num_classes: int,
        channels: Sequence[int] = (32, 64, 128),
        kernels: Sequence[int] = (5, 3, 3),
        pools: Sequence[int] = (2, 2, 2),
        padding: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not len(channels) == len(kernels) == len(pools) > 0:
            raise UserError("model.channels, model.kernels and model.pools need one entry for each block, all alike.")
        self.prepare = prepare
        size, maps = prepare.size, prepare.channels
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


class MLP(nn.Module):
    """Fully connected layers with batch norm and ReLU; `hidden_sizes` gives the width of each hidden one."""

    def __init__(
        self, prepare: Prepare, num_classes: int, hidden_sizes: Sequence[int] = (256, 128), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.prepare = prepare
        layers: list[nn.Module] = []
        features = prepare.channels * prepare.size**2
        for width in hidden_sizes:
            layers += [nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
            features = width
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, H, W] in [0, 1] -> logits [N, num_classes]."""
        return self.head(self.hidden(self.prepare(images).flatten(1)))


class LeNet5(nn.Module):
    """The classic of LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    As it is taught today: tanh, average pooling, C3 connected to all of S2, a linear output in place of the
    radial basis functions. Padding in the first layer stands for the paper's 32x32 input.
    """

    def __init__(self, prepare: Prepare, num_classes: int) -> None:
        super().__init__()
        self.prepare = prepare
        side = (prepare.size // 2 - 4) // 2
        if side < 1:
            raise UserError(f"model=lenet5 needs images of at least 12x12, not {prepare.size}x{prepare.size}.")
        self.features = nn.Sequential(
            nn.Conv2d(prepare.channels, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.hidden = nn.Sequential(nn.Linear(16 * side * side, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh())
        self.head = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, H, W] in [0, 1] -> logits [N, num_classes]."""
        return self.head(self.hidden(self.features(self.prepare(images)).flatten(1)))


class Ensemble(nn.Module):
    """Trained networks that vote, each with the same weight (after Lakshminarayanan et al., NeurIPS 2017).

    `mnist_lightning/ensemble.py` makes one of a sweep's runs.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise UserError("model=ensemble is made of trained networks: train them with experiment=ensemble.")
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, num_classes] whose softmax is the mean of the members' probabilities."""
        votes = torch.stack([member(images).float().log_softmax(1) for member in self.members])
        return votes.logsumexp(0) - math.log(len(self.members))


NETWORKS: dict[str, type[nn.Module]] = {"cnn": CNN, "mlp": MLP, "lenet5": LeNet5}
"""What can be trained from nothing, by name."""


def build(settings: Mapping[str, Any], *, num_classes: int, image_size: int = 28) -> nn.Module:
    """Make the network that `settings` describes: {"name": "cnn", **knobs}.

    `settings` is plain data from a config or a checkpoint; knobs that are left out take the network's defaults.
    Raises UserError for an unknown name or knob.
    """
    knobs = dict(settings)
    name = knobs.pop("name", None)
    if name == "ensemble":
        _check_knobs(name, knobs, {"members"})
        members = knobs.get("members", ())
        return Ensemble([build(each, num_classes=num_classes, image_size=image_size) for each in members])
    if name not in NETWORKS:
        raise UserError(f"There is no network {name!r}; choose one of {', '.join(NETWORKS)}.")
    own, first = knobs_of(name)
    _check_knobs(name, knobs, own | first)
    prepare = Prepare(image_size, **{knob: knobs.pop(knob) for knob in first & knobs.keys()})
    return NETWORKS[name](prepare, num_classes, **knobs)


def knobs_of(name: str) -> tuple[set[str], set[str]]:
    """The knobs of one of `NETWORKS`: its own, and those of the `Prepare` before it."""
    own, first = (set(inspect.signature(made).parameters) for made in (NETWORKS[name], Prepare))
    return own - {"prepare", "num_classes"}, first - {"image_size"}


def _check_knobs(name: str, knobs: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(knobs.keys() - known):
        raise UserError(f"model={name} has no knob {unknown[0]!r}; it has {', '.join(sorted(known))}.")
