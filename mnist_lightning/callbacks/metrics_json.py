"""`training_metrics.json`, correct after every epoch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from mnist_lightning.run.record import HISTORY, Record


class MetricsJSON(pl.Callback):
    """Keeps the record of a run: its history after each epoch, and its best epoch.

    An epoch enters the history before its checkpoint is written, which carries the history, and the file is written
    after that: an epoch counts once its checkpoint is written.

    Args:
        record: the record of the run; None for a new one in the Trainer's `default_root_dir`.
    """

    def __init__(self, record: Record | None = None) -> None:
        self.record = record
        self._fit_began: float | None = None
        self._epoch_began = self._epoch_seconds = 0.0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the record."""
        if self.record is None:
            self.record = Record(Path(trainer.default_root_dir) if trainer.is_global_zero else None)

    def state_dict(self) -> dict[str, Any]:
        """History and times so far, the current epoch's included."""
        seconds = time.perf_counter() - self._epoch_began if self._fit_began else 0.0
        return {**self._record.state(), "fit_seconds": self._fit_seconds(), "epoch_seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the history of the run that is resumed."""
        self._record.resume(state_dict)
        self._epoch_seconds = state_dict.get("epoch_seconds", 0.0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the fit; a resumed run adds to the time of the runs before it."""
        now = time.perf_counter()
        self._fit_began = now - self._record.content["timing"]["fit_seconds"]
        self._epoch_began = now - self._epoch_seconds  # a run that is resumed within an epoch does not start it again

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the previous epochs have reached, and start the clock of this one."""
        self._save(trainer)
        self._epoch_began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch to the history."""
        now = {name: float(trainer.callback_metrics[name]) for name in HISTORY[1:] if name in trainer.callback_metrics}
        seconds = time.perf_counter() - self._epoch_began
        self._record.epoch_done({"epoch": trainer.current_epoch + 1, **now}, seconds)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the last epoch has reached."""
        self._save(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the results of a resumed run that had no epoch left to do."""
        if self._fit_began is None:
            self.on_train_start(trainer, pl_module)
            self._save(trainer)

    @property
    def _record(self) -> Record:
        assert self.record is not None, "setup() opens it"
        return self.record

    def _save(self, trainer: pl.Trainer) -> None:
        best = getattr(trainer.checkpoint_callback, "best", None)
        self._record.save(best, self._fit_seconds())

    def _fit_seconds(self) -> float:
        """How long training has taken, the runs that are resumed included."""
        if self._fit_began is None:
            return self._record.content["timing"]["fit_seconds"]
        return time.perf_counter() - self._fit_began
