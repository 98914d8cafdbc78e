"""suite(): everything that can be measured about a trained network, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Len

from mnist_lightning import compat
from mnist_lightning.run import folder as runs
from mnist_lightning.run import machine
from mnist_lightning.tasks.settings import Views
from mnist_lightning.types import Device, NonNegative, Part, PositiveInt, Precision, Seed


def suite(
    run: Path,
    *,
    ckpt: str | None,
    outputs: str,
    device: Device,
    precision: Precision,
    seed: Seed,
    outliers: Annotated[list[str], Len(1)],
    outlier_images: PositiveInt,
    speed_seconds: NonNegative,
    data: Part,
    tta: Views,
    allow: list[str],
) -> dict[str, Any]:
    """Measure a trained network in every respect; the settings are those of `conf/evaluate_suite.yaml`.

    Returns:
        What `report.json` holds.

    Raises:
        UserError: the checkpoint or the data cannot be loaded.
    """
    checkpoint, _ = runs.find_checkpoint(ckpt, Path(outputs))
    machine.keep_freed_memory()
    machine.wait_briefly()

    with compat.heavy_imports():
        from mnist_lightning.cli import parts
        from mnist_lightning.evaluation.suite import Options, evaluate_suite
        from mnist_lightning.inference.predictor import Predictor

    predictor = Predictor.load(checkpoint, device, tta, precision, allow=allow)  # type: ignore[arg-type]
    settings = parts.source_built(data)
    options = Options(seed, outliers, outlier_images, speed_seconds)
    return evaluate_suite(run, checkpoint, predictor, settings, options)
