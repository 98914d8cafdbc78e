"""Image files in, one line of JSON each out."""

from __future__ import annotations

import glob
import json
import sys
from pathlib import Path

from mnist_lightning import compat
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.types import Device, Text


def predict_files(
    image: Text, ckpt: Text | None = None, outputs: str | Path = "outputs", device: Device = "auto"
) -> None:
    """Print what a network reads in image files.

    Every file is decoded before the first line is printed, so a wrong one leaves no half result.

    Args:
        image: a file, or a glob such as `photos/*.png`.
        ckpt: as everywhere (see `runs.find_checkpoint`); which one was taken is said on stderr.
        outputs: folder that `latest` is looked up in.
        device: auto, cpu, cuda or mps.

    Raises:
        UserError: no such file, no image, or no checkpoint.
    """
    paths = [image] if Path(image).exists() else sorted(glob.glob(image, recursive=True))  # noqa: PTH207
    if not paths:
        raise UserError(f"There is no image {image}: give a file, or a glob in quotes such as 'photos/*.png'.")
    path, word = runs.find_checkpoint(ckpt, Path(outputs))

    with compat.heavy_imports():
        import numpy as np

        from mnist_lightning.inference.predictor import Predictor
        from mnist_lightning.ink.images import read_image
        from mnist_lightning.ink.normalise import normalise

    digits = np.stack([normalise(read_image(path)) for path in paths])
    print(f"Checkpoint: {word}", file=sys.stderr)
    predictor = Predictor.load(path, device)
    for name, probabilities in zip(paths, predictor.probabilities(digits), strict=True):
        best = int(probabilities.argmax())
        label = predictor.class_names[best]
        line = {
            "image": name,
            "digit": int(label) if label.isdigit() else label,
            "confidence": round(float(probabilities[best]), 6),
            "probabilities": [round(float(each), 6) for each in probabilities],
        }
        print(json.dumps(line, ensure_ascii=False))
