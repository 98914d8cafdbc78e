"""Train a network: `python scripts/train.py trainer.max_epochs=40`; settings in conf/train.yaml."""

from pathlib import Path
from typing import Any

from mnist_lightning.cli import Settings, script


def report(sweep: Path, asked: dict[str, Any]) -> int:
    """Add up the jobs of a sweep, and make an ensemble of their networks where that is asked for."""
    from mnist_lightning.sweeps.report import report

    code = report(sweep, Path(asked["outputs"]))
    if asked["ensemble"]:
        from mnist_lightning.ensemble import join

        join(sweep, Path(asked["outputs"]))
    return code


@script("train", report=report, on_every_rank=True)
def main(settings: Settings, run: Path) -> float:
    """Train, and return what a sweep compares: the best validation accuracy."""
    from mnist_lightning.training import train

    return train(settings, run)["best"]["val_accuracy"]


if __name__ == "__main__":
    main()
