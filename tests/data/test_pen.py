import numpy as np
import pytest

from mnist_lightning.data.pen import pen_digits, variations
from mnist_lightning.data.pen_paths import DIGITS
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Stroke

SEVEN = [Stroke([(10, 10), (60, 12), (35, 90)]), Stroke([(22, 50), (55, 50)])]


@pytest.fixture(scope="module")
def digits():
    return pen_digits(400, seed=3)


def test_every_class_comes_equally_often(digits):
    images, labels = digits
    assert images.shape == (400, 28, 28)
    assert images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [40] * 10


def test_pen_digits_lie_as_mnists_do(digits):
    for image in digits[0]:
        ys, xs = np.nonzero(image)
        assert max(np.ptp(ys), np.ptp(xs)) + 1 in range(17, 22)  # a faint rim row may fall away
        mass = image.astype(float)
        # Whole-pixel shifts put the centre of mass within half a pixel of (14, 14), unless ink would leave the field.
        assert abs((mass.sum(1) @ np.arange(28)) / mass.sum() - 14) < 1.6
    assert 40 < digits[0][digits[0] > 0].mean() < 255


def test_no_two_pen_digits_are_alike_and_a_seed_repeats_them(digits):
    assert len({image.tobytes() for image in digits[0]}) == 400
    again, _ = pen_digits(30, seed=3)
    assert np.array_equal(again, digits[0][:30])
    assert not np.array_equal(pen_digits(30, seed=4)[0], again)


def test_all_ten_classes_know_several_ways():
    assert sorted(DIGITS) == list(range(10))
    assert min(len(ways) for ways in DIGITS.values()) >= 6


def test_what_is_no_digit_differs_and_repeats():
    others = no_digits(100, seed=1)
    assert others.shape == (100, 28, 28)
    assert np.array_equal(others[:10], no_digits(10, seed=1))
    assert len({image.tobytes() for image in others}) > 90


def test_the_first_variation_is_the_digit_itself_and_the_others_resemble_it():
    images = variations(SEVEN, 12, seed=5)
    assert np.array_equal(images[0], normalise(draw_digit(SEVEN)))
    assert len({image.tobytes() for image in images}) == 12
    flat = images.reshape(12, -1).astype(float)
    assert np.corrcoef(flat)[0, 1:].min() > 0.3
