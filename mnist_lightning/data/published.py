"""Published data sets as uint8 arrays in memory, fetched once and then read straight from IDX files.

Knows where they are stored and what makes one complete and genuine; not how they are split, batched or augmented.
Does not import PyTorch, except to fetch a set (torchvision knows the addresses).
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

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
_ASIDE = ".replaced"  # suffix for a file whose content is not published anywhere


class Labelled(NamedTuple):
    """Images and their classes.

    Attributes:
        images: uint8 [N, 28, 28], bright ink (255) on dark (0).
        labels: uint8 [N].
    """

    images: np.ndarray
    labels: np.ndarray


class Published(NamedTuple):
    """One data set in memory.

    Attributes:
        name: what was actually loaded, one of `NAMES`.
        train: its training images; none where only the test images were asked for.
        test: its test images.
        class_names: one per class, in the order of the labels.
        digests: SHA-256 of the files that it was read from, by their names; none where there are no files.
    """

    name: str
    train: Labelled
    test: Labelled
    class_names: tuple[str, ...]
    digests: Mapping[str, str]


_NONE = Labelled(np.empty((0, 28, 28), np.uint8), np.empty(0, np.uint8))


def load(name: str, folder: Path, mirrors: Sequence[str] = (), *, only_test: bool = False) -> Published:
    """Load a data set from the data folder; what is missing or damaged there is fetched first.

    Every file is compared with its published checksum, once until it changes (see `data/checksums.py`).

    Args:
        name: one of `NAMES`; or auto, for MNIST if it is on disk or any address has it, and otherwise, with a warning,
            scikit-learn's digits.
        folder: data folder in torchvision's layout (`<folder>/MNIST/raw/...`), created if it is missing.
        mirrors: https://, http:// or file:// bases or folders, tried before the official addresses. For
            MNIST those in the environment variable `MNIST_MIRROR` (separated by commas) follow them.
        only_test: whether the files of the training images are neither fetched nor read.

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
        return _load_files(
            "mnist" if name == "auto" else name, folder, mirrors, (TEST,) if only_test else (TRAIN, TEST)
        )
    except Unavailable as error:
        if name == "auto":
            logger.warning("NOT MNIST: this run takes scikit-learn's 1,797 small digits (data=digits). %s.", error)
            return _load_digits()
        setting = "MNIST_MIRROR" if name == "mnist" else "data.mirrors"
        raise UserError(
            f"{error}; set {setting} to a folder or address that has the published files, "
            "or take data=digits, which needs no network."
        ) from error


def _load_files(name: str, folder: Path, mirrors: Sequence[str], wanted: Sequence[tuple[str, str]]) -> Published:
    """As `load` for a set kept in files: of `TRAIN` and `TEST` those wanted.

    Raises Unavailable, with part of a sentence, if one cannot be fetched.
    """
    folder = folder.expanduser()
    raw = folder / TORCHVISION[name] / "raw"
    class_names = _CLASS_NAMES.get(name, _DIGITS)
    if name == "mnist":
        mirrors = [*mirrors, *filter(None, map(str.strip, os.environ.get("MNIST_MIRROR", "").split(",")))]
    try:
        checksums = Checksums(raw, name)
        read = functools.partial(_read, checksums, len(class_names), wanted)
        arrays, faults = read()
        if faults:
            before, found = arrays, faults
            _fetch(checksums, found, folder, mirrors)
            arrays, faults = read()
            _set_aside(checksums, before, found)
    except OSError as error:
        path = str(error.filename or raw)
        raise UserError(
            f"Cannot read or write {raw if path.endswith('.part') else path} ({error.strerror or error}); "
            "put that right or choose another data.folder."
        ) from error
    if faults:
        part, fault = next(iter(faults.items()))
        raise UserError(f"{raw / part} {fault or 'is missing'} even after a fresh download; check the disk.")
    digests = {part: str(checksums.expected(part)) for pair in wanted for part in pair}
    train, test = (Labelled(*map(arrays.__getitem__, pair)) if pair in wanted else _NONE for pair in (TRAIN, TEST))
    return Published(name, train, test, class_names, digests)


def _fetch(checksums: Checksums, faults: Mapping[str, str], folder: Path, mirrors: Sequence[str]) -> None:
    """Fetch the files that have a fault; raises Unavailable, with part of a sentence that names it."""
    raw, title = checksums.raw, TORCHVISION[checksums.name]
    logger.info("Fetching %s into %s", title, raw)
    try:
        fetch(checksums.name, faults, folder, mirrors, checksums)
    except Unavailable as error:
        broken = [f"{raw / part} {fault}" for part, fault in faults.items() if fault]
        subject = f"{broken[0]}, and {title}" if broken else title
        raise Unavailable(f"{subject} cannot be fetched ({error})") from error


def _set_aside(checksums: Checksums, arrays: Mapping[str, np.ndarray], faults: Mapping[str, str]) -> None:
    """Keep what was in replaced files that were complete and hold what is published nowhere: perhaps somebody's work.

    Args:
        checksums: of the set, after the files were fetched.
        arrays: what the complete files held before.
        faults: what was wrong with files before.
    """
    published = {checksums.expected(part) for part in (*TRAIN, *TEST)}
    for part in faults.keys() & arrays.keys():
        if sha256(arrays[part]) not in published:
            aside = checksums.raw / f"{part}{_ASIDE}"
            write_idx(aside, arrays[part])
            logger.warning("%s %s: it was replaced, and is now %s.", checksums.raw / part, faults[part], aside.name)


def _read(
    checksums: Checksums, num_classes: int, wanted: Sequence[tuple[str, str]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The wanted IDX files, and what is wrong with those that are missing ("") or damaged (part of a sentence)."""
    raw = checksums.raw
    arrays: dict[str, np.ndarray] = {}
    stamps = {}
    faults: dict[str, str] = {}
    for part in (part for pair in wanted for part in pair):
        try:
            arrays[part], status = read_idx_with_status(raw / part)
            stamps[part] = stamp_of(status)
        except (FileNotFoundError, NotADirectoryError):  # noqa: PERF203
            faults[part] = ""
        except BrokenFile as error:
            faults[part] = str(error)
    for images, labels in wanted:
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


def _load_digits() -> Published:
    images, labels = (values.copy() for values in _converted_digits())  # whoever loads it may change it
    train, test = (Labelled(images[part], labels[part]) for part in (slice(_DIGITS_TRAIN), slice(_DIGITS_TRAIN, None)))
    return Published("digits", train, test, _DIGITS, {})


@functools.cache
def _converted_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, converted once per process: over a second."""
    from mnist_lightning.data.small import load_sklearn_digits  # imports OpenCV, which the other sets do not need

    return load_sklearn_digits()
