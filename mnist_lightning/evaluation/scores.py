"""The numbers of a trained network: from logits and labels to plain Python numbers, ready for JSON.

Independent of networks, data sets and files.
"""

from typing import Any

from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_confusion_matrix


def score(logits: Tensor, labels: Tensor, num_classes: int) -> dict[str, Any]:
    """Score a classifier on a labelled set.

    Args:
        logits: [N, C] raw network outputs, any float type, any device, N >= 1.
        labels: [N] true classes, integers from 0 to C - 1.
        num_classes: C, including classes that do not occur in `labels`.

    Returns:
        `accuracy`: fraction from 0 to 1. `loss`: mean cross-entropy in nats, without label smoothing.
        `per_class`: `precision`, `recall`, `f1` (fractions, 0.0 where their denominator is 0) and
        `support` (number of samples), each a list of C. `confusion_matrix`: C lists of C counts,
        row = true class, column = predicted class.

    Raises:
        ValueError: no samples, or shapes that do not fit each other or `num_classes`.
        RuntimeError: a label outside 0 to C - 1.
    """
    if len(labels) == 0:
        raise ValueError("there are no samples to score")
    logits, labels = logits.detach().cpu().double(), labels.cpu().long()
    confusion = multiclass_confusion_matrix(logits, labels, num_classes)
    # Everything else follows from the counts. Dividing them in double precision keeps 9959 of 10000
    # at 0.9959; torchmetrics' own ratios are single precision and would print 0.9958999752998352.
    correct, support, predicted = confusion.diag(), confusion.sum(dim=1), confusion.sum(dim=0)
    return {
        "accuracy": int(correct.sum()) / len(labels),
        "loss": functional.cross_entropy(logits, labels).item(),
        "per_class": {
            "precision": _ratio(correct, predicted),
            "recall": _ratio(correct, support),
            "f1": _ratio(2 * correct, support + predicted),
            "support": support.tolist(),
        },
        "confusion_matrix": confusion.tolist(),
    }


def worst(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Find the most confident mistakes.

    Confidence is the softmax probability of the predicted class.

    Args:
        logits: [N, C] raw network outputs, any float type, any device.
        labels: [N] true classes.
        k: how many to return at most.

    Returns:
        [min(k, number of mistakes)] int64 indices into `labels` on the CPU, the most confident
        mistake first, the earlier sample first among equals.
    """
    logits, labels = logits.detach().cpu(), labels.cpu()
    mistakes = (logits.argmax(dim=1) != labels).nonzero().squeeze(1)
    # In double precision, because in single the confident ones all round to 1 and lose their order.
    confidence = logits[mistakes].double().log_softmax(dim=1).amax(dim=1)
    return mistakes[confidence.argsort(descending=True, stable=True)[:k]]


def _ratio(part: Tensor, whole: Tensor) -> list[float]:
    """Divide two [C] count tensors; 0 / 0 is 0.0."""
    return (part.double() / whole.clamp(min=1)).tolist()
