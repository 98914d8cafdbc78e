from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_lightning.ink.extract import extract_ink
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import read_digits

DIGITS = list(read_digits(Path(__file__).with_name("pen_digits.jsonl")))
SIDE = 320
Y, X = np.mgrid[:SIDE, :SIDE] / SIDE
LIGHTS = {
    "even": np.ones((SIDE, SIDE)),
    "window": 0.45 + 0.55 * (0.6 * X + 0.4 * Y),
    "lamp": 1 - 0.9 * ((X - 0.5) ** 2 + (Y - 0.5) ** 2),
    "shadow": cv2.GaussianBlur(np.where(X + 0.4 * Y > 0.65, 0.5, 1.0), (0, 0), 5),
}


def photograph(index: int, light: str, ink: float, paper: float, noise: float = 5.0) -> np.ndarray:
    """A digit on a sheet of reflectance `paper` (0 to 1), with `ink`, as a JPEG in colour."""
    cover = np.zeros((SIDE, SIDE))
    digit = cv2.resize(draw_digit(DIGITS[index].strokes), None, fx=2, fy=2) / 255
    cover[100 : 100 + digit.shape[0], 60 : 60 + digit.shape[1]] = digit
    grey = 255 * LIGHTS[light] * (paper + (ink - paper) * cover)
    grain = np.random.default_rng(index).normal(0, noise, (SIDE, SIDE, 3))
    picture = np.clip(grey[:, :, None] + grain, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    ("ink", "paper", "light"),
    [
        *((0.15, 0.9, light) for light in LIGHTS),  # pen
        *((0.60, 0.9, light) for light in LIGHTS if light != "shadow"),  # pencil, fainter than that shadow
        *((0.85, 0.2, light) for light in LIGHTS),  # chalk
    ],
)
def test_a_photographed_digit_looks_like_the_drawn_one(ink: float, paper: float, light: str) -> None:
    for index in (0, 4, 5, 7):
        seen = normalise(photograph(index, light, ink, paper)).astype(int)
        expected = normalise(draw_digit(DIGITS[index].strokes)).astype(int)
        # Images of two different digits differ by 24 and more, mostly by 40.
        assert np.abs(seen - expected).mean() < 8


@pytest.mark.parametrize("light", ["even", "window", "lamp"])
def test_a_photographed_empty_sheet_has_no_ink(light: str) -> None:
    blank = np.random.default_rng(1).normal(220 * LIGHTS[light], 6).clip(0, 255).astype(np.uint8)
    assert not extract_ink(blank).any()


def test_a_clean_drawing_keeps_its_pixels() -> None:
    ink = np.zeros((60, 90), np.uint8)
    cv2.circle(ink, (45, 30), 20, 255, 5, cv2.LINE_AA)
    assert np.array_equal(extract_ink(ink), ink)
    assert np.array_equal(extract_ink(255 - ink), ink)


def test_faint_ink_is_stretched_and_isolated_faint_pixels_dropped() -> None:
    sheet = np.full((80, 80), 250, np.uint8)
    sheet[20:60, 38:44] = 150
    sheet[5, 5] = 243
    ink = extract_ink(sheet)
    assert ink[40, 40] == 255
    assert ink[5, 5] == 0
    assert np.count_nonzero(ink) == 40 * 6


def test_dust_and_a_finger_at_the_rim_are_no_ink() -> None:
    picture = photograph(3, "window", 0.15, 0.9)
    expected = extract_ink(picture)
    picture[10:13, 300:303] = 20
    picture[290:, 250:290] = 30
    ink = extract_ink(picture)
    assert not ink[225:].any()
    assert not ink[:20].any()
    assert np.abs(ink.astype(int) - expected).mean() < 1


def test_a_large_transparent_picture_takes_little_more_memory_than_it_has():
    import tracemalloc

    image = np.zeros((1500, 1500, 4), np.uint8)
    image[300:1200, 700:800, 3] = 255
    tracemalloc.start()
    extract_ink(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * image.nbytes


def test_a_long_strip_of_grainy_paper_is_read():
    random = np.random.default_rng(0)
    strip = np.clip(random.normal(200, 6, (40, 4000)), 0, 255).astype(np.uint8)
    for left in range(100, 3900, 200):
        strip[8:32, left : left + 6] = 40
    assert extract_ink(strip).any()
