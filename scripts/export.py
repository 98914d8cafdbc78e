"""Write a trained network as a file for other programs: `python scripts/export.py`; settings in conf/export.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("export")
