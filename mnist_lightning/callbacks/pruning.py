"""Reports each epoch of a trial to its search, and stops the trial when the search has seen enough."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from mnist_lightning.errors import Interrupted
from mnist_lightning.run.record import Record
from mnist_lightning.sweeps import samplers, storage

log = logging.getLogger(__name__)


class Pruning(pl.Callback):
    """Reports a trial to its study.

    Args:
        search: the `search` settings, with the number of the trial.
        record: the record of the run, which notes that the trial was pruned.

    Raises:
        UserError: the storage cannot be opened.
    """

    def __init__(self, search: Mapping[str, Any], record: Record | None = None) -> None:
        self.search, self.record, self.given_up = search, record, False
        self.measured = next((name for name in search["objectives"] if name in ("val_accuracy", "val_loss")), None)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the study."""
        if not trainer.is_global_zero:
            return
        self.storage = storage.connect(storage.url(self.search, Path(trainer.default_root_dir).parent))
        self.pruner = samplers.pruner(self.search, trainer.max_epochs or 1)
        storage.patiently(self._find_trial)

    def _find_trial(self) -> None:
        self.study = optuna.load_study(study_name=self.search["study"], storage=self.storage, pruner=self.pruner)
        study_id = self.storage.get_study_id_from_name(self.search["study"])
        self.trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, self.search["trial"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch; all ranks get the answer."""
        answer = self._report(trainer) if trainer.is_global_zero else ""
        answer = trainer.strategy.broadcast(answer)
        if answer == "prune":
            log.info("pruned after epoch %d: others did better by then", trainer.current_epoch + 1)
            if self.record is not None:
                self.record.pruned()
            trainer.should_stop = True
        elif answer == "leave":
            log.warning("The search has given trial %d up meanwhile: this run stops.", self.search["trial"])
            self.given_up = trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Interrupt a run that the search has given up, now that its last epoch is in checkpoint and record."""
        if self.given_up:
            raise Interrupted(signal.SIGTERM)

    def _report(self, trainer: pl.Trainer) -> str:
        epoch = trainer.current_epoch + 1
        try:
            if self.storage.get_trial(self.trial_id).state != TrialState.RUNNING:
                return "leave"
            if self.measured is None or self.measured not in trainer.callback_metrics:  # not validated
                return ""
            value = float(trainer.callback_metrics[self.measured])
            self.storage.set_trial_intermediate_value(self.trial_id, epoch, value)
            last = epoch == trainer.max_epochs  # pruning would save nothing
            if not last and self.pruner.prune(self.study, self.storage.get_trial(self.trial_id)):
                return "prune"
        except (StorageInternalError, SQLAlchemyError) as error:  # an unavailable database does not end training
            storage.forget_session()
            log.warning("Epoch %d could not be told to the search: %s", epoch, str(error).splitlines()[0])
        return ""
