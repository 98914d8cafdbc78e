"""Keeps the run folder true after every epoch: last.ckpt, best.ckpt and training_metrics.json."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from mnist_lightning.distributed import ranks
from mnist_lightning.run import folder as runs

HISTORY = ("epoch", "train_loss", "val_loss", "val_accuracy")


class RunFolder(Checkpoint):
    """Writes what a run is worth so far; a run killed at any moment leaves the last whole epoch.

    `last.ckpt` is there from before the first step, and resumes with the same draws of random numbers as if
    nothing had happened.

    Args:
        folder: the run folder.
        metrics: what `training_metrics.json` holds; this callback fills in `history`, `best` and `timing`.
        monitor: `val_loss` or `val_accuracy`, in which best.ckpt is best; `last` takes the last epoch.
        resumed_from: the checkpoint that the run goes on from; the best one beside it is taken over.
    """

    def __init__(self, folder: Path, metrics: dict[str, Any], monitor: str, resumed_from: Path | None = None) -> None:
        self.folder, self.metrics, self.monitor, self.resumed_from = folder, metrics, monitor, resumed_from
        metrics["history"] = {name: [] for name in HISTORY}
        metrics["best"] = None
        metrics["timing"] = {"startup_seconds": None, "fit_seconds": 0.0, "seconds_per_epoch": []}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on with: history, best epoch, random numbers."""
        return {
            "history": self.metrics["history"],
            "best": self.metrics["best"],
            "seconds_per_epoch": self.metrics["timing"]["seconds_per_epoch"],
            "rng_state": self.rng_state,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of the run that is resumed."""
        self.metrics["history"], self.metrics["best"] = state_dict["history"], state_dict["best"]
        self.metrics["timing"]["seconds_per_epoch"] = state_dict["seconds_per_epoch"]
        states = torch.atleast_2d(state_dict["rng_state"])
        rank = ranks.place().rank
        if rank < len(states):  # or else the run goes on with more ranks than it had
            torch.set_rng_state(states[rank].clone())  # a view is misread

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give each rank random numbers of its own, and note their state before the first epoch draws from it."""
        rank = ranks.place().rank
        if rank > 0:
            torch.manual_seed(ranks.seed_of(torch.initial_seed(), rank))
        self.rng_state = self._rng_state(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the first last.ckpt, and bring over the best one of a resumed run."""
        if trainer.is_global_zero:
            (self.folder / "checkpoints").mkdir(exist_ok=True)
            best = self.resumed_from.with_name("best.ckpt") if self.resumed_from else None
            if self.metrics["best"] is not None and best is not None and best.is_file():
                runs.write_atomically(self.folder / runs.BEST, best.read_bytes())
            else:
                self.metrics["best"] = None
        self.began = time.perf_counter()
        trainer.save_checkpoint(self.folder / runs.LAST)
        self.write(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self.epoch_began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch to the history and write everything anew."""
        now = {name: float(trainer.callback_metrics[name]) for name in HISTORY[1:]}
        now["epoch"] = trainer.current_epoch + 1
        for name in HISTORY:
            self.metrics["history"][name].append(now[name])
        better = self._is_best(now)
        if better:
            self.metrics["best"] = {name: now[name] for name in ("epoch", "val_loss", "val_accuracy")}
            self.metrics["best"]["checkpoint"] = runs.BEST
        self.metrics["timing"]["seconds_per_epoch"].append(time.perf_counter() - self.epoch_began)
        self.rng_state = self._rng_state(trainer)
        trainer.save_checkpoint(self.folder / runs.LAST)
        if better and trainer.is_global_zero:
            runs.write_atomically(self.folder / runs.BEST, (self.folder / runs.LAST).read_bytes())
        self.write(trainer)

    def _rng_state(self, trainer: pl.Trainer) -> torch.Tensor:
        """State of the CPU's random numbers, uint8 [bytes]; of several ranks [ranks, bytes]."""
        state = torch.get_rng_state()
        count = ranks.place().world
        if count == 1:
            return state
        own = state.to(trainer.strategy.root_device)
        states = [torch.empty_like(own) for _ in range(count)]
        torch.distributed.all_gather(states, own)
        return torch.stack(states).cpu()

    def _is_best(self, now: dict[str, float]) -> bool:
        best = self.metrics["best"]
        if best is None or self.monitor == "last":
            return True
        gain = now[self.monitor] - best[self.monitor]
        return gain >= 0 if self.monitor == "val_accuracy" else gain <= 0  # of equals the one that has seen more

    def write(self, trainer: pl.Trainer) -> None:
        """Write training_metrics.json."""
        self.metrics["timing"]["fit_seconds"] = time.perf_counter() - self.began
        if trainer.is_global_zero:
            runs.write_json(self.folder / runs.METRICS_FILE, self.metrics)
