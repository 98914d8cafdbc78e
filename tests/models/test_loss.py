import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mnist_lightning.models import Distillation, Loss
from mnist_lightning.models.loss import classes


def batch(count=8):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(count, 10, generator=generator)
    return logits.log_softmax(1), torch.randint(10, (count,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_spreads_the_training_target(smoothing):
    log_probs, labels = batch()
    loss, plain, count = Loss(smoothing)(log_probs, labels)
    # The target is (1 - s) on the label plus s / C on every class (Szegedy et al. 2016).
    target = (1 - smoothing) * F.one_hot(labels, 10) + smoothing / 10
    torch.testing.assert_close(loss, -(target * log_probs).sum(1).mean())
    torch.testing.assert_close(plain, F.nll_loss(log_probs, labels))
    assert count == 8


def test_an_outlier_has_its_target_spread_evenly_and_is_not_in_the_record():
    log_probs, labels = batch()
    labels[5:] = -1
    target = 0.9 * F.one_hot(labels.clamp(min=0), 10) + 0.01
    target[5:] = 0.1
    loss, plain, count = Loss(0.1, outliers=True)(log_probs, labels)
    torch.testing.assert_close(loss, -(target * log_probs).sum(1).mean())
    torch.testing.assert_close(plain, F.nll_loss(log_probs[:5], labels[:5]))
    assert int(count) == 5


def test_soft_labels_are_the_target():
    log_probs, labels = batch()
    soft = F.one_hot(labels, 10).float()
    soft[2] = torch.tensor([0.6, 0.4] + [0.0] * 8)
    loss, plain, count = Loss(0.1)(log_probs, soft)
    torch.testing.assert_close(loss, -((0.9 * soft + 0.01) * log_probs).sum(1).mean())
    torch.testing.assert_close(plain, -(soft * log_probs).sum(1).mean())
    assert int(count) == 8


def test_soft_labels_that_are_sure_are_the_labels():
    log_probs, labels = batch()
    labels[5:] = -1
    soft = F.one_hot(labels.clamp(min=0), 10).float()
    soft[5:] = 0
    assert classes(soft).tolist() == labels.tolist()
    for one, other in zip(Loss(0.1)(log_probs, soft), Loss(0.1, outliers=True)(log_probs, labels), strict=True):
        torch.testing.assert_close(one, other)


def test_a_batch_of_nothing_but_outliers_has_a_finite_loss_and_counts_no_image():
    log_probs, _ = batch()
    loss, plain, count = Loss(0.1, outliers=True)(log_probs, torch.full((8,), -1))
    assert loss.isfinite()
    assert (float(plain), int(count)) == (0, 0)


def test_without_outliers_in_it_a_batch_has_the_same_loss_either_way():
    log_probs, labels = batch()
    for ours, theirs in zip(Loss(0.1)(log_probs, labels), Loss(0.1, outliers=True)(log_probs, labels), strict=True):
        torch.testing.assert_close(torch.as_tensor(ours), torch.as_tensor(theirs))


@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 1.0), (0.3, 4.0)])
def test_a_teacher_draws_the_answers_to_its_own(weight, temperature):
    torch.manual_seed(1)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
    images, logits, loss = torch.rand(8, 1, 28, 28), torch.randn(8, 10), torch.tensor(1.25)
    # Cross-entropy with the teacher's softened answers, less their own entropy, times T squared (Hinton et al. 2015).
    wanted = (teacher(images) / temperature).softmax(1)
    own = (logits / temperature).log_softmax(1)
    distance = (wanted * (wanted.log() - own)).sum(1).mean() * temperature**2
    found = Distillation(teacher, weight, temperature)(loss, logits, images)
    torch.testing.assert_close(found, weight * distance + (1 - weight) * loss)
