import numpy as np
import pytest

from mnist_lightning.data.embellish import embellished
from mnist_lightning.data.pen import pen_digits


@pytest.fixture(scope="module")
def digits():
    return pen_digits(200, seed=9)


def test_only_zeros_ones_and_sevens_are_drawn_on(digits):
    images, labels = embellished(*digits, 120)
    assert images.shape == (120, 28, 28)
    assert images.dtype == np.uint8
    assert set(labels.tolist()) == {0, 1, 7}
    assert labels.dtype == np.int64


def test_a_line_is_added(digits):
    images, labels = embellished(*digits, 60)
    originals, classes = digits
    known = {image.tobytes() for image in originals}
    assert not any(image.tobytes() in known for image in images)
    zeros = images[labels == 0].astype(float)
    # A slash crosses the middle, which most zeros leave empty.
    plain = originals[classes == 0].astype(float)
    assert zeros[:, 12:16, 12:16].mean() > 2 * plain[:, 12:16, 12:16].mean() or zeros.mean() > 1.1 * plain.mean()


def test_a_seed_repeats_them_whatever_their_count(digits):
    assert np.array_equal(embellished(*digits, 10, seed=3)[0], embellished(*digits, 20, seed=3)[0][:10])
    assert not np.array_equal(embellished(*digits, 10, seed=4)[0], embellished(*digits, 10, seed=3)[0])


def test_a_set_without_these_classes_gives_none(digits):
    images, labels = digits
    twos = labels == 2
    made, classes = embellished(images[twos], labels[twos], 5)
    assert made.shape == (0, 28, 28)
    assert len(classes) == 0


def test_an_empty_image_is_left_as_it_is():
    made, _ = embellished(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64), 3)
    assert not made.any()
