"""Train a network: `python scripts/train.py trainer.max_epochs=40`; settings in conf/train.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("train")
