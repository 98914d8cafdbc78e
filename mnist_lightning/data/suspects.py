"""The file that names training images whose labels are likely wrong: `suspects.json`.

A sweep over `data.fold` writes it (`evaluation.label_errors` finds them), and `data.suspects=drop|soften` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_lightning.errors import UserError
from mnist_lightning.run import files

FILE = "suspects.json"
LARGEST = 64 << 20  # bytes


@dataclass(frozen=True)
class Suspects:
    """Training images whose labels are likely wrong, the least believable label first.

    Attributes:
        dataset: name of the set.
        images: images of the set that were looked at.
        index: int64 [K] into the training images.
        label: int64 [K], the labels that they have.
        probs: float32 [K, C], what networks that have not seen them say; each row sums to 1.
    """

    dataset: str
    images: int
    index: np.ndarray
    label: np.ndarray
    probs: np.ndarray

    @property
    def likely(self) -> np.ndarray:
        """The class that the networks see, int64 [K]."""
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


def read(path: Path, dataset: str, labels: Sequence[int] | np.ndarray, num_classes: int) -> Suspects:
    """Read the file.

    Args:
        path: the file, or the folder of a sweep that holds `suspects.json`.
        dataset: name of the set that is trained on.
        labels: [N] of all its training images, which the file is held against.
        num_classes: C.

    Raises:
        UserError: there is no such file, it is about another set, or its labels are not those of the set.
    """
    if path.is_dir():
        path = path / FILE
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
            np.array([row["probs"] for row in rows], np.float32).reshape(len(rows), num_classes),
        )
    except FileNotFoundError:
        raise UserError(
            f"There is no {path}: a sweep over all folds writes it, as "
            "`python scripts/train.py -m data.num_folds=5 'data.fold=range(5)'` does."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())[:80]}): expected {FILE}.") from None
    if found.dataset != dataset:
        raise UserError(f"{path} is about {found.dataset}, and the training images are those of {dataset}.")
    known = np.asarray(labels)
    inside = (found.index >= 0) & (found.index < len(known))
    if (
        not inside.all()
        or (known[found.index] != found.label).any()
        or len(set(found.index.tolist())) < len(found.index)
    ):
        raise UserError(f"{path} does not fit the training images of {dataset}: its labels are not theirs.")
    if not np.isfinite(found.probs).all() or (found.probs < 0).any() or (abs(found.probs.sum(1) - 1) > 1e-3).any():
        raise UserError(f"{path} holds probabilities that do not sum to 1.")
    return found
