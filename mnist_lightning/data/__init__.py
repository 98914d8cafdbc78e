"""Data sets as tensors in memory: fetched, split, batched and augmented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnist_lightning import lazily

if TYPE_CHECKING:
    from mnist_lightning.data.augment import Augment
    from mnist_lightning.data.datamodule import DigitsDataModule
    from mnist_lightning.data.sources import Source

_HOMES = {
    "Augment": "mnist_lightning.data.augment",
    "DigitsDataModule": "mnist_lightning.data.datamodule",
    "Source": "mnist_lightning.data.sources",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
