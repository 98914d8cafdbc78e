"""Handwritten-digit recognition on PyTorch Lightning and Hydra.

The public names are imported when they are first used, so that `import mnist_lightning` costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_lightning.data.augment import Augment
    from mnist_lightning.data.datamodule import DigitsDataModule
    from mnist_lightning.inference.load import load
    from mnist_lightning.inference.predictor import Predictor
    from mnist_lightning.models.classifier import Classifier
    from mnist_lightning.models.cnn import CNN
    from mnist_lightning.models.lenet5 import LeNet5
    from mnist_lightning.models.mlp import MLP
    from mnist_lightning.models.network import Network
    from mnist_lightning.tasks.api import train

__version__ = "0.2.0"


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` (PEP 562), which imports each name of `homes` from its module when it is first used."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return get


_HOMES = {
    "Augment": "mnist_lightning.data.augment",
    "CNN": "mnist_lightning.models.cnn",
    "Classifier": "mnist_lightning.models.classifier",
    "DigitsDataModule": "mnist_lightning.data.datamodule",
    "LeNet5": "mnist_lightning.models.lenet5",
    "MLP": "mnist_lightning.models.mlp",
    "Network": "mnist_lightning.models.network",
    "Predictor": "mnist_lightning.inference.predictor",
    "load": "mnist_lightning.inference.load",
    "train": "mnist_lightning.tasks.api",
}
__all__ = ["__version__", *_HOMES]
__getattr__ = lazily(__name__, _HOMES)
