"""The numbers of a trained network: from logits and labels to plain Python numbers, ready for JSON.

Independent of networks and files, and of PyTorch, without which an ONNX file is scored. Whatever NumPy takes for an
array is taken here, so also tensors on the CPU.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mnist_lightning.data import corrections


def score(logits: ArrayLike, labels: ArrayLike, num_classes: int) -> dict[str, Any]:
    """Score a classifier on a labelled set.

    Args:
        logits: [N, C] raw network outputs, floating point, N >= 1.
        labels: [N] true classes, integers from 0 to C - 1.
        num_classes: C, including classes that do not occur in `labels`.

    Returns:
        `accuracy`: fraction from 0 to 1. `loss`: mean cross-entropy in nats, without label smoothing.
        `per_class`: `precision`, `recall`, `f1` (fractions, 0.0 where their denominator is 0) and
        `support` (number of samples), each a list of C. `confusion_matrix`: C lists of C counts,
        row = true class, column = predicted class.

    Raises:
        ValueError: no samples, shapes that do not fit each other or `num_classes`, or a label outside 0 to C - 1.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if len(labels) == 0:
        raise ValueError("there are no samples to score")
    if logits.shape != (len(labels), num_classes):
        raise ValueError(f"expected logits of shape {[len(labels), num_classes]}, got {list(logits.shape)}")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"expected labels from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}")
    cells = np.bincount(labels * num_classes + logits.argmax(1), minlength=num_classes**2)
    confusion = cells.reshape(num_classes, num_classes)
    correct, support, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return {
        "accuracy": int(correct.sum()) / len(labels),
        "loss": float(-log_softmax(logits)[np.arange(len(labels)), labels].mean()),
        "per_class": {
            "precision": _ratio(correct, predicted),
            "recall": _ratio(correct, support),
            "f1": _ratio(2 * correct, support + predicted),
            "support": support.tolist(),
        },
        "confusion_matrix": confusion.tolist(),
    }


def score_test(dataset: str, logits: ArrayLike, labels: ArrayLike, num_classes: int) -> dict[str, Any]:
    """What `score` finds on the test images of a set; for MNIST plus `corrected_labels` (see `data.corrections`)."""
    found = score(logits, labels, num_classes)
    if (corrected := corrections.score(dataset, logits, labels)) is not None:
        found["corrected_labels"] = corrected
    return found


def worst(logits: ArrayLike, labels: ArrayLike, k: int) -> np.ndarray:
    """Find the most confident mistakes.

    Confidence is the softmax probability of the predicted class.

    Args:
        logits: [N, C] raw network outputs, floating point.
        labels: [N] true classes.
        k: how many to return at most.

    Returns:
        [min(k, number of mistakes)] int64 indices into `labels`, the most confident mistake first, the earlier sample
        first among equals.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    mistakes = np.flatnonzero(logits.argmax(1) != labels)
    # In double precision, because in single the confident ones all round to 1 and lose their order.
    confidence = log_softmax(logits[mistakes].astype(np.float64)).max(1)
    return mistakes[np.argsort(-confidence, kind="stable")[:k]]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities [N, C] of logits [N, C], in their type."""
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _ratio(part: np.ndarray, whole: np.ndarray) -> list[float]:
    """Divide two [C] counts; 0 / 0 is 0.0."""
    return (part / np.maximum(whole, 1)).tolist()
