"""Training images whose labels are likely wrong, from the predictions of networks that have not seen them.

Confident learning: C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", 2021 (arXiv:1911.00068), as cleanlab implements it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mnist_lightning.data.suspects import Suspects
from mnist_lightning.plots import style

SHOWN = 60  # images on the contact sheet
ROW = 12


def find(dataset: str, index: np.ndarray, label: np.ndarray, log_probs: np.ndarray) -> Suspects:
    """Name the images whose labels are likely wrong, the least believable label first.

    Prunes by noise rate: for each pair of classes, as many images as the confident joint estimates to be mislabelled.

    Args:
        dataset: name of the set.
        index: int64 [N] into its training images.
        label: int64 [N]; every class occurs.
        log_probs: float [N, C], out of fold.
    """
    from cleanlab.filter import find_label_issues

    probs = np.exp(log_probs.astype(np.float64))
    probs /= probs.sum(1, keepdims=True)
    found = find_label_issues(label, probs, return_indices_ranked_by="self_confidence", n_jobs=1)
    return Suspects(dataset, len(index), index[found], label[found], probs[found].astype(np.float32))


def draw(path: Path, suspects: Suspects, images: np.ndarray) -> None:
    """Write a contact sheet of the first suspects: each under the label that it has and the one that is likely.

    Args:
        path: a PNG file.
        suspects: found by `find`.
        images: uint8 [N, 28, 28], all training images of the set.
    """
    count = min(SHOWN, len(suspects.index))
    rows = max(1, -(-count // ROW))
    height = rows * 1.25 + 0.7  # inches
    figure = Figure(figsize=(ROW * 0.95, height), dpi=style.DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(
        0.01, 1 - 0.3 / height,
        f"{len(suspects.index)} of {suspects.images:,} training images of {suspects.dataset} have a label that is "
        "likely wrong" + (f"; the first {count}" if count < len(suspects.index) else "")
        + ": its label → what networks that have not seen it read, its index",
        fontsize=style.TEXT_SIZE, color=style.INK,
    )  # fmt: skip
    for place, axes in enumerate(figure.subplots(rows, ROW, squeeze=False).flat):
        axes.set_axis_off()
        if place < count:
            axes.imshow(images[suspects.index[place]], cmap="gray_r", vmin=0, vmax=255)
            axes.set_title(
                f"{suspects.label[place]} → {suspects.likely[place]}\n{suspects.index[place]}",
                fontsize=style.TEXT_SIZE, color=style.INK, pad=2,
            )  # fmt: skip
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.9 / height, hspace=0.5)
    style.save(figure, path)
