"""Out-of-distribution detection: scores of how familiar an image is, and how well they separate.

Knows nothing of how the images were made (`outlier_sets.py`) or of networks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_specificity_at_sensitivity

KEPT = 0.95  # share of the known images that should be accepted


def max_softmax(logits: Tensor) -> Tensor:
    """Probability of the likeliest class, [N] from logits [N, C]: the higher, the more familiar.

    D. Hendrycks and K. Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples", 2017.
    """
    return logits.double().softmax(1).amax(1)


def energy(logits: Tensor) -> Tensor:
    """Negative free energy at temperature 1, the log of the summed exponentials, [N]: the higher, the more familiar.

    W. Liu et al., "Energy-based Out-of-distribution Detection", 2020 (arXiv:2010.03759).
    """
    return logits.double().logsumexp(1)


SCORES = {"max_softmax": max_softmax, "energy": energy}


def detection(known: Tensor, unknown: Tensor, val: Tensor) -> dict[str, float]:
    """How well a score separates in-distribution images (known) from out-of-distribution ones (unknown).

    Args:
        known: [N] scores of test images.
        unknown: [M] scores of images that show none of the classes.
        val: [K] scores of validation images, which choose the threshold.

    Returns:
        `auroc`: probability that a known image scores higher than an unknown one. `fpr95`: share of the unknown that
        passes where 95 % of the known do (the customary figure: its threshold is that of the test images themselves).
        `threshold`: 95 % of the validation images pass it; with it, `known_accepted` of the test images and
        `unknown_accepted` pass. All but the threshold are fractions.
    """
    scores = torch.cat([known, unknown])
    is_known = torch.cat([torch.ones(len(known)), torch.zeros(len(unknown))]).int()
    # Both measures depend on the ranks only. torchmetrics computes in single precision, where close scores would be
    # equal, and applies a sigmoid to values outside 0 to 1.
    ranks = scores.unique(return_inverse=True)[1].double() / len(scores)
    specificity, _ = binary_specificity_at_sensitivity(ranks, is_known, min_sensitivity=KEPT)
    threshold = val.quantile(1 - KEPT).item()
    return {
        "auroc": binary_auroc(ranks, is_known).item(),
        "fpr95": 1 - specificity.item(),
        "threshold": threshold,
        "known_accepted": (known >= threshold).double().mean().item(),
        "unknown_accepted": (unknown >= threshold).double().mean().item(),
    }
