"""The pictures of a network that was scored on the test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl

from mnist_lightning import compat
from mnist_lightning.evaluation import figures
from mnist_lightning.models.classifier import Classifier, Scored
from mnist_lightning.types import PositiveInt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture(pl.Callback):
    """Draws `<file>.png` in the Trainer's `default_root_dir` after `Trainer.test`, and passes it to the loggers."""

    file = ""
    _loggers: Sequence[Any] = ()
    _epochs = 0

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember the loggers of the training, for a test by another Trainer."""
        self._loggers, self._epochs = trainer.loggers, trainer.current_epoch

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw what the network predicted for the test images."""
        if isinstance(pl_module, Classifier) and pl_module.scored is not None and trainer.is_global_zero:
            names = (pl_module.card or {}).get("class_names")
            names = names or [str(number) for number in range(pl_module.scored.logits.shape[1])]
            figure = self.draw(pl_module.scored, names)
            path = Path(trainer.default_root_dir) / f"{self.file}.png"
            keep(figure, path, trainer.loggers or self._loggers, self._epochs, "test")

    def draw(self, scored: Scored, class_names: Sequence[str]) -> Figure:
        """The picture."""
        if self.file not in figures.FIGURES:
            raise TypeError("a Picture draws: override draw()")
        return figures.FIGURES[self.file](scored.images, scored.labels, scored.logits, class_names)


class SamplePrediction(Picture):
    """The first test image, and the probability that the network gives to each class."""

    file = "sample_prediction"


class WorstMistakes(Picture):
    """The mistakes that the network was most confident about.

    Args:
        count: the most that are shown.
    """

    file = "worst_mistakes"

    def __init__(self, count: PositiveInt = 40) -> None:
        self.count = count

    def draw(self, scored: Scored, class_names: Sequence[str]) -> Figure:
        """The images with the predicted and the true classes."""
        return figures.worst_mistakes(scored.images, scored.labels, scored.logits, class_names, self.count)


class ConfusionMatrix(Picture):
    """How often each class was read as each other class."""

    file = "confusion_matrix"


def keep(figure: Figure, path: Path, loggers: Sequence[Any], step: int, group: str) -> None:
    """Save a figure, and pass it to those loggers that take pictures.

    Args:
        figure: the picture.
        path: its file.
        loggers: Lightning's.
        step: the epoch that it shows.
        group: `train` or `test`, among whose curves TensorBoard shows it.
    """
    from mnist_lightning.plots import style

    style.save(figure, path)
    for logger in loggers:
        kind = type(logger).__name__
        if kind == "TensorBoardLogger":
            compat.show_png(logger.experiment, path, f"{group}/{path.stem}", step)
        elif kind == "WandbLogger":
            logger.log_image(path.stem, [str(path)])
        elif kind == "MLFlowLogger":
            logger.experiment.log_artifact(logger.run_id, str(path))
