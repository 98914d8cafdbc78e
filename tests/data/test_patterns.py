import numpy as np
import pytest

from mnist_lightning.data.patterns import _KINDS, outlier_noise


def test_each_spans_black_to_white_and_no_two_are_alike():
    images = outlier_noise(50, seed=3)
    assert images.shape == (50, 28, 28)
    assert images.dtype == np.uint8
    assert (images.min((1, 2)) == 0).all()
    assert (images.max((1, 2)) == 255).all()
    assert len({image.tobytes() for image in images}) == 50


def test_a_seed_repeats_them_whatever_their_count():
    assert np.array_equal(outlier_noise(10, seed=3), outlier_noise(20, seed=3)[:10])
    assert not np.array_equal(outlier_noise(10, seed=4), outlier_noise(10, seed=3))


def test_none_gives_an_empty_array():
    assert outlier_noise(0).shape == (0, 28, 28)


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_fills_the_image(kind):
    fields = [kind(np.random.default_rng(seed)) for seed in range(150)]
    assert all(field.shape == (28, 28) and np.isfinite(field).all() for field in fields)
    bare = np.ptp(fields, axis=0) == 0  # pixels that are the same in all of them
    assert not bare.any()
