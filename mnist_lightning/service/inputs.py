"""The body of a request -> the picture or drawing in it: the forms that a body may have, and their limits."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pydantic_core import from_json as from_json_text

from mnist_lightning.errors import UserError
from mnist_lightning.ink.extract import FAINT
from mnist_lightning.ink.normalise import BOX, CENTRE, SIZE, measure_stroke_width
from mnist_lightning.ink.strokes import Drawing, Stroke
from mnist_lightning.service import pictures
from mnist_lightning.service.limits import Limits
from mnist_lightning.service.problems import Problem
from mnist_lightning.service.reading import Content

QUICK = 4_096  # largest body that is prepared at once, not in another thread, bytes
_QUICK_SIDE = 64  # and longest side of such a picture, pixels

_USUAL_WIDTH = (2.1, 3.8)  # of strokes, measured roughly, pixels: well within what `normalise_ink` leaves as it is
_AROUND = np.ones((3, 3), np.uint8)

Box = tuple[float, float, float, float]


def from_picture(data: bytes, limits: Limits) -> Content:
    """An image file, PNG or JPEG."""
    pixels, shrunk = pictures.decode(data, limits.pixels)
    return Content(pixels=pixels, scale=shrunk)


def mnist_box(image: np.ndarray) -> Box | None:
    """The box of the digit in a picture that is in the form of MNIST already; None for any other picture.

    `ink` would leave such a picture unchanged, so it is read as it is; finding that out takes a tenth of the time.
    """
    if image.shape != (SIZE, SIZE) or cv2.minMaxLoc(image)[1] < 250:
        return None
    strong = cv2.threshold(image, FAINT, 255, cv2.THRESH_BINARY)[1]
    if cv2.boundingRect(strong)[3] != BOX or cv2.connectedComponents(strong)[0] != 2:
        return None
    moments = cv2.moments(image)
    if (round(moments["m10"] / moments["m00"]), round(moments["m01"] / moments["m00"])) != (CENTRE, CENTRE):
        return None
    if cv2.countNonZero(cv2.bitwise_and(image, cv2.bitwise_not(cv2.dilate(strong, _AROUND)))):
        return None  # faint marks on the paper
    if not _USUAL_WIDTH[0] < measure_stroke_width(image) < _USUAL_WIDTH[1]:
        return None  # perhaps one that `normalise_ink` changes
    left, top, width, height = cv2.boundingRect(image)
    right, bottom = left + width, top + height
    return (left, top, right, bottom) if min(left, top, SIZE - right, SIZE - bottom) > 0 else None


def parse_json(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Problem: it is not valid JSON (400), or not an object (422).
    """
    try:  # not `json.loads`, in which no other thread goes on, for up to several times as long
        value = from_json_text(data, allow_inf_nan=False)
    except ValueError:
        raise Problem(400, "The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise Problem(422, 'The body is not a JSON object: send {"strokes": ...} or {"image": ...}.')
    return value


def from_json(value: dict[str, Any], limits: Limits) -> Content:
    """The content of `{"strokes": [[[x, y], ...], ...]}` or `{"image": 28 rows of 28 grey values}`."""
    if ("strokes" in value) == ("image" in value):
        raise Problem(422, 'Send either "strokes" or "image".')
    if "image" in value:
        return Content(pixels=grey_image(value["image"]))
    return Content(strokes=strokes_of(value, limits))


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
        return Drawing.from_data(
            {key: value[key] for key in ("strokes", "widths") if value.get(key) is not None}
        ).strokes
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
    """Whether preparing a body takes less time than handing it to another thread."""
    if len(data) > QUICK:
        return False
    if not media_type.startswith("image/"):
        return True
    try:
        return max(pictures.size_of(data)) <= _QUICK_SIDE
    except Problem:
        return True
