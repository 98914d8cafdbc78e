"""evaluate(): a trained network scored on the test images of a data set."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mnist_lightning import compat
from mnist_lightning.cli import parts
from mnist_lightning.errors import UserError
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
    machine.wait_briefly()
    log.info("Checkpoint: %s", word)
    asked = _Asked(run, path, device, precision, data, tta, allow)
    without_torch = path.suffix == ".onnx" and parts.takes_apart(data) and not any(tta.values())
    found, facts = _with_onnxruntime(asked) if without_torch else _with_lightning(asked)
    requested = _named(data, facts.card).get("name", facts.name)
    result = {
        "schema_version": 1,
        "checkpoint": str(path),
        "trained_on": facts.card["dataset"],
        "tta": dict(tta),
        "dataset": {"name": facts.name, "requested": requested, "test": facts.images},
        **found,
        "class_names": list(facts.class_names),
        "images_per_second": facts.images / facts.seconds,
        "environment": facts.environment,
    }
    write_json(run / "evaluation.json", result)
    _summarise(run, result)
    return result


class _Asked(NamedTuple):
    """The settings, with the network's file in place of `ckpt` and `outputs`."""

    run: Path
    path: Path
    device: Device
    precision: Precision
    data: Part
    tta: Views
    allow: list[str]


class _Facts(NamedTuple):
    """What else there is to say about an evaluation than its scores."""

    card: dict[str, Any]
    name: str
    class_names: Sequence[str]
    images: int
    seconds: float
    environment: dict[str, Any]


def _with_lightning(asked: _Asked) -> tuple[dict[str, Any], _Facts]:
    """Score with a Trainer: any network, any DataModule."""
    with compat.heavy_imports():
        from mnist_lightning.callbacks.pictures import ConfusionMatrix, SamplePrediction, WorstMistakes
        from mnist_lightning.data.datamodule import DigitsDataModule
        from mnist_lightning.inference.predictor import Predictor
        from mnist_lightning.models.classifier import Classifier
        from mnist_lightning.tasks.finish import score
        from mnist_lightning.tasks.trainer import quiet, tester

    quiet()
    precision = asked.precision
    predictor = Predictor.load(asked.path, asked.device, precision=precision, allow=asked.allow)
    data = parts.build("data", _named(asked.data, predictor.card))
    if type(data).prepare_data is not DigitsDataModule.prepare_data:  # which fetches the training images as well
        data.prepare_data()
    data.setup("test")
    if not len(data.test):
        raise UserError(f"{data.name} has no test images.")
    predictor.check_classes(asked.path, data.name, len(data.class_names))
    network = predictor.network
    if network is None:
        from mnist_lightning.inference.onnx_network import OnnxNetwork

        network, precision = OnnxNetwork(predictor), "32-true"  # type: ignore[arg-type]
    place = "cpu" if predictor.device is None else predictor.device.type
    trainer = tester(asked.run, place, precision, [SamplePrediction(), WorstMistakes(), ConfusionMatrix()])
    began = time.perf_counter()
    found, _ = score(Classifier(network, card=predictor.card), data, asked.tta, trainer)  # type: ignore[arg-type]
    seconds = time.perf_counter() - began
    environment = provenance.describe(place, str(trainer.precision))
    return found, _Facts(predictor.card, data.name, data.class_names, len(data.test), seconds, environment)


def _with_onnxruntime(asked: _Asked) -> tuple[dict[str, Any], _Facts]:
    """Score an ONNX file on a data set by its name, or on a source of the user's own. Does not import PyTorch."""
    from mnist_lightning.data import published
    from mnist_lightning.evaluation import figures, scores
    from mnist_lightning.inference.predictor import Predictor
    from mnist_lightning.plots import style

    predictor = Predictor.load(asked.path, asked.device, precision=asked.precision)
    data = parts.source_built(_named(asked.data, predictor.card))
    loaded: Any
    if data.get("source"):
        loaded = data["source"]()
        images, labels = loaded.test_images.numpy(), loaded.test_labels.numpy()
    else:
        place = Path(data.get("folder", "data"))
        loaded = published.load(data.get("name", "auto"), place, data.get("mirrors", ()), only_test=True)
        images, labels = loaded.test
    images, labels = images[: data.get("limit")], labels[: data.get("limit")]
    if not len(labels):
        raise UserError(f"{loaded.name} has no test images.")
    predictor.check_classes(asked.path, loaded.name, len(loaded.class_names))
    began = time.perf_counter()
    logits = predictor.logits(images, data.get("eval_batch_size", 250))
    found = scores.score_test(loaded.name, logits, labels, len(loaded.class_names))
    for name, draw in figures.FIGURES.items():
        style.save(draw(images, labels, logits, predictor.class_names), asked.run / f"{name}.png")
    seconds, environment = time.perf_counter() - began, provenance.describe_without_torch()
    return found, _Facts(predictor.card, loaded.name, loaded.class_names, len(labels), seconds, environment)


def _named(data: Part, card: dict[str, Any]) -> Part:
    """The settings of `data.`, with the name of the set in place of `trained`."""
    return {**data, "name": card.get("dataset", "auto")} if data.get("name") == "trained" else data


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
