"""Draw digits with the mouse and see them read: `python scripts/draw.py`; settings in conf/draw.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("draw")
