"""The LightningModule: what one training step does, and what an epoch measures.

Knows nothing of files, data sets or the config as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mnist_lightning.distributed import ranks
from mnist_lightning.models.checkpoint import CARD
from mnist_lightning.models.optim import build_optimizer, build_schedule


class Classifier(pl.LightningModule):
    """Trains a network to tell classes apart.

    Args:
        network: float images [N, 1, 28, 28] in [0, 1] -> logits [N, C].
        optimizer: settings of `conf/optimizer/`.
        scheduler: settings of `conf/scheduler/`.
        label_smoothing: share of the target spread over all classes, in what training minimises.
        card: plain data that goes into each checkpoint under `CARD`.
        exposed: whether training batches hold images of no digit, labelled -1.
        teacher: a trained network whose answers this one learns to give; not with `exposed`.
        distill_weight: share of the loss that is the distance from the teacher's answers, 0 to 1.
        temperature: by which the answers of both are softened.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any],
        label_smoothing: float = 0.0,
        card: Mapping[str, Any] | None = None,
        exposed: bool = False,
        teacher: nn.Module | None = None,
        distill_weight: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.optimizer_settings, self.scheduler_settings = optimizer, scheduler
        self.label_smoothing = label_smoothing
        self.card, self.exposed = card, exposed
        # In a list, and so no part of this module: its weights are not trained, averaged or saved.
        self.teachers = [] if teacher is None else [teacher.eval().requires_grad_(False)]
        self.distill_weight, self.temperature = distill_weight, temperature
        self.is_one_of_several = ranks.place().world > 1

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes in this attribute which hook it is in, some forty times a step. The Module's own way, which
        # looks whether the value is a parameter, costs more than the forward pass of a small network.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, 28, 28] in [0, 1] -> logits [N, C]."""
        return self.network(images)

    # The sums of an epoch stay on the device: reading one in a step would make the step wait for it, and self.log in a
    # step costs as much as a small network. They are no buffers, since weight averaging averages buffers.

    def on_fit_start(self) -> None:
        """Move the teacher to the device."""
        for teacher in self.teachers:
            teacher.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Begin the epoch's sums anew."""
        self.train_loss = torch.zeros((), device=self.device)
        self.train_images: int | Tensor = 0  # a tensor where only the device knows how many are digits

    def on_validation_epoch_start(self) -> None:
        """Begin the validation's sums anew."""
        self.val_loss, self.val_hits = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.val_images = 0

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy of one batch, with label smoothing (Szegedy et al. 2016).

        What is summed up for the record is the cross-entropy without it, so that it compares with the validation's.
        """
        images, labels = batch
        logits = self.network(images).float()
        log_probabilities = logits.log_softmax(1)
        if self.exposed:
            loss = self._exposed_loss(log_probabilities, labels)
        else:
            loss = F.nll_loss(log_probabilities, labels)
            self.train_loss.add_(loss.detach(), alpha=len(labels))
            self.train_images += len(labels)
            if self.label_smoothing:
                loss = (1 - self.label_smoothing) * loss - self.label_smoothing * log_probabilities.mean()
            for teacher in self.teachers:
                loss = torch.lerp(loss, self._distance(logits, teacher(images)), self.distill_weight)
        if self.is_one_of_several:
            loss = loss * self.trainer.train_dataloader.batch_sampler.weight(batch_idx)  # type: ignore[union-attr]
        return loss

    def _distance(self, logits: Tensor, taught: Tensor) -> Tensor:
        """Kullback-Leibler divergence from the teacher's answers, both softened, in the scale of a cross-entropy.

        Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, with their factor of the squared
        temperature. Teacher and network see the same augmented images (Beyer et al., CVPR 2022).
        """
        own, wanted = ((each.float() / self.temperature).log_softmax(1) for each in (logits, taught))
        return F.kl_div(own, wanted, reduction="batchmean", log_target=True) * self.temperature**2

    def _exposed_loss(self, log_probabilities: Tensor, labels: Tensor) -> Tensor:
        """The same where some labels are -1, no digit: their target is spread over all classes evenly.

        Outlier exposure (Hendrycks, Mazeika and Dietterich, ICLR 2019), all weights equal. Only digits are summed up
        for the record.
        """
        losses = F.nll_loss(log_probabilities, labels, ignore_index=-1, reduction="none")
        digits = labels >= 0
        self.train_loss += losses.detach().sum()
        self.train_images += digits.sum()
        spread = torch.where(digits, self.label_smoothing, 1.0)
        return ((1 - spread) * losses - spread * log_probabilities.mean(1)).mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add one batch to the validation sums: cross-entropy, and hits."""
        images, labels = batch
        logits = self.network(images).float()
        self.val_loss += F.cross_entropy(logits, labels, reduction="sum")
        self.val_hits += (logits.argmax(1) == labels).sum()
        self.val_images += len(labels)

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's means; validation closes every epoch, so the training loss is complete here too."""
        counts = torch.tensor([float(self.train_images), float(self.val_images)], device=self.device)
        sums = torch.cat([torch.stack([self.train_loss, self.val_loss, self.val_hits]), counts])
        if self.trainer.world_size > 1:
            sums = self.trainer.strategy.reduce(sums, reduce_op="sum")  # type: ignore[assignment]
        train_loss, val_loss, val_hits, train_images, val_images = sums.double().tolist()
        self.log_dict(
            {
                "train_loss": train_loss / max(train_images, 1),
                "val_loss": val_loss / max(val_images, 1),
                "val_accuracy": val_hits / max(val_images, 1),
            }
        )

    def configure_optimizers(self) -> Any:
        """Optimiser and, unless there is none, schedule with its interval, frequency and monitored metric."""
        optimizer = build_optimizer(self.optimizer_settings, self.network)
        interval = self.scheduler_settings.get("interval", "epoch")
        length = self.trainer.estimated_stepping_batches if interval == "step" else self.trainer.max_epochs
        schedule = build_schedule(self.scheduler_settings, optimizer, int(length or 1))
        if schedule is None:
            return optimizer
        # Lightning counts a frequency in batches, and from the start of each epoch: good only for plateau.
        watches = isinstance(schedule, ReduceLROnPlateau)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": schedule,
                "interval": interval,
                "frequency": self.scheduler_settings["frequency"] if watches else 1,
                "monitor": self.scheduler_settings.get("monitor", "val_loss"),
            },
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the card in."""
        if self.card is not None:
            checkpoint[CARD] = dict(self.card)
