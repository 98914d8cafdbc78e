"""Image files -> arrays. Knows nothing of digits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mnist_lightning.errors import UserError


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as it is stored.

    Args:
        path: a PNG, JPEG, BMP, WebP, TIFF or any other file that OpenCV can read.

    Returns:
        uint8, grey [H, W], BGR [H, W, 3] or BGRA [H, W, 4]; 16-bit pictures are brought to 8 bits.

    Raises:
        UserError: there is no such file, or it holds no picture.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no image file {path}; check the path.")
    data = np.frombuffer(path.read_bytes(), np.uint8)  # not cv2.imread: that fails on non-ASCII paths on Windows
    return decode_image(data, str(path))


def decode_image(data: bytes | np.ndarray, name: str = "the image") -> np.ndarray:
    """Decode the bytes of an image file, for example of an upload.

    Args:
        data: the file's content.
        name: what to call it in the error.

    Returns:
        As `read_image`.

    Raises:
        UserError: the bytes are no picture.
    """
    image = None
    if len(data):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            image = None
    if image is None:
        raise UserError(f"{name} is no image that OpenCV can read; save it as PNG or JPEG.")
    if image.dtype == np.uint16:
        image = (image // 256).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = np.clip(image * 255.0, 0, 255).astype(np.uint8)
    return image
