from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_lightning.ink.normalise import bounding_box, measure_stroke_width, normalise, normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import read_digits

DIGITS = list(read_digits(Path(__file__).with_name("pen_digits.jsonl")))
SEEN = [normalise(draw_digit(digit.strokes)) for digit in DIGITS]


def drawn(index: int, width: float = 2.3, height: int = 200) -> np.ndarray:
    """A digit on a large black canvas, in a corner of it, strokes `width` wide in 28x28 pixels."""
    ink = draw_digit(DIGITS[index].strokes, width)
    ink = cv2.resize(ink, None, fx=height / 80, fy=height / 80, interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((400, 640), np.uint8)
    canvas[30 : 30 + ink.shape[0], 250 : 250 + ink.shape[1]] = ink
    return canvas


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def test_a_result_has_mnists_form() -> None:
    for seen in SEEN:
        assert seen.shape == (28, 28)
        assert seen.dtype == np.uint8
        assert seen.max() == 255
        left, top, right, bottom = bounding_box(seen)
        assert max(right - left, bottom - top) == 20
        y, x = np.mgrid[:28, :28]
        assert abs((y * seen).sum() / seen.sum() - 14) <= 0.5
        assert abs((x * seen).sum() / seen.sum() - 14) <= 0.5


def test_what_has_that_form_comes_back_unchanged() -> None:
    for seen in SEEN:
        assert np.array_equal(normalise(seen), seen)


def test_position_on_the_field_is_all_that_is_mended_in_a_shifted_digit() -> None:
    assert np.array_equal(normalise(np.roll(SEEN[2], (3, -2), axis=(0, 1))), SEEN[2])


@pytest.mark.parametrize("height", [45, 80, 200, 350])
def test_a_canvas_of_any_resolution_gives_the_same_image(height: int) -> None:
    differences = [difference(normalise(drawn(index, height=height)), SEEN[index]) for index in range(10)]
    # Two different digits differ by 24 and more, mostly by 40; a shift by one pixel makes 5 to 20.
    assert max(differences) < 12
    assert sum(differences) / 10 < 5


def test_polarity_colour_and_alpha_make_no_difference() -> None:
    ink = drawn(4)
    expected = normalise(ink)
    nothing, full = np.zeros_like(ink), np.full_like(ink, 255)
    for image in (
        255 - ink,  # black on white
        ink[:, :, None],
        np.dstack([ink] * 3),
        np.dstack([nothing, nothing, nothing, ink]),  # black ink on nothing
        np.dstack([full, full, full, ink]),  # white ink on nothing
        np.dstack([ink, ink, ink, full]),
        np.dstack([full, 255 - ink, 255 - ink]),  # blue ink on white
    ):
        assert np.array_equal(normalise(image), expected)
    faint = (200 - 0.4 * ink).astype(np.uint8)
    assert difference(normalise(faint), expected) < 1


@pytest.mark.parametrize("shape", [(28, 28), (300, 200, 3), (50, 50, 4), (1, 1), (0, 0)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_sheet_is_all_zeros(shape: tuple[int, ...], level: int) -> None:
    assert not normalise(np.full(shape, level, np.uint8)).any()


@pytest.mark.parametrize("shape", [(2, 300), (300, 1), (5, 7, 3), (3, 3, 4), (2, 2)])
def test_noise_of_odd_shapes_does_no_harm(shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert normalise(noise).shape == (28, 28)


@pytest.mark.parametrize(("width", "bound"), [(0.7, 1.3), (6.0, 4.9)])
def test_a_pen_far_from_mnists_is_brought_to_its_range(width: float, bound: float) -> None:
    canvas = drawn(2, width=width)

    def measured(image: np.ndarray) -> float:
        return measure_stroke_width(cv2.resize(image, (112, 112), interpolation=cv2.INTER_LINEAR)) / 4

    assert measured(normalise(canvas)) == pytest.approx(bound, abs=0.45)
    left_alone = normalise(canvas, stroke_width=None)
    assert abs(measured(left_alone) - bound) > abs(measured(normalise(canvas)) - bound)
    assert max(np.ptp(np.flatnonzero(normalise(canvas).any(axis=axis))) for axis in (0, 1)) == 19


def test_stroke_width_is_measured_in_pixels() -> None:
    image = np.zeros((100, 100), np.uint8)
    image[10:90, 40:52] = 255
    assert measure_stroke_width(image) == pytest.approx(12, abs=1.5)
    assert measure_stroke_width(image[10:90, 40:52]) == measure_stroke_width(image)  # nothing but ink
    assert measure_stroke_width(np.zeros((5, 5), np.uint8)) == 0


def test_a_jpeg_of_an_mnist_image_is_nearly_that_image() -> None:
    for seen in SEEN:
        coded = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        assert difference(normalise(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)), seen) < 4


def test_drawn_strokes_need_no_search_for_paper() -> None:
    """The reader skips it: the picture is the one that `normalise` gives."""
    for digit, seen in zip(DIGITS, SEEN, strict=True):
        assert np.array_equal(normalise_ink(draw_digit(digit.strokes)), seen)
