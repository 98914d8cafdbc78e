"""train(settings, run) and evaluate(settings, run): a whole job, from its settings to its artefacts.

Everything heavy is imported inside them, after the allocator has been told what to do.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_lightning import cli, launcher, machine, multirun, ranks, runs
from mnist_lightning.config import Settings
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.settings import dotted, without_effect

if TYPE_CHECKING:
    from torch import nn

    from mnist_lightning.data.datamodule import DigitsDataModule

log = logging.getLogger(__name__)


def train(settings: Settings, run: Path) -> dict[str, Any]:
    """Train a network, score its best checkpoint on the test images, leave everything in the run folder.

    Where several devices of this machine train together, it starts a process for each and waits for them; a process
    that is one of several trains with the others, and the first of them alone prints, writes and scores.

    Args:
        settings: `conf/train.yaml` composed and checked.
        run: the run folder, which exists; `ranks.NOWHERE` for all ranks but the first.

    Returns:
        What `training_metrics.json` holds.

    Raises:
        UserError: something asked for cannot be had; nothing was trained.
        Interrupted: Ctrl-C or SIGTERM; `last.ckpt` resumes, and the artefacts so far are written.
    """
    began = cli.job_began()
    search = settings.get("search")
    if search and search["trial"] is None:
        raise UserError(
            "search= is for many runs: add -m to the command, as in `python scripts/train.py -m search=lr`."
        )
    if count := ranks.to_start(settings):
        return launcher.launch(settings, run, count)
    here = ranks.place()
    if here.rank > 0:  # the first one says it
        logging.getLogger("mnist_lightning").setLevel(logging.ERROR)
    laps = machine.Laps(began)
    laps.lap("settings")
    for sentence in without_effect(settings):
        log.warning("%s", sentence)
    if here.world == 1:
        for key, default in (("strategy", "auto"), ("sync_batchnorm", False)):
            if settings["trainer"][key] != default:
                log.warning("trainer.%s has no effect: there is one device.", key)
    outputs = Path(settings["outputs"])
    asked = settings["ckpt_path"] or settings["ckpt"]  # settings.check lets only one of them through
    start, word = runs.find_checkpoint(asked, outputs) if asked else (None, "")
    resumed_from = start if settings["ckpt_path"] else None
    if settings["runtime"]["keep_memory"]:
        machine.keep_freed_memory()
    if settings["runtime"]["wait_asleep"]:
        machine.wait_asleep()

    with machine.heavy_imports():
        with machine.without_scipy_signal():
            import lightning.pytorch as pl
        import torch

        from mnist_lightning import loggers
        from mnist_lightning import trainer as trainer_setup
        from mnist_lightning.data.augment import Augment
        from mnist_lightning.data.datamodule import DigitsDataModule
        from mnist_lightning.models import checkpoint, networks
        from mnist_lightning.models.classifier import Classifier
        from mnist_lightning.models.sharded import ShardedClassifier

    laps.lap("imports")
    trainer_setup.quiet()
    if settings["runtime"]["threads"]:
        torch.set_num_threads(settings["runtime"]["threads"])
    pl.seed_everything(settings["seed"], verbose=False)

    device = trainer_setup.pick(settings)
    ranks.join(device.type)
    given = checkpoint.read(start) if start else None
    if given and resumed_from:
        _check_resumable(given, resumed_from, settings["trainer"]["max_epochs"])
    if given and settings["model"]["name"] == "checkpoint":
        settings = {**settings, "model": given[checkpoint.CARD]["network"]}
    if given:
        log.info("%s %s", "Resuming" if resumed_from else "Starting from", word)
    augment = Augment(**settings["augment"])
    data = DigitsDataModule(**settings["data"], augment=augment, seed=settings["seed"])
    with ranks.first_of_machine_first():
        data.prepare_data()
    data.setup()
    ranks.agree(_facts(settings, data))
    laps.lap("data")

    class_names = data.source.class_names
    network = networks.build(settings["model"], num_classes=len(class_names))
    if given and start:  # on resuming too: Lightning's own message for another architecture is a page of names
        checkpoint.load_weights(network, given, start)
    if settings["runtime"]["channels_last"]:
        network = network.to(memory_format=torch.channels_last)
    if settings["runtime"]["compile"]:
        network.compile()

    hyperparameters = {key: value for key, value in settings.items() if key not in runs.NO_HYPERPARAMETERS}
    card = checkpoint.make_card(settings["model"], 28, data.source.name, class_names, hyperparameters)
    sharded = here.world > 1 and settings["trainer"]["strategy"] == "fsdp"
    classifier = (ShardedClassifier if sharded else Classifier)(
        network,
        settings["optimizer"],
        settings["scheduler"],
        settings["loss"]["label_smoothing"],
        card,
        exposed=settings["data"]["no_digits"] + settings["data"]["noise_images"] > 0,
        teacher=_teacher(settings, outputs, class_names),
        distill_weight=settings["distill"]["weight"],
        temperature=settings["distill"]["temperature"],
    )
    metrics: dict[str, Any] = {
        "schema_version": 1,
        "status": "running",
        **multirun.asked_for(),
        "dataset": {
            "name": data.source.name,
            "requested": settings["data"]["name"],
            "train": len(data.train),
            "val": len(data.val),
            "test": len(data.test),
        },
        "seed": settings["seed"],
        "batch": {
            "size": data.batch_size,
            "processes": here.world,
            "machines": here.machines,
            "size_per_process": data.batch_size / here.world,
        },
        "history": {},
        "best": None,
        "test": None,
        "hyperparameters": hyperparameters,
        "parameters": sum(weight.numel() for weight in network.parameters() if weight.requires_grad),
        "timing": {},
        "environment": {},
    }
    if search:
        metrics["search"] = {"study": search["study"], "trial": search["trial"]}
    kept = loggers.build(settings["logger"], run, outputs) if here.rank == 0 else []
    trainer, folder, interruption = trainer_setup.build(settings, run, metrics, kept, resumed_from)
    metrics["environment"] = machine.describe(trainer.strategy.root_device.type, str(trainer.precision))
    log.info(
        "%s, %s parameters, on %s (%s training, %s validation, %s test images)",
        settings["model"]["name"],
        f"{metrics['parameters']:,}",
        data.source.name,
        *(f"{metrics['dataset'][part]:,}" for part in ("train", "val", "test")),
    )
    if here.world > 1:
        log.info(
            "%s over %d processes on %d machine%s: a batch is %d images, %g a process",
            "fsdp" if sharded else "ddp", here.world, here.machines, "s" * (here.machines > 1),
            data.batch_size, data.batch_size / here.world,
        )  # fmt: skip

    laps.lap("network and trainer")
    metrics["timing"] |= {"startup_seconds": time.perf_counter() - began, "laps": laps.seconds}
    interrupted = None
    try:
        with interruption.listening():
            trainer.fit(classifier, data, ckpt_path=resumed_from, weights_only=True)
        metrics["timing"]["fit_seconds"] = time.perf_counter() - folder.began
        if metrics["status"] == "running":  # and not pruned
            metrics["status"] = "finished"
    except (Interrupted, SystemExit) as error:  # SystemExit: Lightning's own answer to SIGTERM, where it came first
        interrupted = error if isinstance(error, Interrupted) else Interrupted(signal.SIGTERM)
        metrics["status"] = "interrupted"
    except Exception:
        metrics["status"] = "failed"
        if here.rank == 0:
            runs.write_json(run / runs.METRICS_FILE, metrics)
        raise
    if interrupted is None:
        ranks.leave()
    if here.rank > 0:
        return metrics
    laps.lap("fit")

    from mnist_lightning import finish

    laps.lap("imports")
    finish.finish(
        settings, run, data, metrics, kept, trainer.strategy.root_device.type, laps, None if resumed_from else start
    )
    if interrupted is not None:
        log.info("Resume with: python scripts/train.py ckpt_path=%s", runs.shown(run / runs.LAST))
        raise interrupted
    if metrics["status"] == "pruned":
        return metrics
    runs.mark_latest(run, outputs)
    finish.summarise(run, metrics)
    return metrics


def evaluate(settings: Settings, run: Path) -> dict[str, Any]:
    """Score a trained network on the test images of a data set, leave pictures and `evaluation.json` in `run`.

    Args:
        settings: `conf/eval.yaml` composed and checked.
        run: the run folder, which exists.

    Returns:
        What `evaluation.json` holds.

    Raises:
        UserError: the checkpoint or the data cannot be had, or they do not fit each other.
    """
    path, word = runs.find_checkpoint(settings["ckpt"], Path(settings["outputs"]))
    machine.keep_freed_memory()

    with machine.heavy_imports():
        with machine.without_scipy_signal():
            from mnist_lightning.data.datamodule import DigitsDataModule
        from mnist_lightning.evaluation import artefacts
        from mnist_lightning.inference.predictor import Predictor

    log.info("Checkpoint: %s", word)
    predictor = Predictor.load(path, settings["device"], settings["tta"], settings["precision"])
    data = DigitsDataModule(**settings["data"])
    data.prepare_data()
    data.setup()
    predictor.check_classes(path, data.source.name, data.source.num_classes)
    began = time.perf_counter()
    logits = predictor.logits(data.test.images, settings["data"]["eval_batch_size"])
    seconds = time.perf_counter() - began
    found, _ = artefacts.score_and_draw(
        run, data.test.images, data.test.labels, logits, data.source.class_names, data.source.name
    )
    result = {
        "schema_version": 1,
        "checkpoint": str(path),
        "trained_on": predictor.card["dataset"],
        "tta": settings["tta"],
        "dataset": {
            "name": data.source.name,
            "requested": settings["data"]["name"],
            "test": len(data.test),
        },
        **found,
        "class_names": list(data.source.class_names),
        "images_per_second": len(data.test) / seconds,
        "environment": machine.describe(predictor.device.type, predictor.precision),
    }
    runs.write_json(run / "evaluation.json", result)
    log.info(
        "accuracy %.2f %% of %s images of %s, loss %.4f", 100 * found["accuracy"], f"{len(data.test):,}",
        data.source.name, found["loss"],
    )  # fmt: skip
    log.info("evaluation: %s", runs.shown(run))
    return result


def _teacher(settings: Settings, outputs: Path, class_names: Sequence[str]) -> nn.Module | None:
    """The network that `distill.teacher=` names, or None."""
    from mnist_lightning.inference.predictor import Predictor

    if not settings["distill"]["teacher"]:
        return None
    path, word = runs.find_checkpoint(settings["distill"]["teacher"], outputs)
    teacher = Predictor.load(path, "cpu")
    teacher.check_classes(path, settings["data"]["name"], len(class_names))
    log.info("Teacher: %s", word)
    return teacher.network


def _facts(settings: Settings, data: DigitsDataModule) -> dict[str, Any]:
    """What all ranks must have alike: the data, and the settings but for where things lie on a machine."""
    local = ("outputs", "ckpt", "ckpt_path", "data.folder", "data.mirrors", "runtime.threads")
    told = {key: value for key, value in dotted(settings) if key not in local and not key.startswith("logger")}
    return {"data": f"{data.source.name} ({len(data.train)} + {len(data.val)} images)"} | told


def _check_resumable(checkpoint: dict[str, Any], path: Path, max_epochs: int) -> None:
    """Hold a checkpoint against what resuming needs: the state of a run, with epochs left to do."""
    if "loops" not in checkpoint:
        raise UserError(f"{path} holds weights only and cannot be resumed: start from it anew with ckpt={path}.")
    done = len(checkpoint["callbacks"]["RunFolder"]["history"]["epoch"])
    if done >= max_epochs:
        raise UserError(
            f"{path} has done {done} epochs already: ask for more with trainer.max_epochs={done + 1} or higher."
        )
