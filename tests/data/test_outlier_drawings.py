import numpy as np
import pytest

from mnist_lightning.data.outliers import _KINDS, _PRINTED, outlier_drawings
from mnist_lightning.evaluation import outlier_sets


def test_drawings_differ_and_a_seed_repeats_them_whatever_their_count():
    drawings = outlier_drawings(100, seed=1)
    assert drawings.shape == (100, 28, 28)
    assert drawings.dtype == np.uint8
    assert np.array_equal(drawings[:10], outlier_drawings(10, seed=1))
    assert len({image.tobytes() for image in drawings}) > 90
    assert not np.array_equal(outlier_drawings(10, seed=2), drawings[:10])


def test_none_gives_an_empty_array():
    assert outlier_drawings(0).shape == (0, 28, 28)


@pytest.mark.parametrize("kind", [kind for _, kind in _KINDS if kind.__name__ != "_empty"], ids=lambda k: k.__name__)
def test_every_kind_has_ink(kind):
    for seed in range(20):
        drawn = kind(np.random.default_rng(seed))
        if isinstance(drawn, np.ndarray):
            assert drawn.any()
        else:
            points = np.concatenate([stroke.path() for stroke in drawn])
            assert np.isfinite(points).all()
            assert len(points) > 0


def test_nothing_that_passes_for_a_digit_is_printed():
    assert not set(_PRINTED) & set("0123456789OoQDIilSsZzBbgqG|")


def test_the_test_sets_are_made_with_other_fonts():
    assert not any("default" in name.lower() or "aileron" in name.lower() for name in outlier_sets._TRUETYPE)
