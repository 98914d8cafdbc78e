"""Play pen strokes through the canvas: `python scripts/replay.py strokes=my.jsonl`; settings in conf/replay.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("replay")
