"""load(...): a trained network as a function of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.run.folder import find_checkpoint
from mnist_lightning.types import Device


def load(
    ckpt: str | Path | None = None,
    *,
    outputs: str | Path = "outputs",
    device: Device = "cpu",
    allow: Sequence[str] = (),
) -> Predictor:
    """Load a trained network: `load("pretrained")("photo.png")` reads a picture.

    Args:
        ckpt: a checkpoint file, a run folder, `latest` or `pretrained`; None for the latest run, else `pretrained`.
        outputs: folder that `latest` is looked up in.
        device: auto, cpu, cuda or mps.
        allow: modules outside of this package whose networks may be built.

    Raises:
        UserError: there is no such checkpoint, or it is broken.
    """
    path, _ = find_checkpoint(None if ckpt is None else str(ckpt), Path(outputs))
    return Predictor.load(path, device, allow=allow)
