"""Training images whose labels are likely wrong: the file that names them, and training without or despite them.

A sweep over `data.fold` writes the file (`evaluation.label_errors` finds the images), and `data.suspects=drop|soften`
reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_lightning.errors import UserError
from mnist_lightning.run import files
from mnist_lightning.types import Treatment

if TYPE_CHECKING:
    from torch import Tensor

FILE = "suspects.json"
LARGEST = 64 << 20  # bytes
HOW_TO_GET_ONE = (
    "a sweep over all folds writes it, as `python scripts/train.py -m data.num_folds=5 'data.fold=range(5)'` does."
)


@dataclass(frozen=True)
class Suspects:
    """Training images whose labels are likely wrong, the least believable label first.

    Attributes:
        dataset: name of the set.
        images: number of training images that were looked at.
        index: int64 [K] into the training images.
        label: int64 [K], the labels that they have.
        probs: float32 [K, C], predicted by networks that have not seen them; each row sums to 1.
    """

    dataset: str
    images: int
    index: np.ndarray
    label: np.ndarray
    probs: np.ndarray

    @property
    def likely(self) -> np.ndarray:
        """The class that the networks predict, int64 [K]."""
        return self.probs.argmax(1).astype(np.int64)


def write(path: Path, found: Suspects) -> None:
    """Write the file, atomically."""
    columns = zip(found.index.tolist(), found.label.tolist(), found.likely.tolist(), found.probs.tolist(), strict=True)
    rows = [
        {"index": index, "label": label, "likely": likely, "probs": [round(each, 6) for each in probs]}
        for index, label, likely, probs in columns
    ]
    files.write_json(
        path, {"schema_version": 1, "dataset": found.dataset, "images": found.images, "suspects": rows}
    )  # fmt: skip


def read(path: Path) -> Suspects:
    """Read the file.

    Args:
        path: the file, or the folder of a sweep that holds `suspects.json`.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    path = place(path)
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        told = json.loads(path.read_text(encoding="utf-8"))
        rows = told["suspects"]
        found = Suspects(
            str(told["dataset"]),
            int(told["images"]),
            np.array([row["index"] for row in rows], np.int64),
            np.array([row["label"] for row in rows], np.int64),
            np.array([row["probs"] for row in rows], np.float32).reshape(len(rows), -1 if rows else 0),
        )
    except FileNotFoundError:
        raise UserError(f"There is no {path}: {HOW_TO_GET_ONE}") from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())[:80]}): expected {FILE}.") from None
    if len(np.unique(found.index)) < len(found.index):
        raise UserError(f"{path} names an image twice.")
    if not np.isfinite(found.probs).all() or (found.probs < 0).any() or (abs(found.probs.sum(1) - 1) > 1e-3).any():
        raise UserError(f"{path} holds probabilities that do not sum to 1.")
    return found


def place(path: Path) -> Path:
    """The file that `data.suspects_file` names: itself, or the one in the folder of a sweep."""
    path = path.expanduser()
    return path / FILE if path.is_dir() else path


def chosen(treatment: Treatment, file: str | None, num_folds: int) -> Suspects | None:
    """What the settings `data.suspects` and `data.suspects_file` ask for; None for `keep`.

    Raises:
        UserError: there is no file, it is damaged, or its soft labels would leak those of the fold held out.
    """
    if treatment == "keep":
        return None
    if not file:
        raise UserError(f"data.suspects={treatment} needs data.suspects_file=...: {HOW_TO_GET_ONE}")
    if treatment == "soften" and num_folds:
        raise UserError(
            "data.suspects=soften cannot be combined with data.num_folds: its soft labels come from networks that were "
            "trained on the fold held out, and carry its labels over. Measure data.suspects=drop out of fold."
        )
    return read(Path(file))


def check(found: Suspects, path: Path, dataset: str, labels: Tensor, num_classes: int) -> None:
    """Check the suspects against the set that is trained on.

    Args:
        found: read from `path`.
        path: for the message.
        dataset: name of the set.
        labels: int64 [N] of all its training images.
        num_classes: C.

    Raises:
        UserError: they are about other images.
    """
    if found.dataset != dataset:
        raise UserError(f"{path} is about {found.dataset}, and the training images are those of {dataset}.")
    if found.images != len(labels):
        raise UserError(
            f"{path} is about {found.images:,} of the {len(labels):,} training images of {dataset}: it takes a sweep "
            "over all folds, without data.limit."
        )
    known = labels.numpy()
    inside = ((found.index >= 0) & (found.index < len(known))).all()
    if not inside or (known[found.index] != found.label).any():
        raise UserError(f"{path} does not fit the training images of {dataset}: its labels are not theirs.")
    if len(found.index) and found.probs.shape[1] != num_classes:
        raise UserError(f"{path} knows {found.probs.shape[1]} classes, and {dataset} has {num_classes}.")


def drop(index: Tensor, images: Tensor, labels: Tensor, found: Suspects) -> tuple[Tensor, Tensor]:
    """Training images and labels without the suspects.

    Args:
        index: int64 [n], which training images of the set these are.
        images: uint8 [n, 28, 28].
        labels: int64 [n].
        found: the suspects.
    """
    kept = np.flatnonzero(~np.isin(index.numpy(), found.index))
    return images[kept], labels[kept]


def soften(index: Tensor, labels: Tensor, found: Suspects, num_classes: int) -> Tensor:
    """Labels as probabilities; those of the suspects lie halfway between their label and the networks' prediction.

    After S. Reed et al., "Training deep neural networks on noisy labels with bootstrapping", 2014 (arXiv:1412.6596),
    with the answers of networks that have not seen the image in place of the network's own.

    Args:
        index: int64 [n], which training images of the set the first n labels belong to, ascending.
        labels: int64 [N], N >= n; below 0 for an image that belongs to no class.
        found: the suspects.
        num_classes: C.

    Returns:
        float32 [N, C]; rows of zeros for images that belong to no class.
    """
    import torch
    from torch.nn import functional

    targets = functional.one_hot(labels.clamp_min(0), num_classes).float() * (labels >= 0)[:, None]
    rows = np.flatnonzero(np.isin(found.index, index.numpy()))
    places = torch.from_numpy(np.searchsorted(index.numpy(), found.index[rows]))
    targets[places] = (targets[places] + torch.from_numpy(found.probs[rows])) / 2
    return targets


def facts(treatment: Treatment, file: str, found: Suspects, index: Tensor) -> dict[str, Any]:
    """What a record says about them: the treatment, how many training images it affects, the file and its SHA-256."""
    path = place(Path(file))
    return {
        "treatment": treatment,
        "images": int(np.isin(index.numpy(), found.index).sum()),
        "file": str(path),
        "sha256": files.digest(path),
    }
