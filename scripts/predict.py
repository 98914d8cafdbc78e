"""Read the digit in image files: `python scripts/predict.py image=digit.png`; settings in conf/predict.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("predict")
