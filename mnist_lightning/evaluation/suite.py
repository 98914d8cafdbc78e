"""One report on a trained network: accuracy, calibration, corruptions, out-of-distribution images, speed, size.

Nothing is chosen on the test images: temperature and thresholds come from validation images.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnist_lightning.cli import multirun
from mnist_lightning.cli.check import nearest
from mnist_lightning.data import corrections, published
from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.data.overlap import SAME_TRAINING_IMAGES, split_of
from mnist_lightning.errors import UserError
from mnist_lightning.evaluation import (
    calibration,
    corruptions,
    outlier_sets,
    outliers,
    report,
    scores,
    selective,
    speed,
)
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.run import files, provenance
from mnist_lightning.run import folder as runs

log = logging.getLogger(__name__)

MOST_MISTAKES = 40
DECLINED = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)  # shares of the validation images that thresholds are chosen for
_SPLIT = ("val_size", "split_seed", "num_folds", "fold")
_EXAMPLES = 8


@dataclass(frozen=True)
class Options:
    """What the suite measures in addition to the test images.

    Attributes:
        seed: draws corruptions and out-of-distribution images.
        out_of_distribution: sets whose images belong to none of the classes: names of `outlier_sets.SETS`, or of data
            sets.
        images_per_set: most images taken from each.
        speed_seconds: how long each batch size is timed.
    """

    seed: int
    out_of_distribution: Sequence[str]
    images_per_set: int
    speed_seconds: float


def evaluate_suite(
    run: Path, checkpoint: Path, predictor: Predictor, data: Mapping[str, Any], options: Options
) -> dict[str, Any]:
    """Measure a trained network in every respect; `report.html` and `report.json` are in `run` afterwards.

    Args:
        run: the run folder, which exists.
        checkpoint: the network's file.
        predictor: loaded from it; with or without test-time augmentation.
        data: the settings of `conf/data/`.
        options: what else is measured.

    Returns:
        What `report.json` holds.

    Raises:
        UserError: the data is missing or does not match the network, or there is no such out-of-distribution set.
    """
    began = time.perf_counter()
    _check_names(options.out_of_distribution, data["name"])
    if predictor.network is None:
        raise UserError(
            f"{checkpoint} is an ONNX file, which eval.py scores; the suite measures the checkpoint it came from."
        )
    log.info("Checkpoint: %s", runs.shown(checkpoint))
    digits, split = _load(predictor, checkpoint, data)
    batch = data["eval_batch_size"]
    images = digits.test.images
    logits, val_logits = predictor.logits(images, batch), predictor.logits(digits.val.images, batch)
    result: dict[str, Any] = {
        "schema_version": 1,
        "checkpoint": runs.shown(checkpoint),
        "trained_on": predictor.card["dataset"],
        "network": predictor.card["network"],
        "tta": predictor.tta,
        "class_names": list(digits.class_names),
        "dataset": {"name": digits.name, "requested": data["name"], "test": len(images)},
        **_scored(digits, split, logits, val_logits),
    }
    result["corruptions"], corrupted = _corruptions(predictor, images, digits.test.labels, options.seed, batch)
    result["outliers"], examples, distributions = _outliers(
        predictor, {"test": logits, "validation": val_logits}, data, options
    )
    result["size"] = speed.measure_size(predictor.network, checkpoint, predictor.card["image_size"])
    result["speed"] = speed.measure_speed(predictor, images, options.speed_seconds)
    result |= {
        "seed": options.seed,
        "command": multirun.asked_for("evaluate_suite").get("command"),
        "environment": provenance.describe(predictor.device.type, predictor.precision),
        "seconds": time.perf_counter() - began,
    }
    pictures = report.Pictures(
        mistakes=images[[each["index"] for each in result["most_confident_mistakes"]]].numpy(),
        corruptions={"clean": images[:_EXAMPLES].numpy(), **corrupted},
        outliers=examples,
        scores=distributions,
    )
    files.write_json(run / "report.json", result)
    files.write_text(run / "report.html", report.render(result, pictures))
    log.info("report           %s", runs.shown(run / "report.html"))
    return result


def _scored(digits: DigitsDataModule, split: str, logits: Tensor, val_logits: Tensor) -> dict[str, Any]:
    """Accuracy, calibration and accuracy when it may decline, on the test images; also logged."""
    labels = digits.test.labels
    temperature = calibration.fit_temperature(val_logits, digits.val.labels)
    found = scores.score_test(digits.name, logits, labels, len(digits.class_names))
    mistakes = int((logits.argmax(1) != labels).sum())
    log.info("accuracy         %.2f %% of %s images of %s", 100 * found["accuracy"], f"{len(labels):,}", digits.name)
    if corrected := found.get("corrected_labels"):
        log.info("                 %s", corrections.in_words(corrected))
    calibrated = {
        "as_trained": calibration.calibration(logits, labels),
        "with_temperature": calibration.calibration(logits / temperature, labels),
    }
    for name, each in calibrated.items():
        log.info("%-16s NLL %.4f, Brier score %.4f, calibration error %.2f %%", name.replace("_", " "), each["nll"],
                 each["brier"], 100 * each["ece"])  # fmt: skip
    return {
        "validation": {
            "images": len(digits.val),
            "accuracy": (val_logits.argmax(1) == digits.val.labels).double().mean().item(),
            "split": split,
        },
        "accuracy_interval": list(calibration.wilson(len(labels) - mistakes, len(labels))),
        "mistakes": mistakes,
        **found,
        "most_confident_mistakes": _most_confident_mistakes(logits, labels),
        "temperature": temperature,
        "calibration": calibrated,
        "selective": _selective(val_logits, logits, labels),
    }


def _check_names(names: Sequence[str], evaluated: str) -> None:
    known = [*outlier_sets.SETS, *published.NAMES]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}."
            raise UserError(f"There is no set {name} for outliers=: {hint}")
        if name == evaluated:
            raise UserError(f"outliers={name} is the set that the network is scored on: name another.")


def _load(predictor: Predictor, path: Path, settings: Mapping[str, Any]) -> tuple[DigitsDataModule, str]:
    """The data, split as for the training of this network; and a sentence on where the validation images come from."""
    data = DigitsDataModule(**settings)
    data.prepare_data()
    data.setup()
    name, trained_on = data.name, predictor.card["dataset"]
    predictor.check_classes(path, name, len(data.class_names))
    if name != trained_on and not {name, trained_on} <= SAME_TRAINING_IMAGES:
        return data, f"The network was trained on {trained_on}, so it saw no image of {name}; a share of {name}'s " \
                     "training images validates."  # fmt: skip
    own = split_of(predictor.card)
    if not all(key in own for key in _SPLIT):
        sentence = (
            "The checkpoint does not say how its training images were split: these validation images may have been "
            "trained on, which makes temperature and thresholds look better than they are."
        )
        log.warning("%s", sentence)
        return data, sentence
    data = DigitsDataModule(**{**settings, **{key: own[key] for key in _SPLIT}})
    data.prepare_data()
    data.setup()
    return data, "The same validation images that were set aside when the network was trained, by its checkpoint."


def _most_confident_mistakes(logits: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    worst = scores.worst(logits, labels, MOST_MISTAKES)
    confidence, predicted = logits[worst].double().softmax(1).max(1)
    columns = worst.tolist(), labels[worst].tolist(), predicted.tolist(), confidence.tolist()
    return [
        dict(zip(("index", "label", "predicted", "confidence"), row, strict=True))
        for row in zip(*columns, strict=True)
    ]  # fmt: skip


def _selective(val_logits: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Any]:
    declined, accuracy = selective.curve(logits, labels)
    shown = torch.linspace(0, len(labels) - 1, min(len(labels), 1001)).long()
    return {
        "aurc": selective.area_under_risk(logits, labels),
        "thresholds": selective.thresholds(val_logits, logits, labels, DECLINED),
        "curve": {"declined": declined[shown].tolist(), "accuracy": accuracy[shown].tolist()},
    }


def _corruptions(
    predictor: Predictor, images: Tensor, labels: Tensor, seed: int, batch: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Accuracy under each of the fifteen corruptions; and the first images under each."""
    accuracies, examples = {}, {}
    for name in corruptions.KINDS:
        changed = corruptions.corrupt(images.numpy(), name, seed)
        accuracies[name] = (predictor.logits(changed, batch).argmax(1) == labels).double().mean().item()
        examples[name] = changed[:_EXAMPLES]
        log.info("%-16s %.2f %%", name, 100 * accuracies[name])
    mean = sum(accuracies.values()) / len(accuracies)
    log.info("%-16s %.2f %%", "mean of fifteen", 100 * mean)
    return {"mean": mean, "worst": min(accuracies, key=accuracies.__getitem__), "accuracy": accuracies}, examples


def _outliers(
    predictor: Predictor,
    known: Mapping[str, Tensor],
    data: Mapping[str, Any],
    options: Options,
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """How well each set is separated from the test images; its first images; and all scores, by score and set."""
    found: dict[str, Any] = {}
    examples: dict[str, np.ndarray] = {}
    distributions = {score: {"test": apply(known["test"]).numpy()} for score, apply in outliers.SCORES.items()}
    count = options.images_per_set
    for name in options.out_of_distribution:
        if name in outlier_sets.SETS:
            images = outlier_sets.make(name, count, options.seed)
        else:
            images = published.load(name, Path(data["folder"]), data["mirrors"], only_test=True).test.images[:count]
        logits = predictor.logits(images, data["eval_batch_size"])
        examples[name] = images[:_EXAMPLES]
        found[name] = {"images": len(images)}
        for score, apply in outliers.SCORES.items():
            found[name][score] = outliers.detection(apply(known["test"]), apply(logits), apply(known["validation"]))
            distributions[score][name] = apply(logits).numpy()
        log.info("%-16s AUROC %.4f by confidence, %.4f by energy", name, found[name]["max_softmax"]["auroc"],
                 found[name]["energy"]["auroc"])  # fmt: skip
    return found, examples, distributions
