import pytest
import torch

from mnist_lightning.evaluation.selective import area_under_risk, curve, thresholds

# Two classes, predicted 0 with falling confidence; the third and the last are wrong.
LOGITS = torch.tensor([[4.0, 0], [3.0, 0], [2.0, 0], [1.0, 0], [0.5, 0]])
LABELS = torch.tensor([0, 0, 1, 0, 1])


def test_curve_declines_the_least_confident_first():
    declined, accuracy = curve(LOGITS.flip(0), LABELS.flip(0))  # whatever order they come in
    assert declined.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert accuracy.tolist() == pytest.approx([3 / 5, 3 / 4, 2 / 3, 1, 1])


def test_area_is_the_mean_risk_over_all_coverages():
    assert area_under_risk(LOGITS, LABELS) == pytest.approx((2 / 5 + 1 / 4 + 1 / 3 + 0 + 0) / 5)
    assert area_under_risk(LOGITS, torch.zeros(5)) == 0


def test_thresholds_come_from_the_validation_images_alone():
    val = torch.tensor([[each, 0.0] for each in (3.0, 2.5, 1.5, 1.2)])
    nothing, half = thresholds(val, LOGITS, LABELS, [0.0, 0.5])
    assert nothing == {"asked": 0.0, "threshold": 0.0, "declined": 0.0, "accuracy": 0.6, "mistakes": 2}
    expected = val.double().softmax(1).amax(1).median().item(), val.double().softmax(1).amax(1)[1].item()
    assert half["threshold"] == pytest.approx(sum(expected) / 2)  # between the two in the middle
    assert (half["declined"], half["accuracy"], half["mistakes"]) == (pytest.approx(0.4), 2 / 3, 1)


def test_a_threshold_that_nothing_passes_has_no_accuracy():
    sure = torch.tensor([[50.0, 0.0]])
    (found,) = thresholds(sure, LOGITS, LABELS, [0.5])
    assert (found["declined"], found["accuracy"], found["mistakes"]) == (1.0, None, 0)
