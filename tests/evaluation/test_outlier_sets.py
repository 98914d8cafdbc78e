import numpy as np
import pytest

from mnist_lightning.evaluation import outlier_sets
from mnist_lightning.evaluation.outlier_sets import LETTERS, SETS, make


@pytest.mark.parametrize("name", SETS)
def test_images_differ_hang_on_seed_and_place_and_are_not_empty(name):
    images = make(name, 60)
    assert (images.dtype, images.shape) == (np.uint8, (60, 28, 28))
    assert np.array_equal(make(name, 5), images[:5])
    assert not np.array_equal(make(name, 5, seed=1), images[:5])
    assert len({image.tobytes() for image in images}) > 55
    assert images.max(axis=(1, 2)).min() > 20


@pytest.mark.parametrize("name", ["letters", "scribbles"])
def test_what_a_person_could_draw_has_the_form_of_mnist(name):
    for image in make(name, 20):
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20  # the box of MNIST
        middle = [(image.astype(float) * place).sum() / image.sum() for place in np.mgrid[:28, :28]]
        assert middle == pytest.approx([14, 14], abs=0.6)


def test_letters_that_are_digits_too_are_left_out():
    assert not set(LETTERS) & set("OoDQIijlBbZzSsGgq0123456789")
    assert len(set(LETTERS)) == len(LETTERS) == 35


def test_every_letter_is_drawn_in_every_font(monkeypatch):
    """A font without the letter would draw an empty box, or nothing."""
    seen = {}
    for font in range(len(outlier_sets._TRUETYPE) + len(outlier_sets._HERSHEY)):
        for place in range(len(LETTERS)):

            class Fixed:
                draws = iter([place, font, 4])

                def integers(self, *_):
                    return next(self.draws)

                def uniform(self, low, high, size=None):
                    return np.full(size, (low + high) / 2) if size else (low + high) / 2

            seen[font, LETTERS[place]] = outlier_sets.letter(Fixed())
    for font in {font for font, _ in seen}:
        images = [image for (each, _), image in seen.items() if each == font]
        assert min(image.astype(int).sum() for image in images) > 2000
        alike = len(images) - len({image.tobytes() for image in images})
        assert alike == 0  # c and C, x and X come out differently by their own proportions


def test_shapes_come_filled_and_as_outlines():
    filled = [image[14, 14] > 128 for image in make("shapes", 200)]
    assert 0.1 < 1 - np.mean(filled) < 0.6
