import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mnist_lightning.errors import UserError
from mnist_lightning.ink.images import decode_picture, read_image


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (7, 5, 4)])
def test_a_png_is_read_as_it_was_stored(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = tmp_path / "Ziffer ä 七.png"
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    assert np.array_equal(read_image(path), image)
    assert np.array_equal(decode_picture(path.read_bytes()).pixels, image)


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
        with pytest.raises(UserError, match=r"bad\.png is not an image that can be read"):
            read_image(path)


def sheet() -> np.ndarray:
    image = np.full((40, 30, 3), 255, np.uint8)
    image[5:15, 5:8] = 0
    image[30:33, 10:25] = 60
    return image


def saved(image: np.ndarray, form: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_picture_that_a_camera_stored_turned_is_the_right_way_up(form: str, orientation: int) -> None:
    turned = {
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: np.rot90,
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 3),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(turned.get(orientation, lambda a: a)(sheet()))
    assert np.array_equal(decode_picture(saved(stored, form, exif=exif)).pixels, sheet())


def test_sixteen_bits_that_end_at_255_are_not_black() -> None:
    for image in (sheet(), sheet()[:, :, 0]):
        deep = (".png", image.astype(np.uint16)), (".png", image.astype(np.uint16) * 257)
        for form, values in (*deep, (".tiff", image.astype(np.float32) / 255)):
            assert np.array_equal(decode_picture(cv2.imencode(form, values)[1].tobytes()).pixels, image)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F"])
def test_every_kind_of_picture_shows_the_same(form: str, mode: str) -> None:
    try:
        data = saved(sheet(), form, mode)
    except (OSError, ValueError):
        pytest.skip("there is no such file")
    image = decode_picture(data).pixels
    grey = (image if image.ndim == 2 else image[:, :, 1]).astype(int)
    assert np.abs(grey[8:12, 6] - 0).max() < 70
    assert np.abs(grey[20, 5:25] - 255).max() < 40


def test_the_first_of_several_pages_is_read_and_the_others_are_told_of() -> None:
    other = Image.new("RGB", (30, 40))
    for form in ("GIF", "TIFF"):
        picture = decode_picture(saved(sheet(), form, save_all=True, append_images=[other]))
        assert picture.has_more
        assert picture.pixels[20, 20].min() > 200
    assert not decode_picture(saved(sheet(), "PNG")).has_more


def test_a_picture_too_large_is_refused_before_it_is_decoded() -> None:
    file = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    with pytest.raises(UserError, match=r"has 10,000 x 10,000 pixels: a picture may have 36 million"):
        decode_picture(file.getvalue(), "bomb.png")


def test_a_damaged_file_of_any_format_is_one_sentence() -> None:
    random, sentences = np.random.default_rng(0), []
    for form in ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"):
        whole = saved(sheet(), form)
        for _ in range(15):
            data = bytearray(whole[: random.integers(1, len(whole) + 1)])
            for place in random.integers(0, len(data), 3):
                data[place] = random.integers(0, 256)
            try:
                decode_picture(bytes(data))
            except UserError as error:
                sentences.append(str(error))
    assert len(sentences) > 40
    assert not any("\n" in sentence for sentence in sentences)


def test_a_large_picture_is_shrunk_and_says_by_how_much() -> None:
    picture = decode_picture(saved(np.full((4500, 3000, 3), 200, np.uint8), "JPEG"))
    assert (picture.pixels.shape, picture.shrunk) == ((2250, 1500, 3), 2)
