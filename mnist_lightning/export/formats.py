"""The formats that a network can be written in, by name. A format is one function; its module is imported when used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


@dataclass(frozen=True)
class Export:
    """What a format is given.

    Attributes:
        network: in evaluation mode, on the CPU: float images [N, 1, H, W] in [0, 1] -> logits [N, C].
        card: its card, with `temperature`, `sure`, and under `export` where it comes from.
        path: the file to write; a temporary name.
        quantize: "int8" or None.
        calibration: training images, uint8 [1000, H, W], that set the ranges of 8-bit numbers; loaded when called.
        options: settings that only one format has, such as `engine`.
    """

    network: nn.Module
    card: dict[str, Any]
    path: Path
    quantize: str | None
    calibration: Callable[[], np.ndarray]
    options: Mapping[str, Any] = field(default_factory=dict)

    def example(self) -> Tensor:
        """Two images to trace the network with, float [2, 1, H, W]: a batch of one would be taken as fixed."""
        import torch

        side = self.card["image_size"]
        return torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))


def _in(module: str, function: str) -> Callable[..., Any]:
    """A function of `mnist_lightning.export`, imported when it is called."""

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(f"mnist_lightning.export.{module}"), function)(*arguments)

    return call


FORMATS: dict[str, Callable[[Export], None]] = {
    "onnx": _in("to_onnx", "write"),
    "safetensors": _in("to_torch", "write_safetensors"),
    "torch_export": _in("to_torch", "write_torch_export"),
    "torchscript": _in("to_torch", "write_torchscript"),
    "web": _in("web", "write"),
}
"""Each writes `export.path`."""

READERS: dict[str, Callable[[Path], Callable[[np.ndarray], np.ndarray]]] = {
    "onnx": _in("to_torch", "read"),
    "safetensors": _in("to_torch", "read"),
    "torch_export": _in("to_torch", "read_torch_export"),
    "torchscript": _in("to_torch", "read_torchscript"),
}
"""Each returns the written file as a function: images uint8 [N, H, W] -> probabilities [N, C]. A format without a
reader checks itself."""

SUFFIXES = {
    "onnx": ".onnx",
    "safetensors": ".safetensors",
    "torch_export": ".pt2",
    "torchscript": ".torchscript.pt",
    "web": ".html",
}
QUANTIZED = ("onnx", "web")
"""Formats that support `quantize=int8`."""

INT8_DIFFERING = 0.01
"""Share of images that a network of 8 bits may read differently."""
