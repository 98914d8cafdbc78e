"""What runs have reached: `python scripts/results.py runs=outputs`; settings in conf/results.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("results")
