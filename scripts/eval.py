"""Score a trained network: `python scripts/eval.py ckpt=latest`; settings in conf/eval.yaml."""

from pathlib import Path

from mnist_lightning.cli.script import Settings, script


@script("eval")
def main(settings: Settings, run: Path) -> float:
    """Score, and return the accuracy."""
    from mnist_lightning.tasks.train import evaluate

    return evaluate(settings, run)["accuracy"]


if __name__ == "__main__":
    main()
