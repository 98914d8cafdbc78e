"""A network -> the formats of PyTorch: safetensors, torch.export and TorchScript."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from mnist_lightning.export.formats import Export
from mnist_lightning.inference.predictor import Predictor, softmax
from mnist_lightning.models import safetensors
from mnist_lightning.models.card import CARD, dump_card
from mnist_lightning.models.network import to_input

log = logging.getLogger("mnist_lightning")

Read = Callable[[np.ndarray], np.ndarray]


def write_safetensors(export: Export) -> None:
    """Weights and card without pickle; the best format to share a network in."""
    export.path.write_bytes(safetensors.dump(export.network.state_dict(), export.card))


def read(path: Path) -> Read:
    """A `.safetensors` or `.onnx` file as a function from images to probabilities."""
    return Predictor.load(path, "cpu").probabilities


def write_torch_export(export: Export) -> None:
    """A `.pt2` file: the graph of `torch.export`, with a free batch size and the card beside it."""
    program = torch.export.export(export.network, (export.example(),), dynamic_shapes=({0: Dim.DYNAMIC},))
    content = io.BytesIO()  # torch.export insists on .pt2 in the name of a file
    torch.export.save(program, content, extra_files={CARD: dump_card(export.card)})
    export.path.write_bytes(content.getvalue())


def read_torch_export(path: Path) -> Read:
    """The written file as a function from images to probabilities."""
    extra: dict[str, Any] = {CARD: ""}
    program = torch.export.load(io.BytesIO(path.read_bytes()), extra_files=extra)
    return _as_function(program.module(), extra[CARD])


def write_torchscript(export: Export) -> None:
    """A TorchScript file, traced, with the card beside the code. PyTorch has deprecated the format."""
    log.warning("TorchScript is deprecated by PyTorch: prefer format=onnx or format=torch_export.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(export.network, export.example())
        torch.jit.save(traced, export.path, _extra_files={CARD: dump_card(export.card)})


def read_torchscript(path: Path) -> Read:
    """The file just written as a function, to check it. No command reads TorchScript files: they hold code."""
    extra: dict[str, Any] = {CARD: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(path, "cpu", _extra_files=extra)
    return _as_function(module, extra[CARD])


def _as_function(module: nn.Module, card: str | bytes) -> Read:
    from mnist_lightning.models.card import parse_card

    text = card.decode() if isinstance(card, bytes) else card
    temperature = float(parse_card(text, "the file").get("temperature", 1.0))

    def probabilities(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return softmax(module(to_input(torch.as_tensor(images))).numpy(), temperature)

    return probabilities
