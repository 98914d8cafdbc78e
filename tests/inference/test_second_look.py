"""A second look at what the network is not certain of."""

import numpy as np
import pytest
import torch

from mnist_lightning.inference import second_look
from mnist_lightning.inference.views import Views
from mnist_lightning.models.network import to_input

CERTAIN = 0.9


class Answers:
    """A network that answers in the order that it was given, and keeps the images it was asked about."""

    def __init__(self, *batches, tta=None):
        self.batches, self.asked, self.tta = list(batches), [], tta or {}

    def probabilities(self, images):
        self.asked.append(images)
        return np.array(self.batches.pop(0), np.float32)


def some_images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def test_doubtful_images_are_read_three_times_and_the_mean_log_probability_counts():
    network = Answers([[0.95, 0.05], [0.6, 0.4]], [[0.1, 0.9], [0.2, 0.8]])
    images = some_images(2)
    found = second_look.probabilities(network, images, CERTAIN)
    first, second = (0.6 * 0.1 * 0.2) ** (1 / 3), (0.4 * 0.9 * 0.8) ** (1 / 3)
    assert found[0].tolist() == pytest.approx([0.95, 0.05])
    assert found[1].tolist() == pytest.approx([first / (first + second), second / (first + second)])
    again = network.asked[1]
    assert (again[0] == second_look.turned(images[1:], 8.0)[0]).all()
    assert (again[1] == second_look.turned(images[1:], -8.0)[0]).all()


def test_a_probability_of_zero_in_one_look_does_not_end_in_nan():
    network = Answers([[0.6, 0.4, 0.0]], [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    found = second_look.probabilities(network, some_images(1), CERTAIN)
    assert found.sum() == pytest.approx(1)
    assert found[0].argmax() == 0


@pytest.mark.parametrize("network", [
    Answers([[0.95, 0.05], [0.1, 0.9]]), Answers([[0.19, 0.01], [0.1, 0.1]]),
    Answers([[0.5, 0.5], [0.6, 0.4]], tta={"shift": 1.0}),
])  # fmt: skip
def test_what_is_certain_or_hopeless_or_has_been_seen_from_several_sides_is_read_once(network):
    wanted = np.array(network.batches[0], np.float32)
    assert (second_look.probabilities(network, some_images(2), CERTAIN) == wanted).all()
    assert len(network.asked) == 1


def test_no_images_are_no_answers():
    assert second_look.probabilities(Answers(np.empty((0, 2))), some_images(0), CERTAIN).shape == (0, 2)


def test_an_image_turned_by_a_right_angle_is_exact_and_by_nothing_the_same():
    images = some_images(3)
    assert (second_look.turned(images, 90.0) == np.rot90(images, -1, (1, 2))).all()
    assert (second_look.turned(images, 0.0) == images).all()
    assert second_look.turned(images, 8.0).dtype == np.uint8


def test_an_image_is_turned_as_test_time_augmentation_turns_it():
    images = some_images(3)
    seen = []

    class Eyes(torch.nn.Module):
        def forward(self, pixels):
            seen.append((255 * pixels[:, 0]).numpy())
            return torch.zeros(len(pixels), 2)

    Views(Eyes(), degrees=8.0)(to_input(torch.as_tensor(images)))
    assert len(seen) == 3
    for found in (second_look.turned(images, turn) for turn in (8.0, -8.0)):
        assert min(np.abs(found - view).max() for view in seen[1:]) <= 0.51  # but for rounding
