"""evaluate(): a trained network scored on the test images of a data set."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from mnist_lightning import compat
from mnist_lightning.run import folder as runs
from mnist_lightning.run import machine, provenance
from mnist_lightning.run.files import write_json
from mnist_lightning.tasks.settings import Views
from mnist_lightning.types import Device, Part, Precision

log = logging.getLogger(__name__)


def evaluate(
    run: Path,
    *,
    ckpt: str | None,
    outputs: str,
    device: Device,
    precision: Precision,
    data: Part,
    tta: Views,
    allow: list[str],
) -> dict[str, Any]:
    """Score a trained network on the test images of a data set, and leave pictures and `evaluation.json` in `run`.

    `run` exists; the settings are those of conf/eval.yaml.

    Returns:
        What `evaluation.json` holds.

    Raises:
        UserError: the checkpoint or the data cannot be loaded, or they do not fit each other.
    """
    path, word = runs.find_checkpoint(ckpt, Path(outputs))
    machine.keep_freed_memory()

    with compat.heavy_imports():
        from mnist_lightning.callbacks.pictures import ConfusionMatrix, SamplePrediction, WorstMistakes
        from mnist_lightning.cli import parts
        from mnist_lightning.errors import UserError
        from mnist_lightning.inference.predictor import Predictor
        from mnist_lightning.models.classifier import Classifier
        from mnist_lightning.tasks.finish import score
        from mnist_lightning.tasks.trainer import quiet, tester

    quiet()
    log.info("Checkpoint: %s", word)
    predictor = Predictor.load(path, device, allow=allow)
    if data.get("name") == "trained":
        data = {**data, "name": predictor.card.get("dataset", "auto")}
    loaded = parts.build("data", data)
    loaded.prepare_data()
    loaded.setup("test")
    if not len(loaded.test):
        raise UserError(f"{loaded.name} has no test images.")
    predictor.check_classes(path, loaded.name, len(loaded.class_names))
    network = predictor.network
    if network is None:
        from mnist_lightning.inference.onnx_network import OnnxNetwork

        network, precision = OnnxNetwork(predictor), "32-true"  # type: ignore[arg-type]
    place = "cpu" if predictor.device is None else predictor.device.type
    trainer = tester(run, place, precision, [SamplePrediction(), WorstMistakes(), ConfusionMatrix()])
    began = time.perf_counter()
    found, _ = score(Classifier(network, card=predictor.card), loaded, tta, trainer)  # type: ignore[arg-type]
    result = {
        "schema_version": 1,
        "checkpoint": str(path),
        "trained_on": predictor.card["dataset"],
        "tta": dict(tta),
        "dataset": {"name": loaded.name, "requested": data.get("name", loaded.name), "test": len(loaded.test)},
        **found,
        "class_names": list(loaded.class_names),
        "images_per_second": len(loaded.test) / (time.perf_counter() - began),
        "environment": provenance.describe(place, str(trainer.precision)),
    }
    write_json(run / "evaluation.json", result)
    _summarise(run, result)
    return result


def _summarise(run: Path, result: dict[str, Any]) -> None:
    """Say how it went."""
    from mnist_lightning.data import corrections

    name, trained_on, images = result["dataset"]["name"], result["trained_on"], f"{result['dataset']['test']:,}"
    if name != trained_on:
        log.warning("The network was trained on %s, and is scored on %s.", trained_on, name)
    log.info("accuracy %.2f %% of %s images of %s, loss %.4f", 100 * result["accuracy"], images, name, result["loss"])
    if corrected := result.get("corrected_labels"):
        log.info("         %s", corrections.in_words(corrected))
    log.info("evaluation: %s", runs.shown(run))
