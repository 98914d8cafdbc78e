"""How a Trainer is set up: its arguments, its callbacks, its silence."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.environments import TorchElasticEnvironment

from mnist_lightning.callbacks.averaging import Averaging
from mnist_lightning.callbacks.curves import Curves
from mnist_lightning.callbacks.interruption import Interruption
from mnist_lightning.callbacks.no_profiler import NoProfiler
from mnist_lightning.callbacks.progress import Progress
from mnist_lightning.callbacks.run_folder import RunFolder
from mnist_lightning.cli.config import Settings
from mnist_lightning.distributed import ranks
from mnist_lightning.distributed.sharded import Sharded
from mnist_lightning.errors import UserError
from mnist_lightning.inference.predictor import pick_device
from mnist_lightning.run import machine


def build(
    settings: Settings, run: Path, metrics: dict[str, Any], kept: list[Any], resumed_from: Path | None
) -> tuple[pl.Trainer, RunFolder, Interruption]:
    """Make the Trainer of a run.

    Args:
        settings: `conf/train.yaml` composed and checked.
        run: the run folder.
        metrics: what the run records; its RunFolder callback fills it in.
        kept: the loggers.
        resumed_from: the checkpoint that the run goes on from.

    Returns:
        The Trainer, its RunFolder, and what ends it on a signal.

    Raises:
        UserError: the device or the combination asked for is not to be had.
    """
    arguments = dict(settings["trainer"])
    monitor = settings["checkpoint"]["monitor"]
    folder = RunFolder(run, metrics, monitor, resumed_from)
    interruption = Interruption()
    callbacks: list[pl.Callback] = [folder, interruption, Progress(arguments.pop("enable_progress_bar"))]
    if settings["logger"]:  # on every rank, since they average the points
        callbacks.append(Curves(arguments["log_every_n_steps"]))
    if settings["averaging"]["decay"] and arguments["strategy"] != "fsdp":
        callbacks.append(Averaging(**settings["averaging"]))
    if settings["early_stopping"]["patience"]:
        watched = "val_loss" if monitor == "last" else monitor
        mode = "max" if watched == "val_accuracy" else "min"
        callbacks.append(EarlyStopping(watched, mode=mode, check_on_train_epoch_end=True, **settings["early_stopping"]))

    if settings.get("search"):
        from mnist_lightning.callbacks.pruning import Pruning  # brings Optuna, which only a search needs

        callbacks.append(Pruning(settings["search"], run.parent, metrics))

    here, device = ranks.place(), pick(settings)
    arguments["devices"], arguments["num_nodes"] = here.local_world, here.machines
    arguments["strategy"] = _strategy(arguments["strategy"], here)
    if arguments["sync_batchnorm"] and device.type != "cuda":
        raise UserError("trainer.sync_batchnorm=true works on GPUs only: leave it at false.")
    if arguments["precision"] == "auto":
        arguments["precision"] = machine.pick_precision(device.type)
    if arguments["profiler"]:
        profilers = {"simple": pl.profilers.SimpleProfiler, "advanced": pl.profilers.AdvancedProfiler}
        arguments["profiler"] = profilers[arguments["profiler"]](dirpath=run, filename="profile")
    else:
        arguments["profiler"] = NoProfiler()
    if arguments["deterministic"]:
        # Deterministic algorithms are wanted; filling each new tensor with NaN, which comes with them, is not.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    arguments["accelerator"] = {"cuda": "gpu"}.get(device.type, device.type)
    try:
        trainer = pl.Trainer(
            **arguments,
            # Both ways of starting ranks speak torchrun's language; within a Slurm job too.
            plugins=[TorchElasticEnvironment()] if here.world > 1 else None,
            use_distributed_sampler=False,  # data/batches.py shares out the images
            callbacks=callbacks,
            logger=kept,
            default_root_dir=run,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_checkpointing=True,
            enable_progress_bar=False,
        )
    except MisconfigurationException as error:
        raise UserError(f"The trainer cannot be set up so: {' '.join(str(error).split())}") from None
    if here.world > 1:
        # Lightning's own answer to SIGTERM is a broadcast, in which the other ranks take no part.
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer, folder, interruption


def pick(settings: Settings) -> torch.device:
    """The kind of device that the settings ask for.

    Raises:
        UserError: there is none, or fewer than there are ranks on this machine.
    """
    kind = settings["trainer"]["accelerator"]
    device = pick_device({"gpu": "cuda"}.get(kind, kind))
    wanted, there = ranks.place().local_world, torch.cuda.device_count() if device.type == "cuda" else 1
    if wanted > there and device.type != "cpu":  # a processor takes any number of ranks
        raise UserError(
            f"{wanted} devices are asked for and there {'is' if there == 1 else 'are'} {there} of {device.type} on "
            f"this machine: set trainer.devices={there}, or take trainer=ddp_sim to try it on the processor."
        )
    return device


def _strategy(wanted: str, here: ranks.Place) -> Any:
    """Lightning's strategy for the one that is wanted; a process alone needs none."""
    if here.world == 1:
        return "auto"
    return Sharded(here.world) if wanted == "fsdp" else "ddp"


def quiet() -> None:
    """Drop Lightning's advice that does not fit here: batches need no workers, the logger is set up on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # the classifier's epoch sums are over all ranks
    if ranks.place().rank > 0:  # the first one says it
        warnings.simplefilter("ignore")
