"""Calibration: whether a network that says 90 % is right nine times in ten. Proper scores, ECE, temperature scaling.

From logits and labels to plain numbers; independent of networks, data sets and files.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_calibration_error

BINS = 15  # of equal width over the confidence, as in Guo et al.
_TEMPERATURES = (0.02, 50.0)  # where the best one is looked for


def wilson(right: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of a share, from `right` of `total` (E. B. Wilson, 1927): two fractions."""
    from scipy.stats import binomtest  # takes half a second, which a training run is spared

    interval = binomtest(right, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The number above 0 by which logits are divided to minimise their mean negative log-likelihood.

    Temperature scaling: C. Guo et al., "On Calibration of Modern Neural Networks", 2017 (arXiv:1706.04599). It changes
    no prediction, only the confidence.

    Args:
        logits: [N, C] of validation images, which the network was not trained on.
        labels: [N] their true classes.
    """
    logits = logits.double()
    wanted = logits.gather(1, labels.long()[:, None]).mean()
    low, high = map(math.log, _TEMPERATURES)
    # The loss is convex in 1 / temperature: the sign of its slope says on which side the best one lies. One of
    # SciPy's minimisers does the same, but importing it costs a training run 0.3 s.
    for _ in range(25):  # to a ten-millionth
        middle = (low + high) / 2
        slope = ((logits / math.exp(middle)).softmax(1) * logits).sum(1).mean() - wanted
        low, high = (middle, high) if slope > 0 else (low, middle)
    return math.exp((low + high) / 2)


def calibration(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """How good the probabilities of a classifier are.

    Args:
        logits: [N, C], N >= 1; those of a scaled network are already divided by its temperature.
        labels: [N] true classes.

    Returns:
        `nll`: mean negative log-likelihood, nats. `brier`: mean squared distance between the probabilities and the
        truth, summed over the classes, 0 to 2 (G. W. Brier, 1950). `ece`: expected calibration error, `BINS` bins, a
        fraction. `confidence`: mean probability of the predicted class. `bins`: for each bin with images `low`, `high`,
        `count`, `confidence`, `accuracy` and its 95 % confidence interval `accuracy_low`, `accuracy_high`.
    """
    chances, labels = logits.double().softmax(1), labels.long()
    truth = functional.one_hot(labels, logits.shape[1])
    confidence, predicted = chances.max(1)
    return {
        "nll": functional.cross_entropy(logits.double(), labels).item(),
        "brier": (chances - truth).square().sum(1).mean().item(),
        "ece": multiclass_calibration_error(chances, labels, logits.shape[1], n_bins=BINS, norm="l1").item(),
        "confidence": confidence.mean().item(),
        "bins": _bins(confidence, predicted == labels),
    }


def _bins(confidence: Tensor, right: Tensor) -> list[dict[str, float]]:
    ends = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    place = torch.bucketize(confidence, ends[1:-1])
    found = []
    for index in range(BINS):
        inside = place == index
        if count := int(inside.sum()):
            hits = int(right[inside].sum())
            low, high = wilson(hits, count)
            found.append(
                {
                    "low": ends[index].item(),
                    "high": ends[index + 1].item(),
                    "count": count,
                    "confidence": confidence[inside].mean().item(),
                    "accuracy": hits / count,
                    "accuracy_low": low,
                    "accuracy_high": high,
                }
            )
    return found
