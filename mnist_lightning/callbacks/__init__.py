"""What happens around training: one artefact or one behaviour per file, each an entry of `conf/callbacks/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnist_lightning import lazily

if TYPE_CHECKING:
    from mnist_lightning.callbacks.averaging import Averaging
    from mnist_lightning.callbacks.checkpoint import BestAndLast
    from mnist_lightning.callbacks.early_stopping import EarlyStopping
    from mnist_lightning.callbacks.interruption import Interruption
    from mnist_lightning.callbacks.learning_curves import LearningCurves
    from mnist_lightning.callbacks.loss_graph import LossGraph
    from mnist_lightning.callbacks.metrics_json import MetricsJSON
    from mnist_lightning.callbacks.network_graph import NetworkGraph
    from mnist_lightning.callbacks.pictures import ConfusionMatrix, SamplePrediction, WorstMistakes
    from mnist_lightning.callbacks.progress import Progress
    from mnist_lightning.callbacks.pruning import Pruning
    from mnist_lightning.callbacks.seeding import Seeding

_HOMES = {
    "Averaging": "mnist_lightning.callbacks.averaging",
    "BestAndLast": "mnist_lightning.callbacks.checkpoint",
    "ConfusionMatrix": "mnist_lightning.callbacks.pictures",
    "EarlyStopping": "mnist_lightning.callbacks.early_stopping",
    "Interruption": "mnist_lightning.callbacks.interruption",
    "LearningCurves": "mnist_lightning.callbacks.learning_curves",
    "LossGraph": "mnist_lightning.callbacks.loss_graph",
    "MetricsJSON": "mnist_lightning.callbacks.metrics_json",
    "NetworkGraph": "mnist_lightning.callbacks.network_graph",
    "Progress": "mnist_lightning.callbacks.progress",
    "Pruning": "mnist_lightning.callbacks.pruning",
    "SamplePrediction": "mnist_lightning.callbacks.pictures",
    "Seeding": "mnist_lightning.callbacks.seeding",
    "WorstMistakes": "mnist_lightning.callbacks.pictures",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
