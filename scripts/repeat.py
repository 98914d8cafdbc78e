"""The same run again, to compare: `python scripts/repeat.py run=latest`; settings in conf/repeat.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("repeat")
