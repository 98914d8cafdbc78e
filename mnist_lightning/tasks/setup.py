"""Sets up a training run: data, network, callbacks, loggers, trainer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn

from mnist_lightning.cli import parts
from mnist_lightning.cli.check import dotted
from mnist_lightning.data import overlap
from mnist_lightning.distributed import ranks
from mnist_lightning.errors import UserError
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.models import checkpoint
from mnist_lightning.models.build import describe_class
from mnist_lightning.models.classifier import Classifier
from mnist_lightning.models.loss import Distillation
from mnist_lightning.models.optimizer import build_optimizer
from mnist_lightning.models.sharded import ShardedClassifier
from mnist_lightning.run import folder as runs
from mnist_lightning.run import provenance
from mnist_lightning.tasks.resume import NOT_KEPT
from mnist_lightning.tasks.train import Job
from mnist_lightning.tasks.trainer import pick, quiet

log = logging.getLogger(__name__)

ARTEFACTS = ("BestAndLast", "LossGraph", "NetworkGraph", "SamplePrediction", "WorstMistakes", "ConfusionMatrix")
"""Callbacks that write files, which `trainer.fast_dev_run` leaves out."""


def setup(job: Job) -> None:
    """Build all parts of a run; wrong arguments are reported before any data is read.

    Raises:
        UserError: a part cannot be built, or the parts do not fit together.
    """
    settings = job.settings
    quiet()
    if settings["runtime"]["threads"]:
        torch.set_num_threads(settings["runtime"]["threads"])
    if settings["trainer"].get("gradient_clip_val") and settings["optimizer"].get("fused"):
        settings["optimizer"] = {**settings["optimizer"], "fused": False}  # no clipping with it in mixed precision
    ranks.join(pick(settings["trainer"].get("accelerator", "auto")).type)
    if settings["seed"] is None:
        settings["seed"] = ranks.of_first(int(torch.randint(2**31, ()).item()))
    pl.seed_everything(settings["seed"], verbose=False)
    if job.start:
        job.given = checkpoint.read(job.start)
        if settings["model"]["_target_"] == "checkpoint":
            settings["model"] = dict(job.given[checkpoint.CARD]["network"])
    _try_out(settings)
    job.data = _data(settings)
    ranks.agree(_facts(settings, job.data))
    job.laps.lap("data")
    job.model = _model(job)
    first = ranks.place().rank == 0
    tries_out = bool(settings["trainer"].get("fast_dev_run"))
    if first and not tries_out:
        _start_loggers(job)
    callbacks = parts.build_all(
        "callbacks", settings["callbacks"], record=job.record, search=settings.get("search"), seed=settings["seed"]
    )
    if settings["trainer"].get("strategy") == "fsdp" and ranks.place().world > 1:
        callbacks = [each for each in callbacks if type(each).__name__ != "Averaging"]  # cannot average shards
    if tries_out:
        callbacks = [each for each in callbacks if type(each).__name__ not in ARTEFACTS]
    job.trainer = parts.build(
        "trainer",
        {**settings["trainer"], **_at_least_a_batch(settings["trainer"], job.data)},
        callbacks=callbacks,
        logger=job.loggers or False,
        default_root_dir=job.run,
        enable_checkpointing=any(isinstance(each, pl.callbacks.Checkpoint) for each in callbacks),
    )
    _start_record(job)
    job.laps.lap("network and trainer")


def _at_least_a_batch(trainer: Mapping[str, Any], data: Any) -> dict[str, int]:
    """Replace each share of less than one batch by one batch: Lightning would refuse it in the middle of a run."""
    scored = getattr(data, "eval_batch_size", data.batch_size)  # a DataModule of the user's own may have one size
    batches = {
        "limit_train_batches": (data.train, data.batch_size),
        "overfit_batches": (data.train, data.batch_size),
        "limit_val_batches": (data.val, scored),
        "limit_test_batches": (data.test, scored),
    }
    return {
        name: 1
        for name, (part, size) in batches.items()
        if isinstance(share := trainer.get(name), float) and 0 < share < 1 and share * (len(part) // size) < 1
    }


def _try_out(settings: Mapping[str, Any]) -> None:
    """Build what can be built without data, and throw it away, so that a wrong argument costs no download."""
    with torch.device("meta"):
        network = _network(settings["model"], 10)
    optimizer = build_optimizer(parts.build("optimizer", settings["optimizer"]), network)
    for name in ("scheduler", "loss", "augment"):
        part = parts.build(name, settings[name])
        if name == "scheduler" and hasattr(part, "build"):
            part.build(optimizer, 1)


def _network(config: Mapping[str, Any], num_classes: int) -> nn.Module:
    if "_target_" in config:
        return parts.build("model", config, num_classes=num_classes, image_size=28)
    from mnist_lightning.models.build import build

    return build(config, num_classes=num_classes)  # the card of a checkpoint written before version 0.2


def _data(settings: Mapping[str, Any]) -> Any:
    augment = parts.build("augment", settings["augment"])
    data = parts.build("data", settings["data"], augment=augment, seed=settings["seed"])
    with ranks.first_of_machine_first():
        data.prepare_data()
    data.setup("fit")
    return data


def _model(job: Job) -> Classifier:
    settings, data = job.settings, job.data
    class_names = list(data.class_names)
    with _named("model"):
        network = _network(settings["model"], len(class_names))
    if job.given is not None and job.start is not None:
        # When resuming, too: Lightning's own message about a different architecture is a page of names.
        checkpoint.load_weights(network, job.given, job.start)
        if settings["train"] and not job.resumes:
            overlap.check_unseen(job.given[checkpoint.CARD], data, f"ckpt={settings['ckpt']}")
    if settings["runtime"]["channels_last"]:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings["runtime"]["compile"]:
        network.compile()
    arguments = {key: value for key, value in settings["model"].items() if key not in ("_target_", "name")}
    sharded = ranks.place().world > 1 and settings["trainer"].get("strategy") == "fsdp"
    teacher = _teacher(settings, data)
    outliers = bool(settings["data"].get("outlier_drawings", 0) + settings["data"].get("outlier_noise", 0))
    return (ShardedClassifier if sharded else Classifier)(
        network,
        parts.build("optimizer", settings["optimizer"]),
        parts.build("scheduler", settings["scheduler"]),
        parts.build("loss", settings["loss"], outliers=outliers),
        _distillation(settings, teacher),
        checkpoint.make_card(
            {"_target_": describe_class(type(network)), **arguments},
            image_size=getattr(network, "arguments", {}).get("image_size", 28),
            dataset=data.name,
            class_names=class_names,
            settings={key: value for key, value in settings.items() if key not in NOT_KEPT},
            data=getattr(data, "split_facts", {}),
            seen=_seen(job, teacher),
        ),
    )


@contextlib.contextmanager
def _named(setting: str) -> Iterator[None]:
    """Report an argument that a class refuses as the user's mistake."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"{setting}= cannot be built: {error}.") from error


def _teacher(settings: Mapping[str, Any], data: Any) -> Predictor | None:
    """The network that `distill.teacher=` names."""
    named = settings["distill"]["teacher"]
    if not named:
        return None
    path, word = runs.find_checkpoint(named, Path(settings["outputs"]))
    teacher = Predictor.load(path, "cpu", allow=settings["allow"])
    if teacher.network is None:
        raise UserError(f"distill.teacher={named} is an ONNX file: give the checkpoint that it was exported from.")
    teacher.check_classes(path, settings["data"].get("name", "the data set"), len(data.class_names))
    overlap.check_unseen(teacher.card, data, f"distill.teacher={named}")
    log.info("Teacher: %s", word)
    return teacher


def _distillation(settings: Mapping[str, Any], teacher: Predictor | None) -> Distillation | None:
    """How the teacher teaches the network, and with what weight; None without a teacher."""
    wanted = settings["distill"]
    return Distillation(teacher.network, wanted["weight"], wanted["temperature"]) if teacher else None


def _seen(job: Job, teacher: Predictor | None) -> list[dict[str, Any]]:
    """Which images the network has learned from by the end of this run, for its card (see `data.overlap`)."""
    started = overlap.seen_by(job.given[checkpoint.CARD]) if job.given else []
    taught = overlap.seen_by(teacher.card) if teacher else []
    own = getattr(job.data, "split_facts", None) if job.settings["train"] else None
    return checkpoint.distinct([*([own] if own else []), *started, *taught])


def _start_loggers(job: Job) -> None:
    """Start one after another: where one does not start, the job has those before it, to close them."""
    settings, outputs = job.settings, Path(job.settings["outputs"])
    for key, config in (settings["logger"] or {}).items():
        job.loggers += parts.build_all("logger", {key: config}, save_dir=job.run, outputs=outputs, **_name(settings))


def _name(settings: Mapping[str, Any]) -> dict[str, str]:
    return {"name": settings["name"]} if settings["name"] else {}


def _facts(settings: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """What must be the same on all ranks: the data, and the settings except for where things are on a machine."""
    local = ("outputs", "ckpt", "ckpt_path", "distill.teacher", "data.folder", "data.mirrors", "runtime.threads")
    same = {
        key: value
        for key, value in dotted(settings)
        if key not in local and not key.startswith(("logger", "callbacks"))
    }
    return {"data": f"{data.name} ({len(data.train)} + {len(data.val)} images)"} | same


def _inputs(job: Job) -> dict[str, Any]:
    """SHA-256 of the files that a run is made from: its data, the checkpoint that it starts from, its teacher."""
    teacher = job.settings["distill"]["teacher"]
    taught = runs.find_checkpoint(teacher, Path(job.settings["outputs"]))[0] if teacher else None
    return {
        "data": job.data.fingerprint() if hasattr(job.data, "fingerprint") else {},
        "checkpoint": provenance.sha256(job.start) if job.start else None,
        "teacher": provenance.sha256(taught) if taught else None,
    }


def _start_record(job: Job) -> None:
    """Fill in the record, and log what is going to be trained."""
    settings, data, here, trainer = job.settings, job.data, ranks.place(), job.trainer
    assert trainer is not None
    assert job.model is not None
    weights = sum(weight.numel() for weight in job.model.network.parameters() if weight.requires_grad)
    sizes = {part: len(getattr(data, part)) for part in ("train", "val", "test")}
    suspects = getattr(data, "suspects_facts", None)
    facts: dict[str, Any] = {
        **job.asked,
        "name": settings["name"] or job.run.name,
        "tags": settings["tags"],
        "dataset": {
            "name": data.name,
            "requested": settings["data"].get("name", data.name),
            **sizes,
            **({"suspects": suspects} if suspects else {}),
        },
        "batch": {
            "size": data.batch_size,
            "processes": here.world,
            "machines": here.machines,
            "size_per_process": data.batch_size / here.world,
        },
        "parameters": weights,
        "environment": {
            **provenance.describe(trainer.strategy.root_device.type, str(trainer.precision)),
            **(provenance.keep(job.run) if here.rank == 0 else {}),
        },
        "inputs": _inputs(job),
        "started_from": str(job.start.resolve()) if job.start else None,
    }
    if search := settings.get("search"):
        facts["search"] = {"study": search["study"], "trial": search["trial"]}
    job.record.started(settings, **facts)
    job.record.timed(startup_seconds=sum(job.laps.seconds.values()), laps=job.laps.seconds)
    for key, default in (("strategy", "auto"), ("sync_batchnorm", False)):
        if here.world == 1 and settings["trainer"].get(key, default) != default:
            log.warning("trainer.%s has no effect: there is one device.", key)
    log.info(
        "%s, %s parameters, on %s (%s training, %s validation, %s test images)",
        type(job.model.network).__name__.lower(), f"{weights:,}", data.name, *(f"{size:,}" for size in sizes.values()),
    )  # fmt: skip
    if suspects:
        done = {"drop": "left out", "soften": "trained on with soft labels"}[suspects["treatment"]]
        log.info("%s training images whose labels are likely wrong are %s", f"{suspects['images']:,}", done)
    if here.world > 1:
        log.info(
            "%s over %d processes on %d machine%s: a batch is %d images, %g per process",
            settings["trainer"].get("strategy"), here.world, here.machines, "s" * (here.machines > 1),
            data.batch_size, data.batch_size / here.world,
        )  # fmt: skip
