"""The settings of a training run, as `conf/train.yaml` composes them, and which of them cannot be combined."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

from annotated_types import Len

from mnist_lightning.errors import UserError
from mnist_lightning.sweeps.objectives import check_search
from mnist_lightning.types import (
    Count,
    Degrees,
    Fraction,
    NonNegative,
    Part,
    Positive,
    PositiveInt,
    Seed,
    Text,
    Threads,
)


class Distill(TypedDict):
    """`distill.`: the run loads the teacher and passes it to `models.Distillation`."""

    teacher: Text | None
    weight: Fraction
    temperature: Positive


class Runtime(TypedDict):
    """`runtime.`: how the machine is used; none of it changes what is learned."""

    compile: bool
    channels_last: bool
    keep_memory: bool
    wait_asleep: bool
    threads: Threads | None


class Sweep(TypedDict):
    """`sweep.`: what a sweep does in addition to its jobs."""

    ensemble: bool
    fail_fast: bool


class Views(TypedDict):
    """`tta.`: test-time augmentation."""

    shift: NonNegative
    degrees: Degrees


class Search(TypedDict):
    """`search.`: a search for good settings."""

    study: Text
    n_trials: PositiveInt
    sampler: Literal["tpe", "gp", "random", "grid", "cmaes", "nsga2"]
    pruner: Literal["none", "median", "asha", "hyperband"]
    objectives: Annotated[list[Literal["val_accuracy", "val_loss", "parameters", "fit_seconds"]], Len(1)]
    startup_trials: PositiveInt
    warmup_epochs: PositiveInt
    n_jobs: PositiveInt
    max_failures: PositiveInt
    seed: Seed
    storage: Text | None
    trial: Count | None
    space: dict[str, Any]


class TrainSettings(TypedDict):
    """All settings of `conf/train.yaml`."""

    seed: Seed | None
    outputs: Text
    ckpt_path: Text | None
    ckpt: Text | None
    allow: list[Text]
    train: bool
    test: bool
    name: Text | None
    tags: list[Text]
    data: Part
    augment: Part
    model: Part
    optimizer: Part
    scheduler: Part
    loss: Part
    trainer: Part
    averaging: Part
    checkpoint: Part
    early_stopping: Part
    callbacks: dict[str, Part]
    logger: dict[str, Part] | None
    tta: Views
    distill: Distill
    runtime: Runtime
    sweep: Sweep
    experiment: None
    debug: None
    search: Search | None


def check_together(settings: Mapping[str, Any]) -> None:
    """Check the settings against each other.

    Raises:
        UserError: the first two that exclude each other.
    """
    ckpt, ckpt_path, trainer = settings["ckpt"], settings["ckpt_path"], settings["trainer"]
    if ckpt and ckpt_path:
        raise UserError("ckpt= starts anew from given weights, ckpt_path= resumes a run: give one of the two.")
    if settings["model"].get("_target_") == "checkpoint" and not (ckpt or ckpt_path):
        raise UserError("model=checkpoint takes the network from a checkpoint: add ckpt=pretrained or another one.")
    if not settings["train"] and not ckpt:
        raise UserError("train=false scores a network that is there already: name it with ckpt=.")
    for key in ("outlier_drawings", "outlier_noise"):
        if settings["distill"]["teacher"] and settings["data"].get(key):
            raise UserError(f"distill.teacher cannot be combined with data.{key}: a teacher has no answer to outliers.")
    accelerator, strategy = trainer.get("accelerator"), trainer.get("strategy")
    if accelerator == "mps" and trainer.get("devices") not in (None, 1, "auto"):
        raise UserError(f"trainer.devices={trainer['devices']} cannot be combined with mps, of which there is one.")
    if accelerator == "mps" and strategy not in (None, "auto"):
        raise UserError(f"trainer.strategy={strategy} cannot be combined with mps, of which there is one.")
    if accelerator == "cpu" and trainer.get("sync_batchnorm"):
        raise UserError("trainer.sync_batchnorm=true works on GPUs only: leave it out with trainer.accelerator=cpu.")
    if strategy == "fsdp" and trainer.get("precision") == "16-mixed":
        raise UserError(
            "trainer.precision=16-mixed cannot be combined with trainer.strategy=fsdp: take bf16-mixed or 32-true."
        )
    _check_ranges(settings)
    if settings["optimizer"].get("nesterov") and settings["optimizer"].get("momentum") == 0:
        raise UserError("optimizer.nesterov=true needs optimizer.momentum above 0.")
    if settings["scheduler"].get("interval") == "step" and "plateau" in str(settings["scheduler"].get("_target_")):
        raise UserError("scheduler.interval=step cannot be combined with scheduler=plateau: it looks once per epoch.")
    low, high = settings["augment"].get("scale", (1, 1))
    if low > high:
        raise UserError(f"augment.scale={[low, high]} is not allowed: the smaller factor comes first.")
    data = settings["data"]
    folds, fold = data.get("num_folds", 0), data.get("fold", 0)
    if folds == 1:
        raise UserError("data.num_folds=1 is not allowed: cross-validation needs 2 or more (0: the plain split).")
    if folds and fold >= folds:
        raise UserError(f"data.fold={fold} is not allowed: with data.num_folds={folds} it is 0 to {folds - 1}.")
    if (treatment := data.get("suspects", "keep")) != "keep":
        from mnist_lightning.data import suspects  # imports NumPy, which the other checks do without

        suspects.chosen(treatment, data.get("suspects_file"), folds)
    if search := settings.get("search"):
        check_search(search)


def _check_ranges(settings: Mapping[str, Any]) -> None:
    """Check the ranges of settings whose wrong values PyTorch and Lightning refuse only after seconds, or never."""
    at_least_0 = (lambda value: value >= 0, "0 or more")
    ranges = {
        "optimizer.lr": (lambda value: value > 0, "above 0"),
        "optimizer.weight_decay": at_least_0,
        "optimizer.momentum": at_least_0,
        "trainer.val_check_interval": (lambda value: 0 < value <= 1 or (value > 1 and value == int(value)), "a share "
                                       "of an epoch, above 0 and at most 1, or a whole number of batches"),
        "trainer.min_epochs": (lambda value: value >= 1, "1 or more"),
        "trainer.max_steps": (lambda value: value >= 1 or value == -1, "1 or more, or -1 for no limit"),
        "trainer.fast_dev_run": at_least_0,
    }  # fmt: skip
    for name, (fits, words) in ranges.items():
        section, _, key = name.partition(".")
        value = settings[section].get(key)
        if isinstance(value, int | float) and not fits(value):
            raise UserError(f"{name}={value} is not allowed: {name} should be {words}.")
    limit = settings["trainer"].get("max_time")
    if isinstance(limit, str) and not re.fullmatch(r"\d\d:\d\d:\d\d:\d\d", limit):
        raise UserError(f"trainer.max_time={limit} is not allowed: expected DD:HH:MM:SS, as in 00:01:30:00.")


_INERT: tuple[tuple[str, Any, str, str], ...] = (
    # setting, its default, the setting that switches it off, in words
    ("distill.weight", 0.9, "distill.teacher", "without distill.teacher"),
    ("distill.temperature", 2.0, "distill.teacher", "without distill.teacher"),
    ("averaging.every_n_steps", 5, "averaging.decay", "with averaging.decay=0"),
    ("early_stopping.min_delta", 0.0, "early_stopping.patience", "without early_stopping.patience"),
    ("augment.elastic_cells", 4, "augment.elastic", "with augment.elastic=0"),
    ("augment.erase_size", [0.1, 0.3], "augment.erase", "with augment.erase=0"),
    ("augment.erase_with", "black", "augment.erase", "with augment.erase=0"),
    ("data.drawings_share", 0.25, "data.drawings", "without data.drawings"),
    ("data.drawings_aside", 0.2, "data.drawings", "without data.drawings"),
    ("data.fold", 0, "data.num_folds", "without data.num_folds"),
)


def without_effect(settings: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting that was given but changes nothing in this run."""

    def value(path: str, otherwise: Any = None) -> Any:
        group, _, key = path.partition(".")
        return (settings.get(group) or {}).get(key, otherwise)

    said = [
        f"{path} has no effect {words}."
        for path, default, switch, words in _INERT
        if value(path, default) != default and not value(switch)
    ]
    if value("data.val_size") and value("data.num_folds") and value("data.name") != "digits":
        said.append("data.val_size has no effect with data.num_folds: the fold is the validation set.")
    if value("data.suspects", "keep") == "keep" and value("data.suspects_file"):
        said.append("data.suspects_file has no effect with data.suspects=keep.")
    if value("early_stopping.patience") and value("checkpoint.monitor") == "last":
        said.append("early_stopping.patience watches val_loss, since checkpoint.monitor=last compares nothing.")
    if value("model.standardize"):
        said += [
            f"{path} has no effect with model.standardize=true."
            for path, default in (("model.mean", 0.1307), ("model.std", 0.3081))
            if value(path, default) != default
        ]
    if value("trainer.strategy") == "fsdp" and value("averaging.decay"):
        said.append("averaging.decay has no effect with trainer.strategy=fsdp: sharded weights are not averaged.")
    if value("data.name") == "digits" and value("data.mirrors"):
        said.append("data.mirrors has no effect with data=digits: nothing is downloaded.")
    callbacks = settings.get("callbacks") or {}
    for part, key, default in (("averaging", "decay", 0.98), ("checkpoint", "monitor", "val_accuracy"),
                               ("early_stopping", "patience", None)):  # fmt: skip
        if part not in callbacks and value(f"{part}.{key}", default) != default:
            said.append(f"{part}.{key} has no effect: there is no callbacks.{part}.")
    return said
