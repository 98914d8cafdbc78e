"""Networks, how they are trained, and the checkpoints that keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnist_lightning import lazily

if TYPE_CHECKING:
    from mnist_lightning.models.classifier import Classifier
    from mnist_lightning.models.cnn import CNN
    from mnist_lightning.models.ensemble import Ensemble
    from mnist_lightning.models.lenet5 import LeNet5
    from mnist_lightning.models.loss import Distillation, Loss
    from mnist_lightning.models.mlp import MLP
    from mnist_lightning.models.network import Network
    from mnist_lightning.models.schedule import Schedule, cosine, onecycle, plateau, step

_HOMES = {
    "CNN": "mnist_lightning.models.cnn",
    "Classifier": "mnist_lightning.models.classifier",
    "Distillation": "mnist_lightning.models.loss",
    "Ensemble": "mnist_lightning.models.ensemble",
    "LeNet5": "mnist_lightning.models.lenet5",
    "Loss": "mnist_lightning.models.loss",
    "MLP": "mnist_lightning.models.mlp",
    "Network": "mnist_lightning.models.network",
    "Schedule": "mnist_lightning.models.schedule",
    "cosine": "mnist_lightning.models.schedule",
    "onecycle": "mnist_lightning.models.schedule",
    "plateau": "mnist_lightning.models.schedule",
    "step": "mnist_lightning.models.schedule",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
