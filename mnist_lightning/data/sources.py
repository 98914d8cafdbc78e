"""Data sets as uint8 tensors in memory: the published ones, or the user's own in the same form."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnist_lightning.data import published


@dataclass(frozen=True, eq=False)
class Source:
    """One data set in memory; equal only to itself.

    Attributes:
        name: what was actually loaded, one of `published.NAMES`; or of a data set of one's own.
        train_images: uint8 [N, 28, 28], bright ink (255) on dark (0).
        train_labels: int64 [N], from 0 to `num_classes` - 1.
        test_images: uint8 [M, 28, 28].
        test_labels: int64 [M].
        class_names: one per class, in the order of the labels.
        digests: SHA-256 of the files that it was read from, by their names; if left out, of the tensors.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of classes, as many as the set defines even if some do not occur."""
        return len(self.class_names)

    def fingerprint(self) -> dict[str, str]:
        """SHA-256, hexadecimal, of what was loaded: by file, or by tensor where there are no files."""
        tensors = ("train_images", "train_labels", "test_images", "test_labels")
        return dict(self.digests) or {
            name: hashlib.sha256(np.ascontiguousarray(getattr(self, name).numpy()).data).hexdigest() for name in tensors
        }


def load(name: str, folder: Path, mirrors: Sequence[str] = (), *, only_test: bool = False) -> Source:
    """Load a published data set as tensors; see `published.load`."""
    found = published.load(name, folder, mirrors, only_test=only_test)
    images, labels = (
        [torch.from_numpy(values) for values in pair] for pair in zip(found.train, found.test, strict=True)
    )
    return Source(
        found.name, images[0], labels[0].long(), images[1], labels[1].long(), found.class_names, found.digests
    )
