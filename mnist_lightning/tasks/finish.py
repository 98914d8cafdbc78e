"""What comes after the fit: scores, pictures, the final record, the last lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from mnist_lightning.data import corrections
from mnist_lightning.data.datamodule import InMemory
from mnist_lightning.errors import UserError
from mnist_lightning.evaluation import scores
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.views import Views
from mnist_lightning.models.classifier import Classifier, Scored
from mnist_lightning.run import folder as runs
from mnist_lightning.tasks.held_out import read_held_out
from mnist_lightning.tasks.loggers import log_results
from mnist_lightning.tasks.train import Job
from mnist_lightning.tasks.trainer import tester

log = logging.getLogger(__name__)


def finish(job: Job) -> None:
    """Score the best checkpoint on the test images, close the record and the loggers, and print a summary."""
    record, settings = job.record, job.settings
    pruned = record.status == "pruned"
    best = job.run / runs.BEST
    if settings["test"] and not pruned:  # a pruned trial costs no more time
        path = best if best.is_file() else None
        path = path or (job.start if not settings["train"] else None)
        if found := _test(job, path):
            record.tested(found)
    if best.is_file() and not pruned:
        read_held_out(job, best)
    job.laps.lap("test")
    _throughput(job)
    if not pruned:
        record.finished()
    _close(job)
    if not pruned:
        if best.is_file():  # `latest` is what the other commands read
            runs.mark_latest(job.run, Path(settings["outputs"]))
        summarise(job.run, record.content)


def interrupt(job: Job, reason: str) -> None:
    """Close the record of an interrupted run with what it has reached."""
    _throughput(job)
    job.record.interrupted(reason)
    _close(job)


def score(
    model: Classifier, data: Any, tta: Mapping[str, float] | None, trainer: pl.Trainer
) -> tuple[dict[str, Any], Scored]:
    """Read the test images with a trained network, and score its predictions.

    Args:
        model: the classifier with the network.
        data: has the test images.
        tta: settings of `conf/tta/`, to read each image several times.
        trainer: runs on one device; its callbacks draw the pictures.

    Returns:
        What `scores.score_test` finds; and what was read.
    """
    # In bfloat16 a CPU reads twice as fast with channels last, which a Predictor uses, too.
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if tta and any(tta.values()):
        model = Classifier(Views(model.network, **tta), card=model.card)
    trainer.test(model, data, verbose=False)
    if model.scored is None:
        raise UserError("There are no test images to score.")
    logits, labels = model.scored.logits, model.scored.labels
    return scores.score_test(data.name, logits, labels, logits.shape[1]), model.scored


def _test(job: Job, path: Path | None) -> dict[str, Any] | None:
    """The scores of the checkpoint `path`, as it was trained: on the device and in the precision of the training."""
    trained = job.trainer
    assert trained is not None
    assert job.model is not None
    model = Classifier.load_from_checkpoint(path, allow=job.allowed) if path else job.model
    pictures = [each for each in trained.callbacks if hasattr(each, "on_test_end")]  # type: ignore[attr-defined]
    trainer = tester(  # without loggers: the pictures know those of the training
        job.run,
        trained.strategy.root_device.type,
        str(trained.precision),
        [each for each in pictures if not _is_about_training(each)],
        limit_test_batches=trained.limit_test_batches,  # type: ignore[attr-defined]
        deterministic=job.settings["trainer"].get("deterministic", True),
        alone=True,
    )
    found, _ = score(model, job.data, job.settings["tta"], trainer)
    if (aside := getattr(job.data, "aside", None)) is not None and len(aside):
        job.record.note(drawings=_on_drawings(aside, job, path))
    return found


def _is_about_training(callback: pl.Callback) -> bool:
    """Whether a callback of this package has nothing to do in a test."""
    home = type(callback).__module__
    if isinstance(callback, pl.callbacks.Checkpoint):  # also one of the user's own
        return True
    return home.startswith(("mnist_lightning.callbacks", "lightning.")) and not home.endswith(".pictures")


def _on_drawings(aside: InMemory, job: Job, path: Path | None) -> dict[str, Any]:
    """How many of the drawings kept aside are read correctly, now and by the network that training started from."""

    def right(checkpoint: Path) -> int:
        logits: Tensor = Predictor.load(checkpoint, "cpu", allow=job.allowed).logits(aside.images)
        return int((logits.argmax(1) == aside.labels).sum())

    found = {"aside": len(aside)}
    if path is not None:
        found["right"] = right(path)
    if job.start is not None and not job.resumes:
        found["right_before"] = right(job.start)
    return found


def _throughput(job: Job) -> None:
    """Record the images per second over the epochs so far."""
    timing, trainer = job.record.content["timing"], job.trainer
    seconds = timing["seconds_per_epoch"]
    if seconds and trainer is not None and trainer.num_training_batches:
        images = min(job.record.content["dataset"]["train"], int(trainer.num_training_batches) * job.data.batch_size)
        timing["samples_per_second"] = images * len(seconds) / max(sum(seconds), 1e-9)
    job.record.timed(total_seconds=sum(job.laps.seconds.values()))


def _close(job: Job) -> None:
    """Pass the results to the loggers, and write the record with the total time."""
    if job.loggers:
        log_results(job.loggers, job.record.content)
        job.laps.lap("loggers")
    job.record.timed(total_seconds=sum(job.laps.seconds.values()))
    job.record.write()


def summarise(run: Path, metrics: Mapping[str, Any]) -> None:
    """Print how a finished run went."""
    best, dataset, timing, test = metrics["best"], metrics["dataset"], metrics["timing"], metrics["test"]
    name = dataset["name"]
    log.info("")
    if test is not None:
        log.info("test accuracy  %.2f %% of %s images of %s", 100 * test["accuracy"], f"{dataset['test']:,}", name)
        if corrected := test.get("corrected_labels"):
            log.info("               %s", corrections.in_words(corrected))
    if dataset["requested"] == "auto" and name != "mnist":
        log.info("               not MNIST, which could not be fetched: this is scikit-learn's small set")
    if name == "digits":
        log.info("               the test images are by other people than the validation images: docs/data-digits.md")
    if drawn := metrics.get("drawings"):
        before = f", {drawn['right_before']} before" if "right_before" in drawn else ""
        log.info("drawings       %d of the %d kept aside read right%s", drawn.get("right", 0), drawn["aside"], before)
    epochs = len(metrics["history"]["epoch"])
    if best is not None and best["val_accuracy"] is not None:
        log.info(
            "best epoch     %d of %d, validation accuracy %.2f %%", best["epoch"], epochs, 100 * best["val_accuracy"]
        )
    log.info("training took  %.1f s, the whole job %.1f s", timing["fit_seconds"], timing["total_seconds"])
    log.info("run folder     %s", runs.shown(run))
