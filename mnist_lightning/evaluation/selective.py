"""Selective prediction: accuracy against coverage, where a network may decline.

Y. Geifman and R. El-Yaniv, "Selective Classification for Deep Neural Networks", 2017 (arXiv:1705.08500). Independent
of networks, data sets and files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def curve(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Accuracy on the images that are left when the least confident ones are declined.

    Args:
        logits: [N, C], N >= 1.
        labels: [N] true classes.

    Returns:
        Share declined, ascending from 0, and accuracy of the rest, both float64 [N]; confidence is the largest softmax
        probability.
    """
    chances, predicted = logits.double().log_softmax(1).max(1)
    order = chances.argsort(descending=True, stable=True)
    right = (predicted == labels)[order].double()
    kept = torch.arange(1, len(labels) + 1, dtype=torch.float64)
    accuracy = right.cumsum(0) / kept
    return (1 - kept / len(labels)).flip(0), accuracy.flip(0)


def area_under_risk(logits: Tensor, labels: Tensor) -> float:
    """AURC: the mean share of mistakes over all coverages; least where every mistake comes after all that is right."""
    return 1 - curve(logits, labels)[1].mean().item()


def thresholds(
    val_logits: Tensor, logits: Tensor, labels: Tensor, shares: Sequence[float]
) -> list[dict[str, Any]]:  # fmt: skip
    """What happens on the test images with thresholds that were chosen on validation images.

    Args:
        val_logits: [M, C], they choose the thresholds.
        logits: [N, C] of the test images.
        labels: [N] their true classes.
        shares: of the validation images that are to be declined, fractions.

    Returns:
        For each share: `asked`, `threshold` (the least confidence that is accepted), `declined` (share of the test
        images), `accuracy` of the accepted ones (None where there are none) and `mistakes` among them.
    """
    val_confidence = val_logits.double().softmax(1).amax(1)
    confidence, predicted = logits.double().softmax(1).max(1)
    found = []
    for share in shares:
        threshold = val_confidence.quantile(share).item() if share else 0.0
        accepted = confidence >= threshold
        kept, right = int(accepted.sum()), int((predicted == labels)[accepted].sum())
        found.append(
            {
                "asked": share,
                "threshold": threshold,
                "declined": 1 - kept / len(labels),
                "accuracy": right / kept if kept else None,
                "mistakes": kept - right,
            }
        )
    return found
