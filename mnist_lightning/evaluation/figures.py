"""The figures of a network that was scored: from images, labels and logits. Independent of PyTorch, as `scores` is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mnist_lightning.evaluation import scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[ArrayLike, ArrayLike, ArrayLike, Sequence[str]], "Figure"]
"""Takes images, uint8 [N, H, W]; labels [N]; logits, floating point [N, C]; and the names of the classes."""


def sample_prediction(images: ArrayLike, labels: ArrayLike, logits: ArrayLike, class_names: Sequence[str]) -> Figure:
    """The first image, and the probability that the network gives to each class."""
    from mnist_lightning.plots.sample_prediction import sample_prediction as draw

    probabilities = np.exp(scores.log_softmax(np.asarray(logits, np.float64)[:1]))[0]
    return draw(np.asarray(images)[0], int(np.asarray(labels)[0]), probabilities, class_names)


def worst_mistakes(
    images: ArrayLike, labels: ArrayLike, logits: ArrayLike, class_names: Sequence[str], count: int = 40
) -> Figure:
    """The mistakes that the network was most confident about, at most `count`, with predicted and true classes."""
    from mnist_lightning.plots.worst_mistakes import worst_mistakes as draw

    labels, logits = np.asarray(labels), np.asarray(logits, np.float64)
    worst, predictions = scores.worst(logits, labels, count), logits.argmax(1)
    return draw(
        np.asarray(images)[worst],
        labels[worst],
        predictions[worst],
        np.exp(scores.log_softmax(logits[worst]).max(1)),
        class_names,
        int((predictions != labels).sum()),
    )


def confusion_matrix(images: ArrayLike, labels: ArrayLike, logits: ArrayLike, class_names: Sequence[str]) -> Figure:
    """How often each class was read as each other class."""
    from mnist_lightning.plots.confusion_matrix import confusion_matrix as draw

    return draw(scores.score(logits, labels, len(class_names))["confusion_matrix"], class_names)


FIGURES: dict[str, Draw] = {
    "sample_prediction": sample_prediction,
    "worst_mistakes": worst_mistakes,
    "confusion_matrix": confusion_matrix,
}
"""By the name of the file, without its ending."""
