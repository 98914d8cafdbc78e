"""A Predictor on PyTorch, for `.ckpt` and `.safetensors` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnist_lightning.inference.predictor import FeatureMaps, Predictor, pick_device
from mnist_lightning.inference.views import Views
from mnist_lightning.models import checkpoint
from mnist_lightning.models.cnn import CNN
from mnist_lightning.models.ensemble import Ensemble
from mnist_lightning.models.fold import fold
from mnist_lightning.models.network import to_input
from mnist_lightning.run import machine


class TorchPredictor(Predictor):
    """A PyTorch network as a function of images."""

    network: nn.Module
    device: torch.device

    def __init__(
        self,
        network: nn.Module,
        card: dict[str, Any],
        device: torch.device,
        tta: Mapping[str, float] | None = None,
        precision: str = "32-true",
    ) -> None:
        super().__init__(card, precision)
        self.tta = dict(tta or {})
        # With its norms folded in, a tenth faster for one image.
        folded = fold(network) if isinstance(network, CNN | Ensemble) else network
        self.network, self.device = network.to(device).eval(), device
        # Float32 convolutions on a CPU take two thirds of the time with the channels last.
        folded = folded.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._reads = Views(folded, **tta) if tta and any(tta.values()) else folded

    @classmethod
    def open(
        cls,
        path: Path,
        device: str,
        tta: Mapping[str, float] | None,
        precision: str,
        threads: int | None,
        allow: Sequence[str] = (),
    ) -> TorchPredictor:
        """Load a checkpoint; see `Predictor.load`."""
        if threads is not None:
            torch.set_num_threads(threads)
        network, card = checkpoint.restore(path, allow)
        place = pick_device(device)
        return cls(network, card, place, tta, machine.pick_precision(place.type) if precision == "auto" else precision)

    @torch.inference_mode()
    def logits(self, images: Tensor | np.ndarray, batch_size: int = 250) -> Tensor:
        """Logits, float32 [N, C] on the CPU, of images uint8 [N, 28, 28], bright ink on 0."""
        images = torch.as_tensor(images)
        mixed = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)
        with torch.autocast(self.device.type, mixed, enabled=mixed is not None):
            parts = [self._reads(to_input(part.to(self.device))).float().cpu() for part in images.split(batch_size)]
        return torch.cat(parts) if parts else torch.empty(0, len(self.class_names))

    @torch.inference_mode()
    def feature_maps(self, image: np.ndarray) -> list[FeatureMaps]:
        """What each convolutional layer computes from an image, after its activation and pooling."""
        found: list[FeatureMaps] = []

        def keep(name: str) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                found.append(FeatureMaps(name, output[0].float().cpu().numpy()))

            return hook

        handles = [module.register_forward_hook(keep(name)) for name, module in layers(self.network)]
        try:
            self.network(to_input(torch.as_tensor(image)[None].to(self.device)))
        finally:
            for handle in handles:
                handle.remove()
        return found


def layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers of a network that compute maps, with names to show, in their order; none for an MLP."""
    if isinstance(blocks := getattr(network, "blocks", None), nn.Sequential):
        return [(f"block {number}", block) for number, block in enumerate(blocks, start=1)]
    if isinstance(features := getattr(network, "features", None), nn.Sequential):
        pools = [module for module in features if isinstance(module, nn.AvgPool2d | nn.MaxPool2d)]
        return [(f"block {number}", pool) for number, pool in enumerate(pools, start=1)]
    return []
