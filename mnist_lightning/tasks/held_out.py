"""What a trained network predicts for its validation images: its temperature, and a file to compare recipes by.

Runs over all folds (`-m 'data.fold=range(5)' data.num_folds=5`) give, for every training image, the prediction of a
network that was not trained on it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.evaluation.calibration import fit_temperature
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.models import checkpoint
from mnist_lightning.models.card import CARD
from mnist_lightning.run import files

if TYPE_CHECKING:
    from mnist_lightning.tasks.train import Job

FILE = "validation.npz"
"""In a run folder: `index` int64 [N], places in the whole training set; `label` int64 [N]; `log_probs` float32 [N, C]
of the network as trained, without its temperature."""

_FEWEST = 1000  # validation images needed to fit a temperature; with fewer it stays 1


def read_held_out(job: Job, path: Path) -> None:
    """Read the validation images with a checkpoint; write its temperature into its card, and for a fold write `FILE`.

    Only for the project's own data module: others do not say which images are for validation or which fold this is.

    Args:
        job: the run, whose data are set up.
        path: the checkpoint, which is rewritten.
    """
    data = job.data
    if not isinstance(data, DigitsDataModule) or not len(data.val):
        return
    assert job.trainer is not None
    predictor = Predictor.load(
        path, job.trainer.strategy.root_device.type, job.settings["tta"], str(job.trainer.precision),
        allow=job.allowed,
    )  # fmt: skip
    logits = torch.as_tensor(predictor.logits(data.val.images, data.eval_batch_size)).float()
    if (fitted := temperature(logits, data.val.labels)) is not None:
        calibrate(path, fitted)
        job.record.note(temperature=fitted)
    if data.split_facts["num_folds"]:
        write(job.run / FILE, data.val_index, data.val.labels, logits)


def temperature(logits: torch.Tensor, labels: torch.Tensor) -> float | None:
    """The temperature that fits the logits [N, C] of validation images, or None where they do not determine one.

    If all predictions are right, no temperature is too low.
    """
    if len(labels) < _FEWEST or bool((logits.argmax(1) == labels).all()):
        return None
    return fit_temperature(logits, labels)


def calibrate(path: Path, value: float) -> None:
    """Write a temperature into the card of a checkpoint file."""
    content = checkpoint.read(path)
    content[CARD] = {**content[CARD], "temperature": value}
    files.write_atomically(path, lambda file: torch.save(content, file))


def write(path: Path, index: torch.Tensor, labels: torch.Tensor, logits: torch.Tensor) -> None:
    """Write `FILE`, whole or not at all."""
    columns: dict[str, Any] = {
        "index": index.numpy().astype(np.int64),
        "label": labels.numpy().astype(np.int64),
        "log_probs": logits.log_softmax(1).numpy().astype(np.float32),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    files.write_atomically(path, buffer.getvalue())
