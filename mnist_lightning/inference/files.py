"""Image files in, one line of JSON each out."""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mnist_lightning import compat
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.types import Device, Probability

if TYPE_CHECKING:
    from mnist_lightning.inference.reading import DigitReading, Reading


def predict_files(
    *,
    image: str,
    ckpt: str | None = None,
    outputs: str = "outputs",
    device: Device = "auto",
    digits: Literal[1] | None = None,
    sure: Probability | None = None,
    allow: Sequence[str] = (),
) -> None:
    """Print what a network reads in image files: the settings are those of conf/predict.yaml.

    Every file is decoded once before the first line is printed, so a damaged one leaves no partial output.
    In `image`, `~` is the home folder.

    Raises:
        UserError: there is no such file or checkpoint, or a file is not an image.
    """
    paths = find_images(image)
    path, word = runs.find_checkpoint(ckpt, Path(outputs))

    with compat.heavy_imports():
        from mnist_lightning.inference.predictor import Predictor
        from mnist_lightning.inference.reader import Reader
        from mnist_lightning.ink.images import read_picture

    for name in paths:
        if len(paths) > 1:  # refuse a damaged file before anything is printed, but keep one picture in memory only
            read_picture(name)
    predictor = None
    for name in paths:
        picture = read_picture(name)
        if predictor is None:
            predictor = Predictor.load(path, device, allow=allow)
            print(f"Checkpoint: {word}", file=sys.stderr)
        if picture.has_more:
            print(f"{name} has several pages or frames: the first is read.", file=sys.stderr)
        reading = Reader(predictor, sure).read_picture(picture.pixels, digits)
        line = {"image": name, "network": word, **describe(reading, picture.shrunk)}
        print(json.dumps(line, ensure_ascii=False))


def find_images(image: str) -> list[str]:
    """The files that a name or a glob stands for, in the order of their names; a name that exists is never a glob.

    Raises:
        UserError: there are none.
    """
    try:
        expanded = str(Path(image).expanduser())
    except RuntimeError:  # ~somebody who does not exist
        expanded = image
    for name in (image, expanded):
        if Path(name).exists():
            return [name]
    found = sorted(name for name in glob.glob(expanded, recursive=True) if not Path(name).is_dir())  # noqa: PTH207
    if not found:
        raise UserError(f"There is no image {image}: give a file, or a glob in quotes such as 'photos/*.png'.")
    return found


def describe(reading: Reading, scale: float = 1) -> dict[str, Any]:
    """What was read, as plain data.

    Args:
        reading: of a picture.
        scale: pixels of the file per pixel of the picture that was read.

    Returns:
        `number`: all digits, likeliest class each, with a space between rows; "" if the sheet is empty. `sure`: whether
        every digit is. `message`: "", "empty" or "no digit that I know". `digit`, `confidence`, `probabilities`: of the
        only digit, None if there are more or none. `digits`: each with `digit`, `confidence`, `sure`, `probabilities`
        and `box`: left, top, right, bottom in pixels.
    """
    from mnist_lightning.inference.reading import NO_DIGIT

    digits = [_describe_digit(digit, scale) for digit in reading.digits]
    only = digits[0] if len(digits) == 1 else {}
    message = "empty" if not digits else NO_DIGIT if reading.has_no_digit else ""
    return {
        "number": reading.best,
        "sure": reading.sure,
        "message": message,
        "digit": only.get("digit"),
        "confidence": only.get("confidence"),
        "probabilities": only.get("probabilities"),
        "digits": digits,
    }


def _describe_digit(digit: DigitReading, scale: float) -> dict[str, Any]:
    from mnist_lightning.inference.reading import label_value

    return {
        "digit": label_value(digit.label),
        "confidence": round(digit.confidence, 6),
        "sure": digit.sure,
        "box": [round(each * scale) for each in digit.box],
        "probabilities": [round(float(each), 6) for each in digit.probabilities],
    }
