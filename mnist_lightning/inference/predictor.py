"""One Predictor for every trained network: images in, logits or probabilities out.

Needs no config and no Lightning; the card in the checkpoint says all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnist_lightning.errors import UserError
from mnist_lightning.inference.views import Views
from mnist_lightning.models import checkpoint
from mnist_lightning.models.network import to_input
from mnist_lightning.run import machine


def pick_device(name: str = "auto") -> torch.device:
    """`cpu`, `cuda`, `mps`, or with `auto` the fastest that is there.

    Raises:
        UserError: the device asked for is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, usable in there.items() if usable))
    if not there[name]:
        raise UserError(f"There is no {name} device on this machine: take auto, which picks one that is there, or cpu.")
    return torch.device(name)


class Predictor:
    """A trained network as a function of images.

    Attributes:
        network: the network itself, which reads an image once.
        class_names: one name a class, in the order of the logits.
        card: the checkpoint's card (see `models/checkpoint.py`).
        precision: Lightning's name of it: `32-true`; `bf16-mixed` or `16-mixed`, as training multiplies with it, which
            is several times as fast where the hardware has it, and moves probabilities by some thousandths.
    """

    def __init__(
        self,
        network: nn.Module,
        card: dict[str, Any],
        device: torch.device,
        tta: Mapping[str, float] | None = None,
        precision: str = "32-true",
    ) -> None:
        # Float32 convolutions on a CPU take half the time with the channels last.
        network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.card, self.device = network.eval(), card, device
        self._reads = Views(network, **tta) if tta and any(tta.values()) else network
        self.class_names: tuple[str, ...] = tuple(card["class_names"])
        self.precision = precision

    @classmethod
    def load(
        cls,
        path: Path,
        device: str = "auto",
        tta: Mapping[str, float] | None = None,
        precision: str = "32-true",
        allow: Sequence[str] = (),
    ) -> Predictor:
        """Load a checkpoint file, to read each image once or, with the settings of `conf/tta/`, several times.

        `precision` may be auto too: the fastest that this machine trains in. Raises UserError where the file is none of
        ours or broken.
        """
        network, card = checkpoint.restore(path, allow)
        place = pick_device(device)
        return cls(network, card, place, tta, machine.pick_precision(place.type) if precision == "auto" else precision)

    def check_classes(self, path: Path, name: str, count: int) -> None:
        """Raise UserError where the data set `name` has not as many classes as this network, loaded from `path`."""
        if len(self.class_names) != count:
            raise UserError(
                f"{path} tells {len(self.class_names)} classes apart, {name} has {count}: choose the data= it was "
                "trained on."
            )

    @torch.inference_mode()
    def logits(self, images: Tensor | np.ndarray, batch_size: int = 250) -> Tensor:
        """Logits, float32 [N, C] on the CPU, of images uint8 [N, 28, 28], bright ink on 0."""
        images = torch.as_tensor(images)
        mixed = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)
        with torch.autocast(self.device.type, mixed, enabled=mixed is not None):
            parts = [self._reads(to_input(part.to(self.device))).float().cpu() for part in images.split(batch_size)]
        return torch.cat(parts) if parts else torch.empty(0, len(self.class_names))

    def probabilities(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Probabilities, float32 [N, C] that add up to 1 in each row, of images uint8 [N, 28, 28]."""
        return self.logits(images).softmax(1).numpy()
