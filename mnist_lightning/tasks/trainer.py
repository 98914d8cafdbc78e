"""Lightning's Trainer as this project sets it up: its device, its precision, and which messages it drops."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import lightning.pytorch as pl
import torch
from annotated_types import Ge, Le
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.plugins.environments import TorchElasticEnvironment
from lightning.pytorch.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler

from mnist_lightning import compat
from mnist_lightning.callbacks.checkpoint_io import AtomicCheckpointIO
from mnist_lightning.callbacks.epoch_end import ValidateEpochEnd
from mnist_lightning.distributed import ranks
from mnist_lightning.errors import UserError
from mnist_lightning.inference.predictor import pick_device
from mnist_lightning.models.sharded import Sharded
from mnist_lightning.run import machine
from mnist_lightning.types import Fraction, Positive, PositiveInt, Precision

Amount = PositiveInt | Fraction
"""A number of batches, or a share of them."""
_PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}

log = logging.getLogger(__name__)

_OTHERWISE: dict[str, Any] = {
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}
"""Arguments whose defaults differ from Lightning's."""


class Trainer(pl.Trainer):
    """A Lightning Trainer whose checkpoints are written atomically, and which picks device and precision by itself.

    Args:
        accelerator: kind of device.
        devices: devices of this machine, one process each; `auto` for all GPUs.
        num_nodes: machines; `auto` for as many as torchrun was started on.
        strategy: how several devices train one network.
        sync_batchnorm: batch norm over the images of all devices.
        max_epochs: passes over the training images.
        precision: `auto` for bf16-mixed where the hardware is fast at it.
        deterministic: use only algorithms whose results repeat to the last digit.
        gradient_clip_val: largest norm of the gradient; None for no limit.
        accumulate_grad_batches: batches whose gradients are added up before a step.
        limit_train_batches: share or number of the training batches of an epoch.
        limit_val_batches: share or number of the validation batches.
        limit_test_batches: share or number of the test batches.
        overfit_batches: train and validate on this share or number of training batches; 0 for off.
        log_every_n_steps: steps between two points of the training curves.
        profiler: Lightning's profiler, which writes into the run folder.
        enable_progress_bar: read by `callbacks.progress`; Lightning's own bar is never shown.
        alone: this process works by itself, even if it has trained with others.
        **lightning: any other argument of Lightning's Trainer; `ValidateEpochEnd` joins its callbacks.

    Raises:
        UserError: there is no such device, or Lightning refuses the combination.
    """

    def __init__(
        self,
        accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto",
        devices: PositiveInt | Literal["auto"] = 1,
        num_nodes: PositiveInt | Literal["auto"] = "auto",
        strategy: Literal["auto", "ddp", "fsdp"] = "auto",
        sync_batchnorm: bool = False,
        max_epochs: PositiveInt = 6,
        precision: Precision = "auto",
        deterministic: bool = True,
        gradient_clip_val: Positive | None = None,
        accumulate_grad_batches: PositiveInt = 1,
        limit_train_batches: Amount = 1.0,
        limit_val_batches: Amount | Annotated[float, Ge(0), Le(0)] = 1.0,
        limit_test_batches: Amount = 1.0,
        overfit_batches: Amount | Annotated[float, Ge(0), Le(0)] = 0.0,
        log_every_n_steps: PositiveInt = 50,
        profiler: Literal["simple", "advanced", "pytorch"] | None = None,
        enable_progress_bar: bool = True,
        alone: bool = False,
        **lightning: Any,
    ) -> None:
        here, device = ranks.Place() if alone else ranks.place(), pick(accelerator)
        if sync_batchnorm and device.type != "cuda":
            raise UserError("trainer.sync_batchnorm=true works on GPUs only: leave it at false.")
        if deterministic:
            # Deterministic algorithms are wanted; filling each new tensor with NaN, which comes with them, is not.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if precision == "16-mixed" and device.type == "cpu":  # Lightning's warning shows a path, and repeats
            log.warning("trainer.precision=16-mixed is for GPUs: the processor takes bf16-mixed.")
            precision = "bf16-mixed"
        folder = Path(lightning.get("default_root_dir") or Path.cwd())
        plugins: list[Any] = [AtomicCheckpointIO()]
        if here.world > 1:  # both ways of starting ranks use torchrun's variables, also within a Slurm job
            plugins.append(TorchElasticEnvironment())
        try:
            super().__init__(
                accelerator={"cuda": "gpu"}.get(device.type, device.type),
                devices=here.local_world,
                num_nodes=here.machines,
                strategy=_strategy(strategy, here),
                sync_batchnorm=sync_batchnorm,
                max_epochs=max_epochs,
                precision=machine.pick_precision(device.type) if precision == "auto" else precision,  # type: ignore[arg-type]
                deterministic=deterministic,
                gradient_clip_val=gradient_clip_val,
                accumulate_grad_batches=accumulate_grad_batches,
                limit_train_batches=limit_train_batches,
                limit_val_batches=limit_val_batches,
                limit_test_batches=limit_test_batches,
                overfit_batches=overfit_batches,
                log_every_n_steps=log_every_n_steps,
                profiler=_PROFILERS[profiler](dirpath=folder, filename="profile") if profiler else compat.no_profiler(),
                plugins=plugins,
                enable_progress_bar=False,
                **{**_OTHERWISE, **lightning, "callbacks": [*(lightning.get("callbacks") or []), ValidateEpochEnd()]},
            )
        except MisconfigurationException as error:
            raise UserError(f"The trainer cannot be set up so: {' '.join(str(error).split())}") from None
        if here.world > 1:
            compat.ignore_sigterm(self)


def tester(run: Path, device: str, precision: Any, callbacks: list[pl.Callback], **lightning: Any) -> Trainer:
    """A trainer for scoring: on one device, without loggers; its callbacks write into `run`."""
    return Trainer(
        accelerator=device,  # type: ignore[arg-type]
        precision=precision,
        callbacks=callbacks,
        logger=False,
        default_root_dir=run,
        enable_checkpointing=False,
        **lightning,
    )


def pick(accelerator: str) -> torch.device:
    """The kind of device that `trainer.accelerator` names.

    Raises:
        UserError: there is none, or fewer than there are ranks on this machine.
    """
    device = pick_device({"gpu": "cuda"}.get(accelerator, accelerator))
    wanted, there = ranks.place().local_world, torch.cuda.device_count() if device.type == "cuda" else 1
    if wanted > there and device.type != "cpu":  # a CPU can run any number of ranks
        raise UserError(
            f"{wanted} devices are asked for and there {'is' if there == 1 else 'are'} {there} of {device.type} on "
            f"this machine: set trainer.devices={there}, or take trainer=ddp_sim to try it on the processor."
        )
    return device


def _strategy(wanted: str, here: ranks.Place) -> Any:
    """Lightning's strategy for the one asked for; a single process needs none."""
    if here.world == 1:
        return "auto"
    return Sharded(here.world) if wanted == "fsdp" else "ddp"


def quiet() -> None:
    """Drop Lightning's advice that does not apply here: batches need no workers, the logger is set up on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*treespec, LeafSpec.*",  # Lightning's own use of torch
        ".*sync_dist=True.*",  # the classifier's sums are over all ranks
        ".*your dataloader is not resumable.*",  # its place is in the DataModule's state
        ".*Found current_model_state in the checkpoint.*",
    ):
        warnings.filterwarnings("ignore", message=message)
    if ranks.place().rank > 0:  # the first one shows them
        warnings.simplefilter("ignore")
