"""The whole truth about a trained network on one page: `python scripts/evaluate_suite.py ckpt=latest data=mnist`."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("evaluate_suite")
