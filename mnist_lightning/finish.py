"""After the fit: score, draw, write the final record, say how it went."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mnist_lightning import loggers, machine, runs
from mnist_lightning.config import Settings
from mnist_lightning.data.datamodule import DigitsDataModule, InMemory
from mnist_lightning.evaluation import artefacts, figures, style
from mnist_lightning.inference.predictor import Predictor

log = logging.getLogger(__name__)


def finish(
    settings: Settings,
    run: Path,
    data: DigitsDataModule,
    metrics: dict[str, Any],
    kept: list[Any],
    device: str,
    laps: machine.Laps,
    start: Path | None,
) -> None:
    """Score the best checkpoint as it was trained, on the device and in the precision; draw, write, close the loggers.

    Args:
        settings: of the run.
        run: its folder.
        data: with the test images.
        metrics: what the run has recorded so far; the test scores and the timing are added.
        kept: the loggers.
        device: `cpu`, `cuda` or `mps`.
        laps: the run's clock.
        start: the checkpoint that training started from; None where it resumed, or started from nothing.
    """
    best, network = metrics["best"], None
    drawn = {"loss_graph": figures.loss_graph(metrics["history"], best and best["epoch"])}
    style.save(drawn["loss_graph"], run / "loss_graph.png")
    if best is not None and metrics["status"] != "pruned":  # what was given up costs no more time
        predictor = Predictor.load(run / runs.BEST, device, settings["tta"], metrics["environment"]["precision"])
        logits = predictor.logits(data.test.images, data.eval_batch_size)
        network = predictor.network.cpu()
        if data.aside is not None and len(data.aside):
            metrics["drawings"] = _on_drawings(data.aside, predictor, start, device)
        laps.lap("test")
        metrics["test"], scored = artefacts.score_and_draw(
            run, data.test.images, data.test.labels, logits, data.source.class_names, data.source.name
        )
        drawn |= scored
    timing = metrics["timing"]
    if timing["fit_seconds"]:
        seen = metrics["dataset"]["train"] * len(timing["seconds_per_epoch"])
        timing["samples_per_second"] = seen / max(sum(timing["seconds_per_epoch"]), 1e-9)
    laps.lap("pictures")
    timing["total_seconds"] = sum(laps.seconds.values())
    runs.write_json(run / runs.METRICS_FILE, metrics)
    if kept:
        final = {"parameters": float(metrics["parameters"]), "fit_seconds": timing["fit_seconds"]}
        if best is not None:
            final |= {"best_val_loss": best["val_loss"], "best_val_accuracy": best["val_accuracy"]}
        if metrics["test"] is not None:
            final |= {"test_accuracy": metrics["test"]["accuracy"], "test_loss": metrics["test"]["loss"]}
        pictures = {name: run / f"{name}.png" for name in drawn}
        loggers.finish(kept, settings["logger"], metrics["hyperparameters"], final, pictures, network)
        laps.lap("loggers")
        timing["total_seconds"] = sum(laps.seconds.values())
        runs.write_json(run / runs.METRICS_FILE, metrics)


def _on_drawings(aside: InMemory, trained: Predictor, start: Path | None, device: str) -> dict[str, Any]:
    """How many of the drawings kept aside are read right now, and were by the network that training started from."""

    def right(predictor: Predictor) -> int:
        return int((predictor.logits(aside.images).argmax(1) == aside.labels).sum())

    found = {"aside": len(aside), "right": right(trained)}
    if start is not None:
        found["right_before"] = right(Predictor.load(start, device, precision=trained.precision))
    return found


def summarise(run: Path, metrics: dict[str, Any]) -> None:
    """Print how a finished run went."""
    best, dataset, timing = metrics["best"], metrics["dataset"], metrics["timing"]
    accuracy, name = metrics["test"]["accuracy"], dataset["name"]
    log.info("")
    log.info("test accuracy  %.2f %% of %s images of %s", 100 * accuracy, f"{dataset['test']:,}", name)
    if dataset["requested"] == "auto" and name != "mnist":
        log.info("               not MNIST, which could not be had: this is scikit-learn's small set")
    if drawn := metrics.get("drawings"):
        before = f", {drawn['right_before']} before" if "right_before" in drawn else ""
        log.info("drawings       %d of the %d kept aside read right%s", drawn["right"], drawn["aside"], before)
    epochs = len(metrics["history"]["epoch"])
    log.info("best epoch     %d of %d, validation accuracy %.2f %%", best["epoch"], epochs, 100 * best["val_accuracy"])
    log.info("training took  %.1f s, the whole job %.1f s", timing["fit_seconds"], timing["total_seconds"])
    log.info("run folder     %s", runs.shown(run))
