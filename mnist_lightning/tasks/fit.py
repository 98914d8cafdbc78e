"""The training of a run."""

from __future__ import annotations

import contextlib

from lightning.fabric.utilities.exceptions import MisconfigurationException

from mnist_lightning.callbacks.interruption import Interruption
from mnist_lightning.distributed import ranks
from mnist_lightning.errors import UserError
from mnist_lightning.tasks.train import Job


def fit(job: Job) -> None:
    """Train, with what the callbacks do around it.

    Raises:
        Interrupted: Ctrl-C or SIGTERM.
        UserError: Lightning refuses something that it checks only now.
    """
    trainer = job.trainer
    assert trainer is not None
    assert job.model is not None
    interruption = next((each for each in trainer.callbacks if isinstance(each, Interruption)), None)  # type: ignore[attr-defined]
    try:
        with interruption.listening() if interruption else contextlib.nullcontext():
            trainer.fit(job.model, job.data, ckpt_path=job.start if job.resumes else None, weights_only=True)
    except MisconfigurationException as error:
        raise UserError(f"The trainer cannot do this: {' '.join(str(error).split())}") from error
    ranks.leave()
    job.laps.lap("fit")
