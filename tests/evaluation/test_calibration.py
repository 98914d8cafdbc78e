import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from mnist_lightning.evaluation.calibration import BINS, calibration, fit_temperature, wilson


def modest(samples: int = 4000, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn from their own softmax: calibrated, until the logits are scaled."""
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(samples, 10, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    return scale * logits, labels


@pytest.mark.parametrize(("right", "total"), [(9964, 10000), (0, 10), (10, 10), (7, 13)])
def test_interval_is_wilsons(right, total):
    z, share = NormalDist().inv_cdf(0.975), right / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    assert wilson(right, total) == pytest.approx((middle - half, middle + half), abs=1e-9)


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_temperature_undoes_a_scaling_of_calibrated_logits(scale):
    logits, labels = modest(scale=scale)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(scale, rel=0.05)

    def loss(each: float) -> float:
        return torch.nn.functional.cross_entropy(logits / each, labels).item()

    assert loss(temperature) <= min(loss(temperature * 1.01), loss(temperature / 1.01), loss(1.0))


def test_hand_computed_measures():
    # Probabilities 0.75 and 0.25; right, right, wrong.
    logits = torch.tensor([[math.log(0.75), math.log(0.25)]] * 3)
    found = calibration(logits, torch.tensor([0, 0, 1]))
    assert found["nll"] == pytest.approx(-(2 * math.log(0.75) + math.log(0.25)) / 3, abs=1e-6)
    assert found["brier"] == pytest.approx((2 * 2 * 0.25**2 + 2 * 0.75**2) / 3, abs=1e-6)
    assert found["ece"] == pytest.approx(0.75 - 2 / 3, abs=1e-6)
    assert found["confidence"] == pytest.approx(0.75, abs=1e-6)
    (only,) = found["bins"]
    assert (only["low"], only["high"]) == pytest.approx((11 / BINS, 12 / BINS))
    assert (only["count"], only["accuracy"]) == (3, 2 / 3)
    assert (only["accuracy_low"], only["accuracy_high"]) == wilson(2, 3)


def test_calibration_error_is_that_of_the_bins():
    logits, labels = modest(scale=3.0)
    found = calibration(logits, labels)
    bins = found["bins"]
    assert sum(each["count"] for each in bins) == len(labels)
    by_hand = sum(each["count"] * abs(each["accuracy"] - each["confidence"]) for each in bins) / len(labels)
    assert found["ece"] == pytest.approx(by_hand, abs=1e-6)
    assert found["ece"] > 0.1
    assert calibration(logits / 3, labels)["ece"] < 0.03


def test_measures_of_a_perfect_network_are_zero_and_finite():
    labels = torch.arange(10)
    found = calibration(1e4 * torch.eye(10), labels)
    assert (found["nll"], found["brier"], found["ece"], found["confidence"]) == (0, 0, 0, 1)
    assert found["bins"][-1]["accuracy"] == 1
    assert np.isfinite(fit_temperature(1e4 * torch.eye(10), labels))
