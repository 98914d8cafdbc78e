import json
import math
import warnings

import pytest
import torch
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_precision, multiclass_recall

from mnist_lightning.evaluation.scores import score, worst


def logits_for(predictions: list[int], num_classes: int, height: float = 5.0) -> torch.Tensor:
    return height * torch.nn.functional.one_hot(torch.tensor(predictions), num_classes).float()


def noisy_logits(samples: int = 500, num_classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(num_classes, (samples,), generator=generator)
    noise = torch.randn(samples, num_classes, generator=generator)
    return noise + 2 * torch.nn.functional.one_hot(labels, num_classes), labels


def test_hand_computed_case():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    result = score(logits_for([0, 0, 1, 1, 2, 2], 3, height=math.log(8)), labels, 3)
    assert result["confusion_matrix"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert result["accuracy"] == 4 / 6
    assert result["per_class"]["precision"] == [1.0, 0.5, 0.5]
    assert result["per_class"]["recall"] == [2 / 3, 0.5, 1.0]
    assert result["per_class"]["f1"] == pytest.approx([0.8, 0.5, 2 / 3], abs=1e-15)
    assert result["per_class"]["support"] == [3, 2, 1]
    # The predicted class has probability 8/10, the two others 1/10 each: 4 samples right, 2 wrong.
    assert result["loss"] == pytest.approx(-(4 * math.log(0.8) + 2 * math.log(0.1)) / 6, abs=1e-6)


def test_agrees_with_scikit_learn():
    logits, labels = noisy_logits()
    predictions = logits.argmax(dim=1).numpy()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels.numpy(), predictions)
    result = score(logits, labels, 10)
    assert 0.3 < result["accuracy"] < 0.95  # a case with both right and wrong answers
    assert result["accuracy"] == metrics.accuracy_score(labels.numpy(), predictions)
    assert result["loss"] == pytest.approx(metrics.log_loss(labels.numpy(), logits.double().softmax(1).numpy()))
    assert result["confusion_matrix"] == metrics.confusion_matrix(labels.numpy(), predictions).tolist()
    assert result["per_class"]["precision"] == pytest.approx(precision.tolist(), abs=1e-12)
    assert result["per_class"]["recall"] == pytest.approx(recall.tolist(), abs=1e-12)
    assert result["per_class"]["f1"] == pytest.approx(f1.tolist(), abs=1e-12)
    assert result["per_class"]["support"] == support.tolist()


def test_agrees_with_torchmetrics_per_class():
    logits, labels = noisy_logits()
    per_class = score(logits, labels, 10)["per_class"]
    for name, metric in [
        ("precision", multiclass_precision),
        ("recall", multiclass_recall),
        ("f1", multiclass_f1_score),
    ]:
        assert per_class[name] == pytest.approx(metric(logits, labels, 10, average="none").tolist(), abs=1e-6)


def test_absent_class_scores_zero_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = score(logits_for([0, 1, 1], 4), torch.tensor([0, 1, 3]), 4)
    # Class 2 is neither true nor predicted, class 3 is true but never predicted.
    assert result["per_class"]["precision"] == [1.0, 0.5, 0.0, 0.0]
    assert result["per_class"]["recall"] == [1.0, 1.0, 0.0, 0.0]
    assert result["per_class"]["f1"] == pytest.approx([1.0, 2 / 3, 0.0, 0.0], abs=1e-15)
    assert result["per_class"]["support"] == [1, 1, 0, 1]


def test_numbers_are_plain_and_exact():
    predictions = [1] * 41 + [0] * 9959
    result = score(logits_for(predictions, 10), torch.zeros(10_000, dtype=torch.uint8), 10)
    assert result["accuracy"] == 0.9959  # not 0.9958999752998352
    assert json.loads(json.dumps(result)) == result
    assert type(result["loss"]) is float
    assert type(result["confusion_matrix"][0][1]) is int


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="no samples"):
        score(torch.zeros(0, 10), torch.zeros(0, dtype=torch.long), 10)


@pytest.mark.parametrize(("labels", "num_classes"), [([0, 3], 3), ([0, -1], 3), ([0, 1], 4), ([0, 1, 2], 3)])
def test_labels_and_classes_that_do_not_fit_are_errors(labels, num_classes):
    with pytest.raises(ValueError, match="expected"):
        score(torch.zeros(2, 3), torch.tensor(labels), num_classes)


def test_worst_puts_the_most_confident_mistake_first():
    logits = torch.tensor([[9.0, 0.0], [0.0, 2.0], [0.0, 5.0], [1.0, 0.0], [0.0, 3.0]])
    labels = torch.tensor([0, 0, 0, 1, 0])  # all wrong but the first
    assert worst(logits, labels, 10).tolist() == [2, 4, 1, 3]
    assert worst(logits, labels, 2).tolist() == [2, 4]
    assert worst(logits, labels, 0).tolist() == []


def test_worst_tells_apart_confidences_that_round_to_one():
    logits = torch.tensor([[20.0, 0.0], [30.0, 0.0], [25.0, 0.0]])
    assert logits.softmax(dim=1)[:, 0].tolist() == [1.0, 1.0, 1.0]
    assert worst(logits, torch.tensor([1, 1, 1]), 3).tolist() == [1, 2, 0]


def test_worst_keeps_the_order_of_equals_and_knows_no_mistake():
    logits = torch.tensor([[1.0, 0.0]] * 50)
    assert worst(logits, torch.ones(50, dtype=torch.long), 50).tolist() == list(range(50))
    assert worst(logits, torch.zeros(50, dtype=torch.long), 5).tolist() == []
