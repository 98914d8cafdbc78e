"""What a trained network predicts for its validation images: its temperature, and a file to compare recipes by.

Runs over all folds (`-m 'data.fold=range(5)' data.num_folds=5`) give, for every training image, the prediction of a
network that was not trained on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.evaluation.calibration import fit_temperature
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.models import checkpoint
from mnist_lightning.models.card import CARD
from mnist_lightning.run import files
from mnist_lightning.sweeps import out_of_fold

if TYPE_CHECKING:
    from mnist_lightning.tasks.train import Job

_FEWEST = 1000  # validation images needed to fit a temperature; with fewer it stays 1


def read_held_out(job: Job, path: Path) -> None:
    """Read the validation images with a checkpoint; write its temperature into its card, and for a fold write a file.

    The file is `validation.npz` (see `sweeps/out_of_fold.py`), with what the network says as trained, without its
    temperature, and with the run's test-time augmentation: recipes are compared by what they report.

    Only for the project's own data module: others do not say which images are for validation or which fold this is.

    Args:
        job: the run, whose data are set up.
        path: the checkpoint, which is rewritten.
    """
    data = job.data
    if not isinstance(data, DigitsDataModule) or not len(data.val):
        return
    assert job.trainer is not None
    device, precision = job.trainer.strategy.root_device.type, str(job.trainer.precision)
    folds = data.split_facts["num_folds"]
    tta = job.settings["tta"] if folds else {}
    logits, fitted = read(path, data, tta, device=device, precision=precision, allow=job.allowed)
    if fitted is not None:
        job.record.note(temperature=fitted)
    if folds:
        out_of_fold.save(
            job.run / out_of_fold.FILE, index=data.val_index.numpy(), label=data.val.labels.numpy(),
            log_probs=logits.log_softmax(1).numpy(),
        )  # fmt: skip


def read(path: Path, data: Any, tta: Mapping[str, float], **loading: Any) -> tuple[torch.Tensor, float | None]:
    """The logits [N, C] of the validation images with `tta`, and the temperature, which the checkpoint's card gets."""

    def logits(views: Mapping[str, float] | None) -> torch.Tensor:
        predictor = Predictor.load(path, tta=views, **loading)
        return torch.as_tensor(predictor.logits(data.val.images, data.eval_batch_size)).float()

    once = logits(None)
    if (fitted := temperature(once, data.val.labels)) is not None:
        calibrate(path, fitted)
    return logits(tta) if any(tta.values()) else once, fitted


def temperature(logits: torch.Tensor, labels: torch.Tensor) -> float | None:
    """The temperature that fits the logits [N, C] of validation images, or None where they do not determine one.

    The logits are those of images that are read once: all that uses a card's temperature reads without test-time
    augmentation, whose means are less confident. If all predictions are right, no temperature is too low.
    """
    if len(labels) < _FEWEST or bool((logits.argmax(1) == labels).all()):
        return None
    return fit_temperature(logits, labels)


def calibrate(path: Path, value: float) -> None:
    """Write a temperature into the card of a checkpoint file."""
    content = checkpoint.read(path)
    content[CARD] = {**content[CARD], "temperature": value}
    files.write_atomically(path, lambda file: torch.save(content, file))
