"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnist_lightning.types import Fraction, Positive, Share

OUTLIER = -1
"""The label of an image that belongs to no class."""


def classes(labels: Tensor) -> Tensor:
    """The class of each label, int64 [N]: the likeliest of a soft one, `OUTLIER` where it belongs to none."""
    if not labels.is_floating_point():
        return labels
    return torch.where(labels.any(1), labels.argmax(1), OUTLIER)


@dataclass(frozen=True)
class Loss:
    """Cross-entropy with label smoothing (Szegedy et al. 2016) and, where there are outliers, outlier exposure.

    Outlier exposure (Hendrycks, Mazeika and Dietterich, ICLR 2019): the target of an image labelled `OUTLIER` is spread
    evenly over all classes.

    Args:
        label_smoothing: share of the target that is spread over all classes, 0 to below 1.
        outliers: whether training batches hold images labelled `OUTLIER`.
    """

    label_smoothing: Share = 0.05
    outliers: bool = False

    def __call__(self, log_probs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, int | Tensor]:
        """The loss of a batch.

        Args:
            log_probs: float32 [N, C].
            labels: int64 [N]; or probabilities, float32 [N, C], with a row of zeros for an image that belongs to no
                class.

        Returns:
            The mean loss; the mean plain cross-entropy of the images that belong to a class, which is comparable
            with that of the validation set; and the number of these images (a tensor where only the device knows).
        """
        soft = labels.is_floating_point()
        if not self.outliers and not soft:
            plain = F.nll_loss(log_probs, labels)
            loss = plain
            if self.label_smoothing:
                loss = (1 - self.label_smoothing) * plain - self.label_smoothing * log_probs.mean()
            return loss, plain.detach(), len(labels)
        known = classes(labels) != OUTLIER
        if soft:
            losses = -(labels * log_probs).sum(1)
        else:
            losses = F.nll_loss(log_probs, labels, ignore_index=OUTLIER, reduction="none")
        spread = torch.where(known, self.label_smoothing, 1.0)
        loss = ((1 - spread) * losses - spread * log_probs.mean(1)).mean()
        count = known.sum()
        return loss, losses.detach().sum() / count.clamp_min(1), count


@dataclass(frozen=True)
class Distillation:
    """Teaches a network to answer as another one does.

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015. Teacher and network see the same
    augmented images (Beyer et al., CVPR 2022).

    Args:
        teacher: the trained network; it is put into evaluation mode, and its weights are frozen.
        weight: share of the loss that is the distance from the teacher's answers, above 0, at most 1.
        temperature: divides the logits of both before they are compared.
    """

    teacher: nn.Module
    weight: Fraction = 0.9
    temperature: Positive = 2.0

    def __post_init__(self) -> None:
        self.teacher.eval().requires_grad_(False)

    def __call__(self, loss: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        """Mix `loss` with the Kullback-Leibler divergence from the teacher's answers, scaled like a cross-entropy."""
        both = (logits, self.teacher(images))
        own, wanted = ((each.float() / self.temperature).log_softmax(1) for each in both)
        distance = F.kl_div(own, wanted, reduction="batchmean", log_target=True) * self.temperature**2
        return torch.lerp(loss, distance, self.weight)
