"""What a sweep over `data.fold` says about every training image: predictions by networks that have not seen it.

Each run with `data.num_folds` leaves `validation.npz` in its folder: `index` int64 [N] of the fold's images in the
training set, `label` int64 [N], `log_probs` float32 [N, C]. Over all folds that is one prediction per training image:
12 times as many images to base choices on as the usual 5,000, and none of them a test image.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnist_lightning.errors import UserError
from mnist_lightning.run.files import write_atomically
from mnist_lightning.sweeps.collect import Run

FILE = "validation.npz"  # in a run's folder
LARGEST = 1 << 30  # bytes of it


@dataclass(frozen=True)
class OutOfFold:
    """The out-of-fold predictions of one recipe.

    Attributes:
        index: int64 [N], ascending: which training images.
        label: int64 [N].
        log_probs: float32 [N, C], the logarithm of the mean probability over the seeds.
        seeds: the S seeds, each with all its folds.
        wrong: bool [S, N], whether the networks of a seed read the image wrongly.
    """

    index: np.ndarray
    label: np.ndarray
    log_probs: np.ndarray
    seeds: list[int]
    wrong: np.ndarray

    @property
    def errors(self) -> list[int]:
        """Errors over all images, per seed."""
        return [int(count) for count in self.wrong.sum(1)]

    @property
    def accuracy(self) -> float:
        """Mean over the seeds, a fraction."""
        return 1 - float(self.wrong.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the accuracy, from the images: a fraction."""
        return float(self.wrong.mean(0).std() / np.sqrt(len(self.index)))


def gather(runs: Sequence[Run]) -> OutOfFold | None:
    """The predictions of runs of one recipe; None where no seed has all its folds.

    Args:
        runs: finished ones that differ only in seed and fold.

    Raises:
        UserError: a file cannot be read, or the folds do not fit together.
    """
    by_seed: dict[int, dict[int, Run]] = {}
    for run in runs:
        folds = run.settings.get("data.num_folds")
        seed, fold = run.metrics.get("seed"), run.settings.get("data.fold")
        if folds and isinstance(seed, int) and isinstance(fold, int) and (Path(run.folder) / FILE).is_file():
            by_seed.setdefault(seed, {})[fold] = run
    whole = {
        seed: found for seed, found in sorted(by_seed.items())
        if len(found) == next(iter(found.values())).settings["data.num_folds"]
    }  # fmt: skip
    if not whole:
        return None
    parts = [_joined([found[fold] for fold in sorted(found)]) for found in whole.values()]
    index, label, _ = parts[0]
    for other, labels, _ in parts[1:]:
        if not np.array_equal(index, other) or not np.array_equal(label, labels):
            raise UserError(
                f"The seeds {', '.join(map(str, whole))} validated on different images: compare them apart."
            )
    log_probs = np.logaddexp.reduce([each for _, _, each in parts]) - np.log(len(parts))
    wrong = np.stack([each.argmax(1) != label for _, _, each in parts])
    return OutOfFold(index, label, log_probs.astype(np.float32), list(whole), wrong)


def _joined(folds: Sequence[Run]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index, label and log-probabilities of all images, in the order of the training set."""
    parts = [read(Path(run.folder) / FILE) for run in folds]
    if len({log_probs.shape[1] for _, _, log_probs in parts}) > 1:
        raise UserError(f"The folds in {Path(folds[0].folder).parent} have different classes.")
    index, label, log_probs = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = index.argsort()
    index = index[order]
    if (index[1:] == index[:-1]).any():
        raise UserError(
            f"Two folds in {Path(folds[0].folder).parent} hold the same images: do they have one data.split_seed?"
        )
    return index, label[order], log_probs[order]


def read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index [N], label [N] and log-probabilities [N, C] from a `validation.npz` or an `out_of_fold.npz`.

    Raises:
        UserError: it cannot be read, or is not such a file.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        with np.load(path, allow_pickle=False) as file:
            index, label, log_probs = (file[name] for name in ("index", "label", "log_probs"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}): expected index, label and log_probs.") from None
    good = index.dtype.kind in "iu" and label.dtype.kind in "iu" and log_probs.dtype.kind == "f"
    if not good or index.ndim != 1 or label.shape != index.shape or log_probs.ndim != 2:
        raise UserError(f"{path} cannot be read: expected index [N], label [N] and log_probs [N, C].")
    if len(log_probs) != len(index) or np.isnan(log_probs).any() or len(label) == 0:
        raise UserError(f"{path} cannot be read: expected one row of log_probs, without NaN, for each index.")
    if label.min() < 0 or label.max() >= log_probs.shape[1] or index.min() < 0:
        raise UserError(f"{path} cannot be read: a label or an index is out of range.")
    return index.astype(np.int64), label.astype(np.int64), log_probs.astype(np.float32)


def write(path: Path, found: OutOfFold) -> None:
    """Write `index`, `label`, `log_probs`, `seed` [S] and `wrong` [S, N] into an NPZ file."""
    seeds = np.array(found.seeds, np.int64)
    save(path, index=found.index, label=found.label, log_probs=found.log_probs, seed=seeds, wrong=found.wrong)


def save(path: Path, **columns: Any) -> None:
    """Write arrays into an NPZ file, whole or not at all."""
    data = io.BytesIO()
    np.savez_compressed(data, **columns)
    write_atomically(path, data.getvalue())


@dataclass(frozen=True)
class McNemar:
    """Two recipes on the same images, over their common seeds.

    Attributes:
        images: how many.
        seeds: the common seeds.
        errors: of the first and of the second, summed over the seeds.
        only_first: pairs of image and seed that the first alone reads wrongly.
        only_second: those that the second alone does.
        difference: of the accuracies, first minus second, a fraction.
        standard_error: of the difference.
        p: two-sided, for "no difference".
    """

    images: int
    seeds: list[int]
    errors: tuple[int, int]
    only_first: int
    only_second: int
    difference: float
    standard_error: float
    p: float


def compare(first: OutOfFold, second: OutOfFold) -> McNemar:
    """Compare two recipes image by image.

    With one common seed it is McNemar's exact test (Q. McNemar, 1947). With several, an image is one cluster of pairs,
    whose errors depend on each other; the test is that for clustered matched pairs (V. L. Durkalski et al., 2003).

    Raises:
        UserError: different images, or no seed in common.
    """
    from scipy import stats

    if not np.array_equal(first.index, second.index) or not np.array_equal(first.label, second.label):
        raise UserError("The two sides of compare= were cross-validated on different images or labels.")
    seeds = sorted(set(first.seeds) & set(second.seeds))
    if not seeds:
        raise UserError("The two sides of compare= have no seed in common whose folds are all there.")
    ours, theirs = (side.wrong[[side.seeds.index(seed) for seed in seeds]] for side in (first, second))
    only_first, only_second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    per_image = ours.sum(0, dtype=np.int64) - theirs.sum(0, dtype=np.int64)
    total, squares, images = int(per_image.sum()), int((per_image**2).sum()), len(first.index)
    if squares == 0:
        p = 1.0
    elif len(seeds) == 1:
        p = float(stats.binomtest(only_first, only_first + only_second).pvalue)
    else:
        p = float(stats.chi2.sf(total**2 / squares, 1))
    pairs = images * len(seeds)
    return McNemar(
        images, seeds, (int(ours.sum()), int(theirs.sum())), only_first, only_second, -total / pairs,
        float(np.sqrt(max(squares - total**2 / images, 0)) / pairs), p,
    )  # fmt: skip
