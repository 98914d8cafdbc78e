"""Play pen strokes through the canvas: `python scripts/replay.py strokes=my.jsonl`; settings in conf/replay.yaml."""

from pathlib import Path

from mnist_lightning.cli.script import Settings, script


@script("replay")
def main(settings: Settings, run: Path) -> float:
    """Print accuracy, writers, mistakes; return the accuracy."""
    from mnist_lightning.apps.replay import replay

    return replay(run, **settings)["accuracy"]


if __name__ == "__main__":
    main()
