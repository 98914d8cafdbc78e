"""Read the digit in image files: `python scripts/predict.py image=digit.png`; settings in conf/predict.yaml."""

from pathlib import Path

from mnist_lightning.cli.script import Settings, script


@script("predict")
def main(settings: Settings, run: Path) -> None:
    """Print one line of JSON an image: image, digit, confidence, probabilities."""
    from mnist_lightning.inference.files import predict_files

    predict_files(settings["image"], settings["ckpt"], Path(settings["outputs"]), settings["device"])


if __name__ == "__main__":
    main()
