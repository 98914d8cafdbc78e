"""The body of a request -> the digits in it, each prepared as the network wants it.

The preparation is `ink`'s; here are the forms that a body may have, and their limits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mnist_lightning.errors import UserError
from mnist_lightning.ink.extract import FAINT, extract_ink
from mnist_lightning.ink.normalise import BOX, CENTRE, SIZE, bounding_box, measure_stroke_width, normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.segment import segment_ink, segment_strokes
from mnist_lightning.ink.strokes import Drawing, Stroke, bounds
from mnist_lightning.service import pictures
from mnist_lightning.service.limits import Limits
from mnist_lightning.service.problems import Problem

QUICK = 4_096  # bytes of a body that is prepared at once, and not by another thread
_QUICK_SIDE = 64  # and of a picture's sides, pixels

_USUAL_WIDTH = (1.9, 3.8)  # of strokes, measured roughly, pixels: well within what `normalise_ink` leaves as it is
_AROUND = np.ones((3, 3), np.uint8)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Sheet:
    """What one picture or drawing holds.

    Attributes:
        images: uint8 [N, 28, 28], one per digit from left to right.
        boxes: left, top, right, bottom of each, in the pixels of the picture or the unit of the strokes.
    """

    images: np.ndarray
    boxes: list[Box]


_EMPTY = np.zeros((0, SIZE, SIZE), np.uint8)


def from_picture(data: bytes, limits: Limits) -> Sheet:
    """The digits in an image file, PNG or JPEG."""
    return from_pixels(pictures.decode(data, limits.pixels), limits)


def from_pixels(image: np.ndarray, limits: Limits) -> Sheet:
    """The digits in a picture, uint8, grey [H, W], BGR [H, W, 3] or BGRA [H, W, 4]."""
    if (box := mnist_box(image)) is not None:
        return Sheet(image[None], [box])
    ink = extract_ink(image)
    if not ink.size:
        return Sheet(_EMPTY, [])
    pieces = cv2.connectedComponents(cv2.threshold(ink, FAINT, 255, cv2.THRESH_BINARY)[1])[0] - 1
    digits = [ink] if pieces == 1 else segment_ink(ink)
    _check_count(len(digits), limits)
    scale = image.shape[1] / ink.shape[1]  # a photograph is shrunk on the way
    boxes = [[side * scale for side in bounding_box(digit) or (0, 0, 0, 0)] for digit in digits]
    images = np.stack([normalise_ink(digit) for digit in digits]) if digits else _EMPTY
    return Sheet(images, [(box[0], box[1], box[2], box[3]) for box in boxes])


def mnist_box(image: np.ndarray) -> Box | None:
    """The box of the digit in a picture that is in the form of MNIST already; None for any other picture.

    Such a picture is what `ink` would make of it, so it is read as it is; finding that out takes a tenth of the time.
    """
    if image.shape != (SIZE, SIZE) or cv2.minMaxLoc(image)[1] < 250:
        return None
    strong = cv2.threshold(image, FAINT, 255, cv2.THRESH_BINARY)[1]
    left, top, width, height = cv2.boundingRect(strong)
    if max(width, height) != BOX or cv2.connectedComponents(strong)[0] != 2:
        return None
    moments = cv2.moments(image)
    if (round(moments["m10"] / moments["m00"]), round(moments["m01"] / moments["m00"])) != (CENTRE, CENTRE):
        return None
    if cv2.countNonZero(cv2.bitwise_and(image, cv2.bitwise_not(cv2.dilate(strong, _AROUND)))):
        return None  # faint marks on the paper
    if not _USUAL_WIDTH[0] < measure_stroke_width(image) < _USUAL_WIDTH[1]:
        return None  # perhaps one that `normalise_ink` changes
    return (left, top, left + width, top + height)


def from_strokes(strokes: list[Stroke], limits: Limits) -> Sheet:
    """The digits in a drawing."""
    groups = segment_strokes(strokes)
    _check_count(len(groups), limits)
    images = np.stack([normalise_ink(draw_digit(group)) for group in groups]) if groups else _EMPTY
    return Sheet(images, [bounds(group) or (0, 0, 0, 0) for group in groups])


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.digits:
        raise Problem(422, f"There are {count} digits: at most {limits.digits} are read in one picture or drawing.")


def parse_json(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Problem: it is not valid JSON (400), or not an object (422).
    """
    try:
        value = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Problem(400, "The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise Problem(422, 'The body is not a JSON object: send {"strokes": ...} or {"image": ...}.')
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are not JSON


def from_json(value: dict[str, Any], limits: Limits) -> Sheet:
    """The digits in `{"strokes": [[[x, y], ...], ...]}` or `{"image": 28 rows of 28 grey values}`."""
    if ("strokes" in value) == ("image" in value):
        raise Problem(422, 'Send either "strokes" or "image".')
    if "image" in value:
        return from_pixels(grey_image(value["image"]), limits)
    return from_strokes(strokes_of(value, limits), limits)


def strokes_of(value: dict[str, Any], limits: Limits) -> list[Stroke]:
    """The strokes of a drawing, `{"strokes": [[[x, y], ...], ...], "widths": [...]}`, within the limits."""
    strokes = value.get("strokes")
    if not isinstance(strokes, list):
        raise Problem(422, '"strokes" is not a list of strokes: send [[[x, y], ...], ...].')
    if len(strokes) > limits.strokes:
        raise Problem(422, f"The drawing has {len(strokes)} strokes: at most {limits.strokes} are read.")
    points = sum(len(stroke) for stroke in strokes if isinstance(stroke, list))
    if points > limits.points:
        raise Problem(422, f"The drawing has {points} points: at most {limits.points} are read.")
    try:
        return Drawing.from_data({key: value[key] for key in ("strokes", "widths") if key in value}).strokes
    except (UserError, OverflowError) as error:
        raise Problem(422, str(error)[:300]) from None


def grey_image(value: Any) -> np.ndarray:
    """A 28x28 picture, uint8, of rows of whole numbers from 0 to 255."""
    rows = value if isinstance(value, list) else []
    if len(rows) != SIZE or any(not isinstance(row, list) or len(row) != SIZE for row in rows):
        raise Problem(422, f'"image" is not {SIZE} rows of {SIZE} numbers.')
    if any(type(pixel) is not int or not 0 <= pixel <= 255 for row in rows for pixel in row):
        raise Problem(422, '"image" holds something other than whole numbers from 0 to 255.')
    return np.array(rows, np.uint8)


def raw_images(data: bytes, limits: Limits) -> np.ndarray:
    """Raw bytes, N x 784 of them -> uint8 [N, 28, 28], bright ink on 0, in the form of MNIST, read as they are."""
    count, rest = divmod(len(data), SIZE * SIZE)
    if rest or not count:
        raise Problem(422, f"The body has {len(data)} bytes: send {SIZE * SIZE} for each image.")
    if count > limits.images:
        raise Problem(413, f"The body holds {count} images: at most {limits.images} are read in one request.")
    return np.frombuffer(data, np.uint8).reshape(count, SIZE, SIZE)


def is_quick(data: bytes, media_type: str) -> bool:
    """Whether a body is prepared faster than it is handed to another thread."""
    if len(data) > QUICK:
        return False
    if not media_type.startswith("image/"):
        return True
    try:
        return max(pictures.size_of(data)) <= _QUICK_SIDE
    except Problem:
        return True
