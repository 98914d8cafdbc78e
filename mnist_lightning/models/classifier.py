"""The LightningModule: what a step of training does, and what an epoch measures.

Knows nothing of files, data sets or the config as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mnist_lightning import compat
from mnist_lightning.distributed import ranks
from mnist_lightning.errors import UserError
from mnist_lightning.models import checkpoint as checkpoints
from mnist_lightning.models.cuda_graph import Graphed
from mnist_lightning.models.loss import Distillation, Loss, classes
from mnist_lightning.models.optimizer import DEFAULT, MakeOptimizer, build_optimizer
from mnist_lightning.models.schedule import Schedule, as_schedule, onecycle


@dataclass(frozen=True, eq=False)
class Scored:
    """What a network predicted for labelled images, after `Trainer.test`.

    Attributes:
        images: uint8 [N, H, W].
        labels: int64 [N].
        logits: float32 [N, C], on the CPU.
    """

    images: Tensor
    labels: Tensor
    logits: Tensor


class Classifier(pl.LightningModule):
    """Trains, validates, tests and runs a network that tells classes apart, with any Lightning Trainer.

    Args:
        network: float images [N, 1, H, W] in [0, 1] -> logits [N, C].
        optimizer: from parameter groups to an optimizer, such as `functools.partial(torch.optim.Adam, lr=0.001)`.
        scheduler: a Schedule; or from an optimizer to a schedule of `torch.optim.lr_scheduler`, stepped per epoch; or
            None. Left out, it is `onecycle()`.
        loss: what training minimises; see `Loss`.
        distillation: a teacher to learn from in addition to the labels; cannot be combined with `loss.outliers`.
        card: plain data that goes into each checkpoint and rebuilds the network. Left out, it is made of
            `network.arguments` and what the Trainer's DataModule knows about its classes.

    Raises:
        UserError: the network is wrapped by `torch.compile`.

    Attributes:
        scored: what the last `Trainer.test` read, else None.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: MakeOptimizer = DEFAULT,
        scheduler: Schedule | Callable[..., Any] | None = onecycle(),  # noqa: B008
        loss: Loss = Loss(),  # noqa: B008
        distillation: Distillation | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if compat.wrapped_by_compile(network):
            raise UserError(
                "torch.compile(network) is a network that no checkpoint can rebuild: call network.compile(), which "
                "compiles it in its place."
            )
        self.network = network
        self.make_optimizer, self.schedule = optimizer, as_schedule(scheduler)
        self.loss, self.distillation, self.card = loss, distillation, card
        self.scored: Scored | None = None
        self._replayed: Graphed | None = None
        self.several_ranks = ranks.place().world > 1
        self.example_input_array = getattr(network, "example", torch.zeros(2, 1, 28, 28))

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, *, allow: Sequence[str] = (), map_location: Any = "cpu", **arguments: Any
    ) -> Classifier:
        """A Classifier around the trained network of a checkpoint file, which is read as plain data.

        Args:
            checkpoint_path: written by any Trainer that trained a Classifier.
            allow: modules outside of this package whose networks may be built.
            map_location: device of the network.
            **arguments: of the constructor, to train it further.

        Raises:
            UserError: the file is not such a checkpoint.
        """
        network, card = checkpoints.restore(Path(checkpoint_path), allow)
        return cls(network.to(map_location), **{"card": card, **arguments}).eval()

    @property
    def lr(self) -> float:
        """The learning rate that `optimizer` was given by name; Lightning's learning-rate finder sets it.

        Raises:
            AttributeError: it was given none.
        """
        given = getattr(self.make_optimizer, "keywords", {})
        if "lr" not in given:
            raise AttributeError("optimizer= was given no lr= by name")
        return given["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        self.make_optimizer = partial(self.make_optimizer, lr=value)

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, H, W] in [0, 1] -> logits [N, C]."""
        return self.network(images.to(self.dtype))  # all but float32 only with a precision such as bf16-true

    def _logits(self, images: Tensor, labels: Tensor, first: bool) -> Tensor:
        """The network's output for a labelled batch, float32 [N, C].

        Raises:
            UserError: it is the `first` batch, and C is not the number of classes. Where no DataModule names them, the
                highest label of the batch counts.
        """
        logits = self.forward(images).float()
        if first and len(labels):
            named = len(getattr(getattr(self.trainer, "datamodule", None), "class_names", ()))
            classes_seen = named or int(classes(labels).max()) + 1
            if logits.shape[1] < classes_seen or (named and logits.shape[1] != named):
                raise UserError(
                    f"The network has {logits.shape[1]} outputs, but the data {classes_seen} classes: give the network "
                    "as many outputs as there are classes."
                )
        return logits

    # The sums of an epoch stay on the device: reading one in a step would make the step wait for it, and self.log or a
    # torchmetrics update in a step costs as much as a small network. They are not buffers, since weight averaging
    # averages buffers.

    def on_fit_start(self) -> None:
        """Move the teacher to the device, and have the steps replayed where that is safe.

        The teacher is not part of this module: nothing of it is trained or saved.
        """
        taught = [] if self.distillation is None else [self.distillation.teacher.to(self.device)]
        # A step of somebody's own may do something else each time. With accumulation, a replayed step would overwrite
        # the gradients of the one before.
        own = type(self) is Classifier and type(self.loss) is Loss
        safe = own and not self.several_ranks and self.trainer.accumulate_grad_batches == 1
        self._replayed = Graphed(self._learn, [self.network, *taught]) if safe else None

    def on_fit_end(self) -> None:
        """Free what was recorded."""
        self._replayed = None

    def on_train_epoch_start(self) -> None:
        """Reset the sums of the epoch, and forget the means of the epoch before, which Lightning keeps."""
        self._train = _Sums(self.device)
        if self._replayed is not None:
            self._replayed.check([self.network, *self._replayed.modules[1:]])
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            self.trainer.callback_metrics.pop(name, None)

    def on_train_batch_end(self, *_: Any) -> None:
        """Log the training means of an epoch that ends without a validation, before callbacks ask for them."""
        every = self.trainer.check_val_every_n_epoch
        validates = self.trainer.enable_validation and (every is None or (self.current_epoch + 1) % every == 0)
        if self.trainer.is_last_batch and not validates:
            self._log_means(train=self._train)

    def on_validation_epoch_start(self) -> None:
        """Reset the sums of the validation."""
        self._val = _Sums(self.device)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The mean loss of one batch: images float [N, 1, H, W] in [0, 1], labels int64 [N] or soft, float [N, C]."""
        learnt = self._learn(*batch, first=True) if batch_idx == 0 or self._replayed is None else self._replayed(*batch)
        loss, plain, hits, *count = learnt
        self._train.add(plain.detach(), hits, count[0] if count else len(batch[1]))
        if self.trainer.accumulate_grad_batches > 1:
            loss = loss * self.share_of_step(batch_idx)
        if self.several_ranks:
            batches = self.trainer.train_dataloader.batch_sampler  # type: ignore[union-attr]
            if hasattr(batches, "weight"):  # not those of a DataModule of the user's own
                loss = loss * batches.weight(batch_idx)
        return loss

    def _learn(self, images: Tensor, labels: Tensor, first: bool = False) -> tuple[Tensor, ...]:
        """Loss, mean plain cross-entropy and hits of a batch; where only the device knows, how many have a class."""
        logits = self._logits(images, labels, first)
        log_probs = logits.log_softmax(1)
        loss, plain, count = self.loss(log_probs, labels)
        hits = (log_probs.detach().argmax(1) == classes(labels)).sum()
        if self.distillation is not None:
            loss = self.distillation(loss, logits, images)
        return (loss, plain, hits, count) if isinstance(count, Tensor) else (loss, plain, hits)

    @property
    def train_loss_so_far(self) -> float:
        """The mean training loss of the epoch's images so far, in this process; reading it waits for the device."""
        loss, _, images = self._train.packed().tolist()
        return loss / max(images, 1)

    def share_of_step(self, batch_idx: int) -> float:
        """Corrects Lightning's division by `accumulate_grad_batches` in a last step of fewer batches."""
        wanted, batches = self.trainer.accumulate_grad_batches, self.trainer.num_training_batches
        if batches == float("inf"):
            return 1.0
        return wanted / min(wanted, int(batches) - batch_idx // wanted * wanted)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add one batch to the sums of the validation."""
        images, labels = batch
        logits = self._logits(images, labels, batch_idx == 0)
        self._val.loss += F.cross_entropy(logits, labels, reduction="sum")
        self._val.hits += (logits.argmax(1) == classes(labels)).sum()
        self._val.images += len(labels)

    def on_validation_epoch_end(self) -> None:
        """Log the means; validation ends every epoch, so the training loss is complete here too."""
        trained = self._train if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking else None
        self._log_means(train=trained, val=self._val)

    def on_train_epoch_end(self) -> None:
        """Log the training means if nothing has done so, and step a schedule that watches a metric.

        Lightning steps such a schedule only after the checkpoint is saved, so a resumed run would lose the step.
        """
        metrics = self.trainer.callback_metrics
        if "train_loss" not in metrics:
            self._log_means(train=self._train)
        for config in self.trainer.lr_scheduler_configs:
            due = (self.current_epoch + 1) % config.frequency == 0 and str(config.monitor) in metrics
            if due and isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(metrics[str(config.monitor)])

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a schedule; one that watches a metric has been stepped by `on_train_epoch_end`."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def on_test_epoch_start(self) -> None:
        """Start a new collection."""
        self._read: list[tuple[Tensor, Tensor, Tensor]] = []

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect the network's output for one batch."""
        images, labels = batch
        self._read.append((images, labels, self._logits(images, labels, batch_idx == 0)))

    def on_test_epoch_end(self) -> None:
        """Log `test_loss` and `test_accuracy`, and keep what was read in `scored`."""
        images, labels, logits = (torch.cat(parts) for parts in zip(*self._read, strict=True))
        self._read.clear()
        total = _Sums(self.device)
        total.loss += F.cross_entropy(logits, labels, reduction="sum")
        total.hits += (logits.argmax(1) == labels).sum()
        total.images += len(labels)
        self._log_means(test=total)
        pixels = (images.squeeze(1) * 255).round().byte()
        self.scored = Scored(pixels.cpu(), labels.cpu(), logits.cpu())

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Probabilities [N, C] of one batch, labelled or not."""
        images = batch[0] if isinstance(batch, tuple | list) else batch
        return self.forward(images).float().softmax(1)

    def _log_means(self, **sums: _Sums | None) -> None:
        """Log `<stage>_loss` and `<stage>_accuracy` of each stage, over all ranks."""
        given = {stage: each for stage, each in sums.items() if each is not None}
        packed = torch.cat([each.packed() for each in given.values()])
        if self.trainer.world_size > 1:
            packed = self.trainer.strategy.reduce(packed, reduce_op="sum")  # type: ignore[assignment]
        values = packed.double().tolist()
        means: dict[str, float] = {}
        for number, stage in enumerate(given):
            loss, hits, images = values[3 * number : 3 * number + 3]
            means |= {f"{stage}_loss": loss / max(images, 1), f"{stage}_accuracy": hits / max(images, 1)}
        if "train_loss" in means and not all(map(math.isfinite, means.values())):
            raise UserError(
                f"The loss is {means['train_loss']} in epoch {self.current_epoch + 1}: training has diverged. Lower "
                "optimizer.lr, or set trainer.gradient_clip_val=1."
            )
        fits = self.trainer.state.fn == "fit"
        self.log_dict(means, logger=False if fits else None)
        if fits and not self.trainer.sanity_checking:
            # By hand: Lightning would plot what is measured once per epoch against steps.
            grouped = {name.replace("_", "/"): value for name, value in means.items()}
            for logger in self.loggers:
                logger.log_metrics(grouped, self.current_epoch + 1)

    def configure_optimizers(self) -> Any:
        """The optimizer and, unless there is none, its schedule in the form that Lightning expects."""
        make = self.make_optimizer
        if getattr(self.trainer, "gradient_clip_val", None) and getattr(make, "keywords", {}).get("fused"):
            make = partial(make, fused=False)  # in mixed precision Lightning cannot clip with it
        optimizer = build_optimizer(make, self.network)
        if self.schedule is None:
            return optimizer
        length = self._length(self.schedule.interval) if self.schedule.needs_length else 0
        if math.isinf(length) or length < 0:
            raise UserError("A schedule needs a run of known length: set max_epochs or max_steps, or scheduler=None.")
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": self.schedule.build(optimizer, int(length)),
                "interval": self.schedule.interval,
                "frequency": self.schedule.frequency,
                "monitor": self.schedule.monitor,
            },
        }

    def _length(self, interval: str) -> float:
        """The steps or epochs of the whole run; infinite where neither is limited."""
        trainer = self.trainer
        if interval == "epoch" and trainer.max_epochs is not None and trainer.max_epochs >= 0:
            return trainer.max_epochs or 1
        steps = trainer.estimated_stepping_batches
        if interval == "step" or math.isinf(steps):
            return steps
        trainer.fit_loop.setup_data()  # else it is not known yet how many batches an epoch has
        return math.ceil(steps * trainer.accumulate_grad_batches / max(trainer.num_training_batches, 1))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the card."""
        if self.card is None:
            self.card = checkpoints.card_of(self.network, getattr(self.trainer, "datamodule", None))
        if self.card is not None:
            checkpoint[checkpoints.CARD] = dict(self.card)
        if self.trainer.state.fn == "fit":
            compat.end_epoch(checkpoint, self.trainer.num_training_batches)
        if hasattr(self, "_train"):
            checkpoint[_EPOCH_SUMS] = self._train.packed().cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue the sums of the epoch, which a run that is resumed within one does not reset."""
        if (sums := checkpoint.get(_EPOCH_SUMS)) is not None:
            self._train = _Sums.unpacked(sums.to(self.device))


_EPOCH_SUMS = "epoch_sums"


class _Sums:
    """Loss, hits and images of an epoch so far, on the device.

    The images are a tensor, too: `torch.compile` would compile a step anew for each value of a number in it.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss, self.hits, self.images = (torch.zeros((), device=device) for _ in range(3))

    @classmethod
    def unpacked(cls, values: Tensor) -> _Sums:
        """The inverse of `packed`."""
        sums = cls(values.device)
        sums.loss, sums.hits, sums.images = (each.clone() for each in values)
        return sums

    def add(self, mean: Tensor, hits: Tensor, count: int | Tensor) -> None:
        """Add a batch whose mean loss is known."""
        if isinstance(count, int):
            self.loss.add_(mean, alpha=count)
        else:
            self.loss.addcmul_(mean, count.to(mean.dtype))
        self.hits += hits
        self.images += count

    def packed(self) -> Tensor:
        """Loss, hits and images as float [3]."""
        return torch.stack([self.loss, self.hits, self.images])
