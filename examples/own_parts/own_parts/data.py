"""A folder of labelled image files as a data set."""

from pathlib import Path

import numpy as np
import torch

from mnist_lightning.data import Source
from mnist_lightning.ink.images import read_image
from mnist_lightning.ink.normalise import normalise


class ImageFolder:
    """Reads `<folder>/{train,test}/<class>/*`, any format that Pillow reads; each picture is brought to 28x28.

    Args:
        folder: where the images lie.
        name: what the set is called in records.
    """

    def __init__(self, folder: str, name: str = "image_folder") -> None:
        self.folder, self.name = Path(folder), name

    def __call__(self) -> Source:
        """Read all files."""
        classes = tuple(sorted(path.name for path in (self.folder / "train").iterdir() if path.is_dir()))
        return Source(self.name, *self._part("train", classes), *self._part("test", classes), classes)

    def _part(self, part: str, classes: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        files = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted((self.folder / part / name).iterdir())
        ]
        images = np.stack([normalise(read_image(path)) for path, _ in files])
        return torch.from_numpy(images), torch.tensor([label for _, label in files])
