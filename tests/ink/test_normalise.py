from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_lightning.ink.normalise import bounding_box, normalise, normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import read_digits
from mnist_lightning.ink.width import even_ink, measure_stroke_width

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
    assert sum(differences) / 10 < 8


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


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_digit_that_is_cut_out_of_a_sheet_is_read(level: int) -> None:
    sheet = np.full((*SEEN[4].shape, 3), level, np.uint8)
    stencil = np.dstack([sheet, 255 - SEEN[4]])
    framed = cv2.copyMakeBorder(stencil, 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    assert difference(normalise(stencil), SEEN[4]) < 1
    assert difference(normalise(framed), SEEN[4]) < 1


def test_holes_in_a_sheet_that_is_written_on_are_paper() -> None:
    ink = drawn(4)
    sheet = np.dstack([255 - ink] * 3 + [np.full_like(ink, 255)])
    sheet[350:380, 100:140, 3] = 0
    assert np.array_equal(normalise(sheet), normalise(ink))


@pytest.mark.parametrize("shape", [(28, 28), (300, 200, 3), (50, 50, 4), (1, 1), (0, 0)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_sheet_is_all_zeros(shape: tuple[int, ...], level: int) -> None:
    assert not normalise(np.full(shape, level, np.uint8)).any()


@pytest.mark.parametrize("shape", [(2, 300), (300, 1), (5, 7, 3), (3, 3, 4), (2, 2)])
def test_noise_of_odd_shapes_does_no_harm(shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert normalise(noise).shape == (28, 28)


@pytest.mark.parametrize(("width", "bound"), [(0.7, 2.0), (6.0, 3.5)])
def test_a_pen_far_from_mnists_is_brought_to_its_middle(width: float, bound: float) -> None:
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


@pytest.mark.parametrize(("size", "pen"), [(1600, 2), (2000, 1), (200, 32), (3000, 32)])
def test_a_pen_of_any_width_at_any_size_keeps_every_stroke(size: int, pen: int) -> None:
    for digit, seen in zip(DIGITS, SEEN, strict=True):
        points = np.concatenate([stroke.path() for stroke in digit.strokes])
        scale = (0.7 * size - pen) / np.ptp(points, axis=0).max()
        picture = np.full((size, size), 255, np.uint8)
        for stroke in digit.strokes:
            path = (stroke.path() - points.min(axis=0)) * scale + 0.15 * size
            cv2.polylines(picture, [np.round(path[:, None] * 16).astype(np.int32)], False, 0, pen, cv2.LINE_AA, 4)
        image = normalise(picture)
        ours, theirs = cv2.dilate(image, np.ones((5, 5))) > 100, cv2.dilate(seen, np.ones((5, 5))) > 100
        assert (seen[~ours] > 128).mean() == 0 or (seen[~ours] > 128).sum() < 8  # no part of the digit is lost
        assert (image[~theirs] > 128).sum() < 8


def test_pale_ink_stays_beside_dark_ink() -> None:
    """A ring that is drawn dark on one side and at a third of it on the other stays a ring."""
    picture = np.full((32, 32), 255, np.uint8)
    cv2.circle(picture, (16, 16), 9, 0, 1, cv2.LINE_AA)
    picture[:, :16] = 255 - (255 - picture[:, :16]) // 3
    ring = cv2.threshold(normalise(picture), 100, 255, cv2.THRESH_BINARY)[1]
    holes, _ = cv2.findContours(ring, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    assert len(holes) == 2  # an outer edge and an inner one
    assert (even_ink(255 - picture, 1)[8:24, 5:28].max(axis=1) > 200).all()


def test_thinning_a_blot_keeps_its_thin_stem() -> None:
    picture = np.zeros((60, 60), np.uint8)
    cv2.circle(picture, (30, 42), 14, 255, -1)
    picture[5:40, 28:32] = 255
    image = normalise(picture)
    rows = np.flatnonzero(image.max(axis=1) > 100)
    assert len(rows) >= 16
