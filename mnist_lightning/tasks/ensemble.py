"""join(sweep): one checkpoint in which all networks of a sweep vote, scored like any other.

No network is left out: a choice of members by their scores would report the luck of the choice.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_lightning.cli.overrides import key_of
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.run import provenance
from mnist_lightning.run.record import Record
from mnist_lightning.sweeps import collect
from mnist_lightning.sweeps.collect import SPLIT, Run

log = logging.getLogger(__name__)

FOLDER = "ensemble"  # in the sweep's folder


def join(sweep: Path, outputs: Path, command: str | None = None) -> dict[str, Any]:
    """Combine all networks of a sweep into one, and score it in the run folder `ensemble` within the sweep's folder.

    Args:
        sweep: its folder. Jobs that did not finish contribute no network; a warning says so. With `test=false` the test
            images are not read.
        outputs: folder that gets `latest`, which then points to the ensemble.
        command: the command line that started the sweep, for the record.

    Returns:
        What the ensemble's `training_metrics.json` holds.

    Raises:
        UserError: fewer than two jobs finished, or their networks were not trained on the same images.
    """
    began = time.perf_counter()
    jobs = [job for job in collect.read(collect.find(sweep))[0] if "members" not in job.metrics]
    ended = [job for job in jobs if job.metrics["status"] == "finished"]
    finished = [job for job in ended if (Path(job.folder) / runs.BEST).is_file()]
    if len(finished) < 2:
        raise UserError(f"An ensemble needs two trained networks: of the jobs in {runs.shown(sweep)} {len(ended)} "
                        f"finished, and {len(finished)} left a {runs.BEST}.")  # fmt: skip
    if missing := len(jobs) - len(finished):
        log.warning("The ensemble holds %d networks: %d jobs left none.", len(finished), missing)

    from mnist_lightning.models import checkpoint

    run = sweep / FOLDER
    members = [checkpoint.read(Path(job.folder) / runs.BEST) for job in finished]
    _check_alike([each[checkpoint.CARD] for each in members])
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    checkpoint.write(checkpoint.join(members), run / runs.BEST)

    first = finished[0].metrics
    seeds = sorted({job.metrics["seed"] for job in finished})
    settings = first["hyperparameters"]
    record = Record(run, {
        **{key: first[key] for key in ("experiment", "choices") if key in first},
        "command": command,
        "overrides": [*(word for word in _common(finished) if key_of(word) != "sweep.ensemble"), "sweep.ensemble=true"],
        "members": [os.path.relpath(job.folder, run) for job in finished],  # valid wherever the sweep is moved to
        "dataset": first["dataset"],
        "seed": seeds,
        "history": {},
        **_score(run, settings, [str(each[checkpoint.CARD]["network"].get("_target_", "")) for each in members]),
        "hyperparameters": {**settings, "model": {"name": "ensemble", "members": len(finished)}, "seed": seeds},
        "parameters": sum(job.metrics["parameters"] for job in finished),
        "timing": {
            "fit_seconds": sum(job.metrics["timing"]["fit_seconds"] for job in finished),
            "total_seconds": time.perf_counter() - began,
        },
    })  # fmt: skip
    record.finished()
    runs.mark_latest(run, outputs)
    metrics = record.content
    reached = f"validation accuracy {100 * metrics['best']['val_accuracy']:.2f} %"
    if metrics["test"]:
        reached += f", test accuracy {100 * metrics['test']['accuracy']:.2f} %"
    print(f"\nensemble of {len(finished)}, {reached}\n  {runs.shown(run)}")
    return metrics


def _score(run: Path, settings: dict[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    """Score the ensemble in `run`, and return `best`, `test` and `environment` for its record.

    Pictures are of the test images, and drawn if those are scored.
    """
    from mnist_lightning.callbacks.pictures import ConfusionMatrix, SamplePrediction, WorstMistakes
    from mnist_lightning.cli import parts
    from mnist_lightning.inference.predictor import Predictor
    from mnist_lightning.models.classifier import Classifier
    from mnist_lightning.tasks.finish import score
    from mnist_lightning.tasks.trainer import pick, quiet, tester

    quiet()
    device = pick(settings["trainer"]["accelerator"]).type
    tta, precision = settings["tta"], settings["trainer"]["precision"]
    data = parts.build("data", settings["data"])
    data.prepare_data()
    data.setup("fit")
    loading: dict[str, Any] = {"device": device, "precision": precision, "allow": allowed}
    validated = _validate(run, data, tta, loading)
    predictor, test = Predictor.load(run / runs.BEST, **loading), None
    if settings["test"]:
        trainer = tester(run, device, predictor.precision, [SamplePrediction(), WorstMistakes(), ConfusionMatrix()])
        test, _ = score(Classifier(predictor.network, card=predictor.card), data, tta, trainer)
    return {
        "best": {"epoch": None, **validated, "checkpoint": runs.BEST},
        "test": test,
        "environment": provenance.describe(predictor.device.type, predictor.precision),
    }


def _validate(run: Path, data: Any, tta: dict[str, Any], loading: dict[str, Any]) -> dict[str, float]:
    """`val_loss` and `val_accuracy` of the ensemble; for `DigitsDataModule`, its card gets a temperature."""
    from torch.nn import functional as F

    from mnist_lightning.data.datamodule import DigitsDataModule
    from mnist_lightning.inference.predictor import Predictor
    from mnist_lightning.inference.views import Views
    from mnist_lightning.models.classifier import Classifier
    from mnist_lightning.tasks import held_out
    from mnist_lightning.tasks.trainer import tester

    names = ("val_loss", "val_accuracy")
    if isinstance(data, DigitsDataModule):
        logits, _ = held_out.read(run / runs.BEST, data, tta, **loading)
        right = (logits.argmax(1) == data.val.labels).double().mean().item()
        return dict(zip(names, (F.cross_entropy(logits, data.val.labels).item(), right), strict=True))
    predictor = Predictor.load(run / runs.BEST, **loading)  # of other modules, only the loaders are known
    network = Views(predictor.network, **tta) if any(tta.values()) else predictor.network
    trainer = tester(run, loading["device"], predictor.precision, [])
    found = trainer.validate(Classifier(network, card=predictor.card), data, verbose=False)[0]
    return {name: found[name] for name in names}


def _check_alike(cards: Sequence[dict[str, Any]]) -> None:
    """Check that the members' cards are compatible.

    If networks validated on different images, each would be judged by images that another was trained on.
    """
    same = ("dataset", "class_names", "image_size")
    for card in cards[1:]:
        differing = [key for key in same if card[key] != cards[0][key]]
        own, other = card["settings"]["data"], cards[0]["settings"]["data"]
        differing += [f"data.{key}" for key in SPLIT if own.get(key) != other.get(key)]
        if differing:
            raise UserError(f"These networks make no ensemble: they differ in {', '.join(differing)}.")


def _common(jobs: Sequence[Run]) -> list[str]:
    """The overrides that all the jobs have in common."""
    said = [job.metrics.get("overrides") or [] for job in jobs]
    return [word for word in said[0] if all(word in other for other in said)]
