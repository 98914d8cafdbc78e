"""`checkpoints/last.ckpt` and `checkpoints/best.ckpt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from mnist_lightning.run.files import write_atomically
from mnist_lightning.run.folder import BEST, LAST
from mnist_lightning.types import Monitor, PositiveInt


class BestAndLast(Checkpoint):
    """Writes `last.ckpt` after each epoch, and copies it to `best.ckpt` where the epoch is the best so far.

    Lightning's ModelCheckpoint writes the two one after the other, best first: a run killed between them would leave
    files that disagree. Here an epoch counts once its `last.ckpt` is written, which also says which epoch is best; a
    resumed run restores a missing copy. `last.ckpt` exists from before the first step.

    Args:
        monitor: `val_loss` or `val_accuracy`, in which `best.ckpt` is best; `last` takes the last epoch.
        every_n_steps: also write `last.ckpt` after every so many optimizer steps; None writes it only after each epoch.

    Attributes:
        best: `epoch`, `val_loss`, `val_accuracy` and `checkpoint` of the best epoch; None before the first one ends.
    """

    def __init__(self, monitor: Monitor = "val_accuracy", every_n_steps: PositiveInt | None = None) -> None:
        self.monitor, self.every_n_steps = monitor, every_n_steps
        self.best: dict[str, Any] | None = None
        self._best_step = -1  # optimizer steps done when the best epoch ended
        self._step = 0  # optimizer steps done when the last batch ended
        self._begun = False
        self._folder = Path()

    @property
    def best_model_path(self) -> str:
        """The file of the best epoch, where Lightning's `ckpt_path="best"` looks for it."""
        return str(self._folder / BEST) if self.best else ""

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far."""
        return {"best": self.best, "best_step": self._best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the state of the run that is resumed."""
        self.best, self._best_step = state_dict["best"], state_dict.get("best_step", -1)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the run folder."""
        self._folder = Path(trainer.default_root_dir)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the first last.ckpt, and copy the best one of a resumed run."""
        self._begun, self._step = True, trainer.global_step
        source = Path(trainer.ckpt_path) if trainer.ckpt_path else None
        if self.best is not None and source is not None and trainer.is_global_zero:
            self._take_over_best(source, trainer.global_step)
        trainer.save_checkpoint(self._folder / LAST)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Write last.ckpt within an epoch, if asked to."""
        if self.every_n_steps is None:
            return
        # A batch that makes no step only adds to gradients, which a checkpoint does not hold.
        stepped, self._step = trainer.global_step != self._step, trainer.global_step
        if stepped and self._step % self.every_n_steps == 0 and not trainer.is_last_batch:
            trainer.save_checkpoint(self._folder / LAST)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoints of the epoch."""
        now: dict[str, float] = {name: float(trainer.callback_metrics[name]) for name in ("val_loss", "val_accuracy")
               if name in trainer.callback_metrics}  # fmt: skip
        better = self._is_best(now)
        if better:
            self.best = {"epoch": trainer.current_epoch + 1, "val_loss": None, "val_accuracy": None, **now,
                         "checkpoint": BEST}  # fmt: skip
            self._best_step = trainer.global_step
        trainer.save_checkpoint(self._folder / LAST)
        if better and trainer.is_global_zero:
            write_atomically(self._folder / BEST, (self._folder / LAST).read_bytes())

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the checkpoints of a resumed run that had no epoch left to do."""
        if not self._begun:  # on every rank: they write a checkpoint together
            self.on_train_start(trainer, pl_module)

    def _is_best(self, now: dict[str, float]) -> bool:
        before = self.best.get(self.monitor) if self.best else None
        if before is None:  # `last`, or nothing has been validated
            return True
        if self.monitor not in now:
            return False
        gain = now[self.monitor] - before
        return gain >= 0 if self.monitor == "val_accuracy" else gain <= 0  # of equal ones, the one that has seen more

    def _take_over_best(self, source: Path, step: int) -> None:
        """Put the best checkpoint of a resumed run into this run's folder.

        If its last epoch is the best one, copy the checkpoint that is resumed: the best one next to it may be of an
        earlier epoch if the run was killed between writing the two.
        """
        assert self.best is not None
        # Not by the epoch: within the next one, Lightning still counts as many as at the end of the best.
        best = source if self._best_step == step else source.with_name("best.ckpt")
        if best.is_file():
            if best.resolve() != (self._folder / BEST).resolve():
                (self._folder / BEST).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self._folder / BEST, best.read_bytes())
        else:
            self.best = None
