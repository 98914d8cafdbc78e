"""One Predictor for every trained network: images in, logits or probabilities out.

The front end of two engines: PyTorch reads `.ckpt` and `.safetensors` files, ONNX Runtime reads `.onnx` files. Each is
imported when a file of its kind is loaded. Needs no config and no Lightning; the card in the file holds everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_lightning.errors import UserError
from mnist_lightning.run.machine import no_such

if TYPE_CHECKING:
    import torch

ONNX = ".onnx"


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """What one layer computes from an image.

    Attributes:
        layer: its name.
        maps: float32 [C, H, W].
    """

    layer: str
    maps: np.ndarray


class Predictor:
    """A trained network as a function of images.

    Attributes:
        class_names: one name per class, in the order of the logits.
        card: the card in the file (see `models/card.py`).
        temperature: the logits are divided by it before the softmax (see `evaluation/calibration.py`).
        precision: Lightning's name for it: `32-true`; or `bf16-mixed` or `16-mixed`, as in training, which is
            several times as fast where the hardware supports it, and changes probabilities by a few thousandths.
        tta: settings of `conf/tta/`; empty where each image is read once.
        network: the `torch.nn.Module`, which reads an image once; None for an ONNX file.
        device: the `torch.device`; None for an ONNX file, which runs on the CPU.
    """

    network: Any = None
    device: Any = None

    def __init__(self, card: dict[str, Any], precision: str = "32-true") -> None:
        self.card, self.precision = card, precision
        self.tta: dict[str, float] = {}
        self.class_names: tuple[str, ...] = tuple(card["class_names"])
        self.temperature = float(card.get("temperature", 1.0))

    @classmethod
    def load(
        cls,
        path: Path,
        device: str = "auto",
        tta: Mapping[str, float] | None = None,
        precision: str = "32-true",
        threads: int | None = None,
        allow: Sequence[str] = (),
    ) -> Predictor:
        """Load a `.ckpt`, `.safetensors` or `.onnx` file. An `.onnx` file is read without PyTorch.

        Args:
            path: the file.
            device: auto, cpu, cuda or mps.
            tta: settings of `conf/tta/`, to read each image several times.
            precision: as the attribute, or auto for the fastest that this machine trains in.
            threads: how many compute, in the whole process; None leaves the choice to the engine. One digit at a time
                is read fastest with 1.
            allow: modules outside of this package whose networks may be built.

        Raises:
            UserError: the file is broken or not of this project, or the engine cannot do what was asked.
        """
        engine: Any = cls
        if cls is Predictor and path.suffix == ONNX:
            from mnist_lightning.inference.onnx_predictor import OnnxPredictor as engine
        elif cls is Predictor:
            from mnist_lightning.inference.torch_predictor import TorchPredictor as engine
        return engine.open(path, device, tta, precision, threads, allow)

    def __call__(self, picture: Any, *, digits: int | None = None, sure: float | None = None) -> Any:
        """Read a picture, of any size and colours, or a batch of prepared digits.

        Args:
            picture: the path of an image file; a PIL image; an array, grey [H, W], or with OpenCV's order of colours,
                BGR [H, W, 3] or BGRA [H, W, 4]; or a batch of images like MNIST's, [N, 28, 28]. Arrays, or tensors on
                the CPU, are uint8, 0 to 255, or floating point, 0 to 1, as torchvision's ToTensor makes them.
            digits: 1 if the picture shows one digit; None for as many as it shows.
            sure: lowest probability at which a digit counts as sure; None for what the card says.

        Returns:
            A `Reading` (`digit`, `probabilities`, `sure`, `text`, `digits` with boxes in pixels of what was given); for
            a batch a list of them.

        Raises:
            UserError: the file is not an image, the array has another shape, type or range, or the network takes images
                of another size than MNIST's.
        """
        from mnist_lightning.inference.reader import Reader
        from mnist_lightning.ink.images import from_pil, read_picture, times_shrunk

        reader, shrunk = Reader(self, sure), 1
        if isinstance(picture, str | Path):
            file = read_picture(picture)
            pixels, shrunk = file.pixels, file.shrunk
        elif hasattr(picture, "getbands"):
            pixels = from_pil(picture)
            shrunk = times_shrunk(picture.size, pixels)
        else:
            pixels = _as_bytes(np.asarray(picture))
        if pixels.ndim == 3 and pixels.shape[1:] == (28, 28):
            return [reader.read_picture(each, 1) for each in pixels]
        if pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4)):
            raise UserError(
                f"A picture of shape {list(pixels.shape)} cannot be read: expected [H, W], [H, W, 3 or 4], or a batch "
                "[N, 28, 28]."
            )
        return reader.read_picture(pixels, digits).scaled(shrunk)

    def check_classes(self, path: Path, name: str, count: int) -> None:
        """Raise UserError unless the data set `name` has as many classes as this network, loaded from `path`."""
        if len(self.class_names) != count:
            raise UserError(
                f"{path} tells {len(self.class_names)} classes apart, {name} has {count}: choose the data= it was "
                "trained on."
            )

    def logits(self, images: Any, batch_size: int = 250) -> Any:
        """Logits, float32 [N, C], of images uint8 [N, 28, 28], bright ink on 0.

        A tensor on the CPU from PyTorch, a NumPy array from ONNX Runtime.
        """
        raise NotImplementedError

    def probabilities(self, images: Any) -> np.ndarray:
        """Probabilities, float32 [N, C], each row with a sum of 1, of images uint8 [N, 28, 28]."""
        return softmax(np.asarray(self.logits(images)), self.temperature)

    def feature_maps(self, image: np.ndarray) -> list[FeatureMaps]:
        """What each convolutional layer computes from an image, uint8 [28, 28], in the order of the layers."""
        raise NotImplementedError


def _as_bytes(values: np.ndarray) -> np.ndarray:
    """Pixels as uint8: as they are, or shares of 255.

    Raises:
        UserError: they are of another type, or shares that are not from 0 to 1.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        found = str(values.dtype)
    elif values.min(initial=0) >= 0 and values.max(initial=0) <= 1:  # not NaN either
        return np.rint(values * np.float32(255)).astype(np.uint8)
    else:
        found = f"{values.dtype} from {values.min():g} to {values.max():g}"
    raise UserError(f"An array of pixels is uint8, 0 to 255, or floating point, 0 to 1, not {found}: convert it first.")


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Softmax over the last axis of logits divided by a temperature, in their type."""
    scaled = (logits - logits.max(axis=-1, keepdims=True, initial=-np.inf)) / np.float32(temperature)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def pick_device(name: str = "auto") -> torch.device:
    """`cpu`, `cuda`, `mps`, or with `auto` the fastest that this machine has.

    Raises:
        UserError: this machine does not have the device.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, usable in there.items() if usable))
    if not there[name]:
        raise no_such(name)
    return torch.device(name)
