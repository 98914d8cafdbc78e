"""A network as the page's own engine reads it: layers by name, and 8-bit weights.

Weights of convolutions and linear layers are int8 with one scale per output (symmetric, round to nearest); the
engine multiplies in float32. What comes before the first layer, biases and batch norms stay float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnist_lightning.errors import UserError
from mnist_lightning.export import base91
from mnist_lightning.models.cnn import CNN, Block
from mnist_lightning.models.ensemble import Ensemble
from mnist_lightning.models.lenet5 import LeNet5
from mnist_lightning.models.mlp import MLP
from mnist_lightning.models.prepare import Prepare

Layer = dict[str, Any]


class Weights:
    """Tensors of a network, collected into one block of bytes."""

    def __init__(self) -> None:
        self.tensors: list[dict[str, Any]] = []
        self._data = bytearray()

    def add(self, values: Tensor) -> int:
        """Append a float32 tensor; returns its index."""
        self.tensors.append(self._append("float32", values.detach().numpy().astype("<f4")))
        return len(self.tensors) - 1

    def add_int8(self, values: Tensor) -> int:
        """Append weights [outputs, ...] in 8 bits with one scale for each output; returns their index."""
        rows = values.detach().numpy().reshape(len(values), -1)
        scales = row_scales(rows)
        tensor = self._append("int8", np.rint(rows / scales).astype(np.int8))
        tensor["scales"] = self._append("float32", scales.ravel())
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def text(self) -> str:
        """All bytes as text."""
        return base91.encode(bytes(self._data))

    def _append(self, kind: str, values: np.ndarray) -> dict[str, Any]:
        self._data.extend(b"\0" * (-len(self._data) % 4))
        offset = len(self._data)
        self._data.extend(values.tobytes())
        return {"type": kind, "offset": offset, "length": values.size}


def row_scales(rows: np.ndarray) -> np.ndarray:
    """Float32 [outputs, 1]: the step between adjacent values of the 255 that a row of weights [outputs, n] may have."""
    return np.maximum(np.abs(rows).max(axis=1, keepdims=True) / 127, 1e-12).astype(np.float32)


def describe(network: nn.Module) -> dict[str, Any]:
    """What the engine builds `network` from: `members`, `tensors` and `data`.

    Raises:
        UserError: the network is not one of the project's.
    """
    weights = Weights()
    members = list(network.members) if isinstance(network, Ensemble) else [network]
    described = [_member(member, weights) for member in members]
    return {"members": described, "tensors": weights.tensors, "data": weights.text()}


def rounded(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in `state` as the engine sees them: those that it keeps in 8 bits are rounded accordingly."""
    eight = {f"{name}.weight" for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
    return {name: _round(value) if name in eight else value for name, value in state.items()}


def _round(values: Tensor) -> Tensor:
    rows = values.detach().numpy().reshape(len(values), -1)
    scales = row_scales(rows)
    return torch.from_numpy(np.rint(rows / scales) * scales).to(values.dtype).reshape(values.shape)


def _member(network: nn.Module, weights: Weights) -> dict[str, Any]:
    """`prepare` and `layers` of one network."""
    if isinstance(network, CNN):
        layers = [layer for number, block in enumerate(network.blocks, 1) for layer in _block(block, number, weights)]
    elif isinstance(network, MLP):
        layers = _hidden(network.hidden, weights)
    elif isinstance(network, LeNet5):
        layers = [*_features(network.features, weights), *_hidden(network.hidden, weights)]
    else:
        raise UserError(
            f"The page's own engine cannot run a {type(network).__name__}, only cnn, mlp, lenet5 and ensembles of "
            "them; use engine=onnxruntime-web."
        )
    layers.append(_linear(network.head, weights))
    return {"prepare": _prepare(network.prepare), "layers": layers}


def _prepare(prepare: Prepare) -> dict[str, Any]:
    return {
        "inputs": list(prepare.inputs),
        "crop": prepare.size,
        "mean": prepare.mean.item(),
        "std": prepare.std.item(),
        "standardize": prepare.standardize,
    }


def _block(block: nn.Module, number: int, weights: Weights) -> list[Layer]:
    assert isinstance(block, Block)
    layers = [_convolution(block.conv, weights)]
    if isinstance(block.pool, nn.MaxPool2d):
        layers.append({"name": "max_pooling", "size": block.pool.kernel_size})
    return [*layers, _norm(block.norm, weights), {"name": "relu", "shows": f"block {number}"}]


def _features(features: nn.Sequential, weights: Weights) -> list[Layer]:
    layers: list[Layer] = []
    for module in features:
        if isinstance(module, nn.Conv2d):
            layers.append(_convolution(module, weights))
        elif isinstance(module, nn.Tanh):
            layers.append({"name": "tanh"})
        elif isinstance(module, nn.AvgPool2d):
            shown = 1 + sum("shows" in layer for layer in layers)
            layers.append({"name": "mean_pooling", "size": module.kernel_size, "shows": f"block {shown}"})
    return layers


def _hidden(hidden: nn.Sequential, weights: Weights) -> list[Layer]:
    layers: list[Layer] = []
    number = 0
    for module in hidden:
        if isinstance(module, nn.Linear):
            layers.append(_linear(module, weights))
        elif isinstance(module, nn.BatchNorm1d):
            layers.append(_norm(module, weights))
        elif isinstance(module, nn.ReLU | nn.Tanh):
            number += 1
            layers.append({"name": type(module).__name__.lower(), "shows": f"hidden layer {number}"})
    return layers


def _convolution(conv: nn.Conv2d, weights: Weights) -> Layer:
    padding = conv.padding[0]
    assert isinstance(padding, int)
    return {
        "name": "convolution",
        "outputs": conv.out_channels,
        "kernel": conv.kernel_size[0],
        "padding": padding,
        "weights": [weights.add_int8(conv.weight), None if conv.bias is None else weights.add(conv.bias)],
    }


def _linear(linear: nn.Linear, weights: Weights) -> Layer:
    bias = None if linear.bias is None else weights.add(linear.bias)
    return {"name": "linear", "outputs": linear.out_features, "weights": [weights.add_int8(linear.weight), bias]}


def _norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, weights: Weights) -> Layer:
    """Batch normalisation with its running statistics: a factor and an offset for each channel."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    offset = norm.bias - norm.running_mean * factor
    return {"name": "scaling", "weights": [weights.add(factor), weights.add(offset)]}
