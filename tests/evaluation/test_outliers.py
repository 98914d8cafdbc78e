import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from mnist_lightning.evaluation.outliers import detection, energy, max_softmax


def test_scores_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    assert max_softmax(logits).tolist() == pytest.approx([0.75, 0.5], abs=1e-6)
    assert energy(logits).tolist() == pytest.approx([math.log(4), math.log(2)], abs=1e-6)


def test_detection_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(3, 1, 700), rng.normal(1.5, 1.5, 400)
    found = detection(*map(torch.tensor, (known, unknown, known)))
    truth, scores = np.repeat([1, 0], [700, 400]), np.concatenate([known, unknown])
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found["fpr95"] == pytest.approx(false[true >= 0.95][0], abs=1e-6)


def test_scores_that_differ_in_the_last_digits_are_told_apart():
    """As those of a sure network are: 1 - 1e-12 and 1 - 1e-13 are one number in single precision."""
    known, unknown = 1 - torch.full((20,), 1e-13).double(), 1 - torch.full((20,), 1e-12).double()
    assert detection(known, unknown, known)["auroc"] == 1
    assert detection(unknown, known, known)["auroc"] == 0
    assert detection(known, known, known)["auroc"] == 0.5


def test_the_threshold_comes_from_validation_scores_alone():
    val = torch.arange(101).double()
    found = detection(torch.tensor([0.0, 4.9, 5.1, 90.0]).double(), torch.tensor([1.0, 2.0, 50.0]).double(), val)
    assert found["threshold"] == pytest.approx(5)
    assert (found["known_accepted"], found["unknown_accepted"]) == (0.5, pytest.approx(1 / 3))
