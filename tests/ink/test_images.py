from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_lightning.errors import UserError
from mnist_lightning.ink.images import decode_image, read_image


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (7, 5, 4)])
def test_a_png_is_read_as_it_was_stored(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = tmp_path / "Ziffer ä 七.png"
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    assert np.array_equal(read_image(path), image)
    assert np.array_equal(decode_image(path.read_bytes()), image)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.array([[0, 256, 65535]], np.uint16))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.tolist() == [[0, 1, 255]]


def test_a_missing_file_and_one_that_is_no_image_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no image file .*none\.png"):
        read_image(tmp_path / "none.png")
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n truncated"):
        path = tmp_path / "bad.png"
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.png is no image"):
            read_image(path)
