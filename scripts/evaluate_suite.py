"""The whole truth about a trained network on one page: `python scripts/evaluate_suite.py ckpt=latest data=mnist`."""

from pathlib import Path

from mnist_lightning import machine, runs
from mnist_lightning.cli import Settings, script


@script("evaluate_suite")
def main(settings: Settings, run: Path) -> float:
    """Measure from all sides, and return the accuracy."""
    checkpoint, _ = runs.find_checkpoint(settings["ckpt"], Path(settings["outputs"]))
    machine.keep_freed_memory()

    with machine.heavy_imports():
        from mnist_lightning.evaluation.suite import evaluate_suite

    return evaluate_suite(
        run,
        checkpoint,
        device=settings["device"],
        tta=settings["tta"],
        precision=settings["precision"],
        data=settings["data"],
        seed=settings["seed"],
        out_of_distribution=settings["outliers"],
        images_per_set=settings["outlier_images"],
        speed_seconds=settings["speed_seconds"],
    )["accuracy"]


if __name__ == "__main__":
    main()
