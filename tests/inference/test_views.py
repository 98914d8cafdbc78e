import pytest
import torch
from torch import nn

from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.views import Views


class Corner(nn.Module):
    """Logits that hang on one pixel."""

    def forward(self, images):
        seen = images[:, 0, 4, 6]
        return torch.stack([seen, torch.zeros_like(seen)], dim=1)


def picture(row, column):
    images = torch.zeros(1, 1, 28, 28)
    images[:, :, row, column] = 1
    return images


def chance(seen):
    return torch.tensor([seen, 0.0]).softmax(0)


@pytest.mark.parametrize("place", [(4, 8), (4, 4), (6, 6), (2, 6)])
def test_a_shift_brings_what_lies_so_far_off_into_view_once(place):
    found = Views(Corner(), shift=2.0)(picture(*place)).softmax(1)[0]
    torch.testing.assert_close(found, (4 * chance(0.0) + chance(1.0)) / 5)


def test_the_image_itself_is_one_of_the_views():
    found = Views(Corner(), shift=2.0)(picture(4, 6)).softmax(1)[0]
    torch.testing.assert_close(found, (4 * chance(0.0) + chance(1.0)) / 5)


def test_rotations_go_either_way_about_the_middle():
    # A quarter turn carries pixel (4, 6) of 28x28 to (6, 23) one way and to (21, 4) the other.
    for place in ((6, 23), (21, 4)):
        found = Views(Corner(), degrees=90.0)(picture(*place)).softmax(1)[0]
        torch.testing.assert_close(found, (2 * chance(0.0) + chance(1.0)) / 3, atol=1e-4, rtol=0)


def test_without_views_the_network_reads_each_image_once(checkpoint_file):
    plain, viewed = (Predictor.load(checkpoint_file, "cpu", tta) for tta in (None, {"shift": 0.0, "degrees": 0.0}))
    images = torch.randint(256, (5, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain.logits(images), viewed.logits(images))


def test_a_predictor_averages_probabilities_over_its_views(checkpoint_file):
    predictor = Predictor.load(checkpoint_file, "cpu", {"shift": 1.0, "degrees": 0.0})
    images = torch.randint(256, (5, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, :2], images[:, -2:], images[:, :, :2], images[:, :, -2:] = 0, 0, 0, 0  # nothing leaves the image
    once = Predictor.load(checkpoint_file, "cpu")
    ways = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
    wanted = sum(once.logits(torch.roll(images, way, (1, 2))).softmax(1) for way in ways) / 5
    torch.testing.assert_close(predictor.logits(images).softmax(1), wanted, atol=1e-6, rtol=1e-4)
