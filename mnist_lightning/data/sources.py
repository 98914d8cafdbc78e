"""Named data sets as uint8 tensors in memory, fetched once and then read straight from IDX files.

Knows where they are stored and what makes one complete and genuine; not how they are split, batched or augmented.
"""

import functools
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnist_lightning.cli.check import nearest
from mnist_lightning.data.archives import TEST, TORCHVISION, TRAIN, fetch
from mnist_lightning.data.checksums import Checksums, sha256, stamp_of
from mnist_lightning.data.download import Unavailable
from mnist_lightning.data.idx import BrokenFile, read_idx_with_status, write_idx
from mnist_lightning.errors import UserError

logger = logging.getLogger("mnist_lightning")

NAMES: tuple[str, ...] = (*TORCHVISION, "digits")

_DIGITS = tuple("0123456789")
_CLASS_NAMES = {
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
_DIGITS_TRAIN = 1500  # scikit-learn's digits come writer by writer: the last 297 are by other people
_SET_ASIDE = ".replaced"  # suffix for a file whose content is not published anywhere


@dataclass(frozen=True, eq=False)
class Source:
    """One data set in memory; equal only to itself.

    Attributes:
        name: what was actually loaded, one of `NAMES`.
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


def load(name: str, folder: Path, mirrors: Sequence[str] = ()) -> Source:
    """Load a data set from the data folder; what is missing or damaged there is fetched first.

    Every file is compared with its published checksum, once until it changes (see `data/checksums.py`).

    Args:
        name: one of `NAMES`; or auto, for MNIST if it is on disk or any address has it, and otherwise, with a warning,
            scikit-learn's digits.
        folder: data folder in torchvision's layout (`<folder>/MNIST/raw/...`), created if it is missing.
        mirrors: https://, http:// or file:// bases or folders, tried before the official addresses. For
            MNIST those in the environment variable `MNIST_MIRROR` (separated by commas) follow them.

    Raises:
        UserError: there is no such set, it cannot be fetched, or the folder cannot be read or written.
    """
    if name not in (*NAMES, "auto"):
        near = nearest(name, list(NAMES))
        hint = f"did you mean {near!r}" if near else f"there are {', '.join(NAMES)}"
        raise UserError(f"There is no data set {name!r}; {hint}.")
    if name == "digits":
        return _load_digits()
    try:
        return _load_files("mnist" if name == "auto" else name, folder, mirrors)
    except Unavailable as error:
        if name == "auto":
            logger.warning("NOT MNIST: this run takes scikit-learn's 1,797 small digits (data=digits). %s.", error)
            return _load_digits()
        setting = "MNIST_MIRROR" if name == "mnist" else "data.mirrors"
        raise UserError(
            f"{error}; set {setting} to a folder or address that has the published files, "
            "or take data=digits, which needs no network."
        ) from error


def _load_files(name: str, folder: Path, mirrors: Sequence[str]) -> Source:
    """As `load` for a set kept in files; raises Unavailable, with part of a sentence, if one cannot be fetched."""
    folder = folder.expanduser()
    raw = folder / TORCHVISION[name] / "raw"
    class_names = _CLASS_NAMES.get(name, _DIGITS)
    if name == "mnist":
        mirrors = [*mirrors, *filter(None, map(str.strip, os.environ.get("MNIST_MIRROR", "").split(",")))]
    try:
        checksums = Checksums(raw, name)
        arrays, faults = _read(checksums, len(class_names))
        if faults:
            arrays, faults = _replace(checksums, arrays, faults, folder, mirrors, len(class_names))
    except OSError as error:
        path = str(error.filename or raw)
        raise UserError(
            f"Cannot read or write {raw if path.endswith('.part') else path} ({error.strerror or error}); "
            "put that right or choose another data.folder."
        ) from error
    if faults:
        part, fault = next(iter(faults.items()))
        raise UserError(f"{raw / part} {fault or 'is missing'} even after a fresh download; check the disk.")
    images, labels = ([torch.from_numpy(arrays[part]) for part in parts] for parts in zip(TRAIN, TEST, strict=True))
    digests = {part: str(checksums.expected(part)) for part in (*TRAIN, *TEST)}
    return Source(name, images[0], labels[0].long(), images[1], labels[1].long(), class_names, digests)


def _replace(
    checksums: Checksums,
    arrays: dict[str, np.ndarray],
    faults: dict[str, str],
    folder: Path,
    mirrors: Sequence[str],
    num_classes: int,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Fetch the files that have a fault and read all again; returns what `_read` returns.

    A complete file whose content is not published anywhere may be somebody's own work: it is set aside, not lost.
    """
    raw, title = checksums.raw, TORCHVISION[checksums.name]
    logger.info("Fetching %s into %s", title, raw)
    try:
        fetch(checksums.name, faults, folder, mirrors, checksums)
    except Unavailable as error:
        broken = [f"{raw / part} {fault}" for part, fault in faults.items() if fault]
        subject = f"{broken[0]}, and {title}" if broken else title
        raise Unavailable(f"{subject} cannot be fetched ({error})") from error
    fresh, remaining = _read(checksums, num_classes)
    published = {checksums.expected(part) for part in (*TRAIN, *TEST)}
    for part in faults.keys() & arrays.keys():
        if sha256(arrays[part]) not in published:
            aside = raw / f"{part}{_SET_ASIDE}"
            write_idx(aside, arrays[part])
            logger.warning("%s %s: it was replaced, and is now %s.", raw / part, faults[part], aside.name)
    return fresh, remaining


def _read(checksums: Checksums, num_classes: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The four IDX files, and what is wrong with those that are missing ("") or damaged (part of a sentence)."""
    raw = checksums.raw
    arrays: dict[str, np.ndarray] = {}
    stamps = {}
    faults: dict[str, str] = {}
    for part in (*TRAIN, *TEST):
        try:
            arrays[part], status = read_idx_with_status(raw / part)
            stamps[part] = stamp_of(status)
        except (FileNotFoundError, NotADirectoryError):  # noqa: PERF203
            faults[part] = ""
        except BrokenFile as error:
            faults[part] = str(error)
    for images, labels in (TRAIN, TEST):
        if images in arrays and (arrays[images].shape[1:] != (28, 28) or not len(arrays[images])):
            faults[images] = "does not hold 28x28 images"
        if labels in arrays and (arrays[labels].ndim != 1 or arrays[labels].max(initial=0) >= num_classes):
            faults[labels] = f"does not hold labels from 0 to {num_classes - 1}"
        if faults.keys().isdisjoint((images, labels)) and len(arrays[images]) != len(arrays[labels]):
            faults[images] = faults[labels] = f"and {labels} are not of the same length"
    for part, stamp in stamps.items():
        if part not in faults and (fault := checksums.fault(part, arrays[part], stamp)):
            faults[part] = fault
    return arrays, faults


def _load_digits() -> Source:
    images, labels = (torch.tensor(values) for values in _converted_digits())  # copies: whoever loads it may change it
    labels = labels.long()
    train, test = slice(_DIGITS_TRAIN), slice(_DIGITS_TRAIN, None)
    return Source("digits", images[train], labels[train], images[test], labels[test], _DIGITS)


@functools.cache
def _converted_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, converted once per process: over a second."""
    from mnist_lightning.data.small import load_sklearn_digits  # imports OpenCV, which the other sets do not need

    return load_sklearn_digits()
