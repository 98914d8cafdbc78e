"""Score a trained network: `python scripts/eval.py ckpt=latest`; settings in conf/eval.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("eval")
