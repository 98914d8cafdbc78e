"""Which pixels decided, held against networks where the answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.saliency import saliency
from mnist_lightning.inference.torch_predictor import TorchPredictor
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import read_digits
from mnist_lightning.models.network import to_input
from mnist_lightning.run import folder as runs


def linear(weights):
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, len(weights)))
    with torch.no_grad():
        network[1].weight.copy_(torch.as_tensor(weights).reshape(len(weights), 784))
        network[1].bias.copy_(torch.arange(len(weights)) * 0.1)
    return TorchPredictor(network, {"class_names": [str(index) for index in range(len(weights))]}, torch.device("cpu"))


def test_of_a_linear_network_it_is_weight_times_pixel():
    weights = np.random.default_rng(0).normal(size=(3, 28, 28)).astype(np.float32)
    weights[1] += 1  # the winner
    image = np.random.default_rng(1).integers(0, 256, (28, 28)).astype(np.uint8)
    np.testing.assert_allclose(saliency(linear(weights), image), weights[1] * image / 255, atol=1e-5)


def test_only_the_pixels_that_the_network_looks_at_decide():
    weights = np.zeros((2, 28, 28), np.float32)
    weights[1, 10, 10:14], weights[1, 20, 5] = 2, -1
    image = np.zeros((28, 28), np.uint8)
    image[10, 12], image[20, 5], image[3, 3] = 255, 51, 255
    found = saliency(linear(weights), image)
    assert {(int(y), int(x)): float(found[y, x]) for y, x in np.argwhere(found)} == {
        (10, 12): pytest.approx(2),
        (20, 5): pytest.approx(-0.2),
    }


def test_of_the_shipped_network_it_adds_up_to_what_the_ink_does():
    predictor = Predictor.load(runs.PRETRAINED, "cpu")
    digits = Path(__file__).parent.parent / "ink/pen_digits.jsonl"
    for digit in list(read_digits(digits))[:3]:
        image = normalise(draw_digit(digit.strokes))
        found = saliency(predictor, image)
        with torch.no_grad():
            logits = predictor.network(to_input(torch.as_tensor(np.stack([image, np.zeros_like(image)]))))
        winner = int(logits[0].argmax())
        gain = float(logits[0, winner] - logits[1, winner])
        assert found.sum() == pytest.approx(gain, rel=0.1)  # the integral is a sum over steps
        assert (found[image == 0] == 0).all()
        assert found.dtype == np.float32
    assert all(weight.grad is None for weight in predictor.network.parameters())
