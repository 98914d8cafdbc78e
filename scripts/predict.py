"""Read the digits in image files: `python scripts/predict.py image=digit.png`; settings in conf/predict.yaml."""

from pathlib import Path

from mnist_lightning.cli import Settings, script


@script("predict", texts=("image", "ckpt", "outputs"))
def main(settings: Settings, run: Path) -> None:
    """Print one line of JSON per image: what is read, how surely, where, and by which network."""
    from mnist_lightning.inference.files import predict_files

    predict_files(**settings)


if __name__ == "__main__":
    main()
