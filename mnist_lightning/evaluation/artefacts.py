"""The numbers and pictures that every scored network gets, after training and in `eval.py` alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lightning.data import corrections
from mnist_lightning.evaluation import figures, scores, style

MOST_MISTAKES = 40


def score_and_draw(
    folder: Path, images: Tensor, labels: Tensor, logits: Tensor, class_names: Sequence[str], dataset: str = ""
) -> tuple[dict[str, Any], dict[str, Figure]]:
    """Score a labelled set and write its three pictures into `folder`.

    Args:
        folder: gets `sample_prediction.png`, `worst_mistakes.png` and `confusion_matrix.png`.
        images: uint8 [N, 28, 28].
        labels: int64 [N].
        logits: float [N, C].
        class_names: C names.
        dataset: name of the set whose first N test images these are; MNIST's are scored by their corrected labels too.

    Returns:
        What `scores.score` found, with the confusion matrix, for MNIST with `corrected_labels` (see
        `data.corrections`) beside it; and the figures by name.
    """
    found = scores.score(logits, labels, len(class_names))
    if (corrected := corrections.score(dataset, logits, labels)) is not None:
        found["corrected_labels"] = corrected
    chances = logits.double().softmax(1)
    worst = scores.worst(logits, labels, MOST_MISTAKES)
    mistakes = int((logits.argmax(1) != labels).sum())
    drawn = {
        "sample_prediction": figures.sample_prediction(
            images[0].numpy(), int(labels[0]), chances[0].numpy(), class_names
        ),
        "worst_mistakes": figures.worst_mistakes(
            images[worst].numpy(),
            labels[worst].numpy(),
            logits[worst].argmax(1).numpy(),
            chances[worst].amax(1).numpy(),
            class_names,
            mistakes,
        ),
        "confusion_matrix": figures.confusion_matrix(np.asarray(found["confusion_matrix"]), class_names),
    }
    for name, figure in drawn.items():
        style.save(figure, folder / f"{name}.png")
    return found, drawn
