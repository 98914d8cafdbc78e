"""MNIST's test labels that are known to be wrong, for a second figure beside the official one.

Source: C. G. Northcutt, A. Athalye and J. Mueller, "Pervasive Label Errors in Test Sets Destabilize Machine Learning
Benchmarks", 2021 (arXiv:2103.14749). Confident learning named 100 of the 10,000 test images, five people looked at each
(`mturk/mnist_mturk.json` of github.com/cleanlab/label-errors, commit 5457895), and for 15 of them fewer than three kept
the given label. For 10 of these three or more agreed on another one; for 5 no majority agreed on any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

CORRECTED = {  # place in the test set -> label given, label that three or more of five people saw
    947: (8, 9), 1621: (0, 6), 1901: (9, 4), 2462: (2, 0), 2597: (5, 3), 3558: (5, 0), 5937: (5, 3), 6651: (0, 6),
    6783: (1, 6), 9729: (5, 6),
}  # fmt: skip
UNDECIDED = {2130: 4, 2654: 6, 3520: 6, 8527: 4, 9679: 6}
"""Place in the test set -> label given, of the images on which no majority agreed."""


def score(dataset: str, logits: ArrayLike, labels: ArrayLike) -> dict[str, Any] | None:
    """Accuracy on the test images with corrected labels, without those that have no agreed label.

    Args:
        dataset: name of the set that the images are from.
        logits: [N, C] of its first N test images; an array, or a tensor on the CPU.
        labels: [N], as they were published; the same.

    Returns:
        `accuracy` (a fraction), `errors`, `images`, `corrected` and `left_out` (how many); None for any set but
        MNIST.
    """
    labels = np.asarray(labels).copy()
    places = [place for place in (*CORRECTED, *UNDECIDED) if place < len(labels)]
    given = {place: pair[0] for place, pair in CORRECTED.items()} | UNDECIDED
    if dataset != "mnist" or any(labels[place] != given[place] for place in places):
        return None
    left_out = [place for place in UNDECIDED if place < len(labels)]
    for place in set(places) - set(left_out):
        labels[place] = CORRECTED[place][1]
    right = np.delete(np.asarray(logits).argmax(1) == labels, left_out)
    images, correct = len(right), int(right.sum())
    return {
        "accuracy": correct / images,
        "errors": images - correct,
        "images": images,
        "corrected": len(places) - len(left_out),
        "left_out": len(left_out),
    }


def in_words(found: dict[str, Any]) -> str:
    """What `score` found, as text to show below the official figure."""
    return f"{100 * found['accuracy']:.2f} % of {found['images']:,} images with corrected labels"
