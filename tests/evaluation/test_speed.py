import time

import numpy as np
import pytest
import torch
from torch import nn

from mnist_lightning.evaluation import speed
from mnist_lightning.evaluation.speed import measure_size, measure_speed
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.models import build as networks
from mnist_lightning.run import folder as runs


def test_multiply_adds_are_counted_by_hand():
    network = networks.build({"name": "mlp", "hidden_sizes": [16]}, num_classes=10)
    size = measure_size(network.eval(), runs.PRETRAINED, 28)
    assert size["macs"] == 784 * 16 + 16 * 10
    assert size["parameters"] == 784 * 16 + 2 * 16 + 16 * 10 + 10
    assert size["file_bytes"] == runs.PRETRAINED.stat().st_size


def test_multiply_adds_of_a_convolution():
    network = nn.Conv2d(1, 4, 5, bias=False)
    assert measure_size(network, runs.PRETRAINED, 28)["macs"] == 4 * 25 * 24 * 24


class Slow:
    """Takes two milliseconds a call, and every tenth call twenty, by a clock of its own."""

    def __init__(self):
        self.calls, self.now = 0, 100.0

    def logits(self, images, batch_size):
        assert images.shape == (batch_size, 28, 28)
        self.calls += 1
        self.now += 0.02 if self.calls % 10 == 0 else 0.002
        return torch.zeros(len(images), 10)


def test_speed_is_that_of_the_median_and_p99_that_of_the_slow_calls(monkeypatch):
    slow = Slow()
    monkeypatch.setattr(speed.time, "perf_counter", lambda: slow.now)
    found = measure_speed(slow, torch.zeros(7, 28, 28, dtype=torch.uint8), seconds=0.38)
    assert [each["batch"] for each in found] == [1, 64, 1000]
    for each in found:
        assert 95 <= each["repeats"] <= 105  # 3.8 milliseconds on average
        assert each["latency_median_ms"] == pytest.approx(2)
        assert each["latency_p99_ms"] == pytest.approx(20)
        assert each["images_per_second"] == pytest.approx(500 * each["batch"])


def test_a_slow_network_is_timed_ten_times_all_the_same(monkeypatch):
    slow = Slow()
    monkeypatch.setattr(speed.time, "perf_counter", lambda: slow.now)
    found = measure_speed(slow, torch.zeros(7, 28, 28, dtype=torch.uint8), seconds=0.0)
    assert [each["repeats"] for each in found] == [10, 10, 10]


def test_a_real_predictor_is_timed_for_as_long_as_asked(checkpoint_file):
    predictor = Predictor.load(checkpoint_file, "cpu")
    began = time.perf_counter()
    found = measure_speed(predictor, torch.from_numpy(np.zeros((3, 28, 28), np.uint8)), seconds=0.05)
    assert time.perf_counter() - began >= 3 * 0.05
    assert found[0]["repeats"] > 10
