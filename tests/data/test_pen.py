import numpy as np
import pytest

from mnist_lightning.data.pen import pen_digits, variations
from mnist_lightning.data.pen_paths import DIGITS
from mnist_lightning.ink.normalise import normalise_ink
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


@pytest.mark.parametrize(
    ("label", "way"),
    [
        (0, "; 112,-12 -12,112"),  # slashed beyond the rim
        (0, "; 50,0 80,16"),  # of two strokes
        (1, "0,86 56,0| 58,100"),  # a flag as long as the stem
        (3, "72,20 66,40 88,50 66,60"),  # like a bracket
        (4, "66,0 20,34 12,50"),  # one S-like stroke
        (6, "62,0 34,36 18,74 28,98 46,98 48,84"),  # a tiny loop
        (7, "14,24 4,12 16,0"),  # a curled bar
        (9, "34,40 18,22 44,2 78,12"),  # a loop that is open
    ],
)
def test_the_ways_of_writing_that_were_misread_are_known(label, way):
    assert any(way in path for _, path in DIGITS[label])


def test_the_first_variation_is_the_digit_itself_and_the_others_resemble_it():
    images = variations(SEVEN, 12, seed=5)
    assert np.array_equal(images[0], normalise_ink(draw_digit(SEVEN)))
    assert len({image.tobytes() for image in images}) == 12
    flat = images.reshape(12, -1).astype(float)
    assert np.corrcoef(flat)[0, 1:].min() > 0.3
