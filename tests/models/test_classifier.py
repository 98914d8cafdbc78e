import math
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.models.checkpoint import CARD
from mnist_lightning.models.classifier import Classifier

SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))


def batch(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 28, 28, generator=generator), torch.randint(10, (count,), generator=generator)


def closed_epoch(classifier, train=(), val=()):
    """What an epoch over these batches logs."""
    logged = {}
    classifier.log_dict = logged.update
    classifier.trainer = SimpleNamespace(world_size=1)
    classifier.on_train_epoch_start()
    for index, each in enumerate(train):
        classifier.training_step(each, index)
    classifier.on_validation_epoch_start()
    with torch.no_grad():
        for index, each in enumerate(val):
            classifier.validation_step(each, index)
    classifier.on_validation_epoch_end()
    return logged


def test_logits_are_the_networks(network):
    images, _ = batch(3)
    assert torch.equal(Classifier(network, SGD, {"name": "none"})(images), network(images))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_spreads_the_training_target(network, smoothing):
    classifier = Classifier(network, SGD, {"name": "none"}, smoothing)
    images, labels = batch(8)
    classifier.on_train_epoch_start()
    loss = classifier.training_step((images, labels), 0)
    # The target is (1 - s) on the label plus s / C on every class (Szegedy et al. 2016).
    target = (1 - smoothing) * F.one_hot(labels, 10) + smoothing / 10
    torch.testing.assert_close(loss, -(target * network(images).log_softmax(1)).sum(1).mean())
    assert loss.requires_grad


def test_what_is_no_digit_has_its_target_spread_evenly_and_is_not_in_the_record(network):
    classifier = Classifier(network, SGD, {"name": "none"}, 0.1, exposed=True)
    images, labels = batch(8)
    labels[5:] = -1
    logs = network(images).log_softmax(1)
    target = 0.9 * F.one_hot(labels.clamp(min=0), 10) + 0.01
    target[5:] = 0.1
    assert classifier.on_train_epoch_start() is None
    torch.testing.assert_close(classifier.training_step((images, labels), 0), -(target * logs).sum(1).mean())
    assert int(classifier.train_images) == 5
    torch.testing.assert_close(classifier.train_loss, F.nll_loss(logs[:5], labels[:5], reduction="sum"))


def test_without_such_images_exposure_changes_nothing(network):
    images, labels = batch(8)
    losses = []
    for exposed in (False, True):
        classifier = Classifier(network, SGD, {"name": "none"}, 0.1, exposed=exposed)
        classifier.on_train_epoch_start()
        losses.append(classifier.training_step((images, labels), 0))
    torch.testing.assert_close(*losses)


def test_the_losses_on_record_know_no_label_smoothing_and_compare(network):
    val = [batch(8)]
    smooth = closed_epoch(Classifier(network, SGD, {"name": "none"}, 0.5), val, val)
    plain = closed_epoch(Classifier(network, SGD, {"name": "none"}, 0.0), val, val)
    assert smooth["val_loss"] == plain["val_loss"] == pytest.approx(plain["train_loss"])
    assert smooth["train_loss"] == plain["train_loss"]


def test_an_epochs_means_are_over_images_whatever_the_batches(network):
    classifier = Classifier(network, SGD, {"name": "none"})
    train, val = [batch(7, 1), batch(3, 2), batch(1, 3)], [batch(5, 4), batch(2, 5)]
    logged = closed_epoch(classifier, train, val)

    def whole(batches):
        images, labels = torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])
        return network(images), labels

    assert logged["train_loss"] == pytest.approx(F.cross_entropy(*whole(train)).item(), rel=1e-6)
    logits, labels = whole(val)
    assert logged["val_loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert logged["val_accuracy"] == int((logits.argmax(1) == labels).sum()) / 7
    assert logged["train_loss"] != pytest.approx(  # the mean of the batches' means is another number
        sum(F.cross_entropy(network(images), labels).item() for images, labels in train) / 3, rel=1e-3
    )


def test_each_epoch_begins_anew(network):
    classifier = Classifier(network, SGD, {"name": "none"})
    first = closed_epoch(classifier, [batch(4, 1)], [batch(4, 2)])
    closed_epoch(classifier, [batch(9, 3)], [batch(9, 4)])
    assert closed_epoch(classifier, [batch(4, 1)], [batch(4, 2)]) == first


def test_an_epoch_without_batches_divides_by_nothing(network):
    logged = closed_epoch(Classifier(network, SGD, {"name": "none"}))
    assert logged == {"train_loss": 0, "val_loss": 0, "val_accuracy": 0}


def test_several_processes_add_up_their_sums(network):
    classifier = Classifier(network, SGD, {"name": "none"})
    logged = {}
    reduced = []

    def reduce(sums, reduce_op):
        reduced.append((sums.clone(), reduce_op))
        return sums + torch.tensor([6.0, 4, 1, 2, 2])  # another process: loss 6 over 2; loss 4 and 1 hit over 2

    classifier.log_dict = logged.update
    classifier.trainer = SimpleNamespace(world_size=2, strategy=SimpleNamespace(reduce=reduce))
    classifier.train_loss, classifier.train_images = torch.tensor(2.0), 2
    classifier.val_loss, classifier.val_hits, classifier.val_images = torch.tensor(2.0), torch.tensor(2.0), 2
    classifier.on_validation_epoch_end()
    assert logged == {"train_loss": 2.0, "val_loss": 1.5, "val_accuracy": 0.75}
    assert [op for _, op in reduced] == ["sum"]


def configured(network, scheduler):
    classifier = Classifier(network, SGD, scheduler)
    classifier.trainer = SimpleNamespace(estimated_stepping_batches=120, max_epochs=6)
    return classifier.configure_optimizers()


def test_without_a_schedule_there_is_only_an_optimiser(network):
    assert isinstance(configured(network, {"name": "none"}), torch.optim.SGD)


@pytest.mark.parametrize(("interval", "steps"), [("step", 120), ("epoch", 6)])
def test_a_curve_reaches_its_end_with_the_run(network, interval, steps):
    knobs = {"warmup": 0.0, "start": 0.0, "end": 0.25, "interval": interval, "frequency": 1}
    made = configured(network, {"name": "onecycle", **knobs})["lr_scheduler"]
    assert (made["interval"], made["frequency"]) == (interval, 1)
    factors = [made["scheduler"].lr_lambdas[0](step) for step in (0, steps // 2, steps)]
    assert factors == pytest.approx([1, 0.625, 0.25])


def test_plateau_watches_the_metric_it_is_told(network):
    knobs = {"monitor": "val_accuracy", "patience": 2, "factor": 0.5, "interval": "epoch", "frequency": 3}
    made = configured(network, {"name": "plateau", **knobs})["lr_scheduler"]
    assert (made["monitor"], made["interval"], made["frequency"]) == ("val_accuracy", "epoch", 3)
    assert (made["scheduler"].mode, made["scheduler"].patience, made["scheduler"].factor) == ("max", 2, 0.5)


class Rates(pl.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, *arguments):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def fitted(network, data, folder, scheduler, epochs, optimizer=SGD, card=None):
    """The learning rate of each step, and the trainer, of a real run over 3 batches an epoch."""
    rates = Rates()
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[rates], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Classifier(network, optimizer, scheduler, card=card), data)
    return rates.seen, trainer


@pytest.fixture
def data(use_source, make_source):
    use_source(make_source(40, 10))
    return DigitsDataModule("mnist", batch_size=10, val_size=10)


@pytest.mark.parametrize(
    ("scheduler", "wanted"),
    [
        (
            {"name": "onecycle", "warmup": 1 / 3, "start": 0.1, "end": 0.0, "interval": "step", "frequency": 1},
            [0.1, 0.55, 1.0, 0.75, 0.5, 0.25],
        ),
        (
            {"name": "cosine", "warmup": 0.0, "start": 0.1, "end": 0.0, "interval": "step", "frequency": 2},
            [1, 1, 0.75, 0.75, 0.25, 0.25],
        ),
        ({"name": "step", "step_size": 1, "gamma": 0.1, "interval": "epoch", "frequency": 1}, [1] * 3 + [0.1] * 3),
        (
            {"name": "step", "step_size": 1, "gamma": 0.5, "interval": "step", "frequency": 1},
            [0.5**n for n in range(6)],
        ),
        ({"name": "none"}, [1] * 6),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_the_learning_rate_of_each_step_is_the_schedules(network, data, tmp_path, scheduler, wanted):
    seen, trainer = fitted(network, data, tmp_path, scheduler, epochs=2)
    assert seen == pytest.approx([0.1 * share for share in wanted], abs=1e-9)
    assert trainer.global_step == 6


def test_plateau_falls_in_a_run_that_learns_nothing(network, data, tmp_path):
    stuck = SGD | {"lr": 1e-6}
    knobs = {"monitor": "val_loss", "patience": 0, "factor": 0.5, "interval": "epoch", "frequency": 1}
    seen, _ = fitted(network, data, tmp_path, {"name": "plateau", **knobs}, epochs=4, optimizer=stuck)
    assert [rate * 1e6 for rate in seen] == pytest.approx([1] * 6 + [0.5] * 3 + [0.25] * 3)


def test_a_run_learns_and_logs_and_its_checkpoint_holds_the_card(network, data, tmp_path):
    card = {"format": 1, "network": {"name": "linear"}}
    _, trainer = fitted(network, data, tmp_path, {"name": "none"}, epochs=40, card=card)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert set(logged) == {"train_loss", "val_loss", "val_accuracy"}
    assert logged["train_loss"] < math.log(10) - 0.1  # chance
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert kept[CARD] == card
    assert set(kept["state_dict"]) == {"network.1.weight", "network.1.bias"}


@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 1.0), (0.3, 4.0)])
def test_a_teacher_draws_the_answers_to_its_own(network, weight, temperature):
    torch.manual_seed(1)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
    images, labels = batch(8)
    classifier = Classifier(
        network, SGD, {"name": "none"}, teacher=teacher, distill_weight=weight, temperature=temperature
    )
    classifier.on_train_epoch_start()
    loss = classifier.training_step((images, labels), 0)
    # Cross-entropy with the teacher's softened answers, less their own entropy, times T squared (Hinton et al. 2015).
    wanted = (teacher(images) / temperature).softmax(1)
    own = (network(images) / temperature).log_softmax(1)
    distance = (wanted * (wanted.log() - own)).sum(1).mean() * temperature**2
    torch.testing.assert_close(loss, weight * distance + (1 - weight) * F.cross_entropy(network(images), labels))


def test_a_teacher_that_says_the_same_adds_nothing(network):
    images, labels = batch(8)
    classifier = Classifier(network, SGD, {"name": "none"}, teacher=network, distill_weight=0.5, temperature=2.0)
    classifier.on_train_epoch_start()
    found = classifier.training_step((images, labels), 0)
    torch.testing.assert_close(found, 0.5 * F.cross_entropy(network(images), labels))


def test_a_teacher_is_neither_trained_nor_saved(network):
    teacher = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(28 * 28, 10))
    classifier = Classifier(network, SGD, {"name": "none"}, teacher=teacher, distill_weight=0.5)
    assert set(classifier.state_dict()) == {f"network.{name}" for name in network.state_dict()}
    assert len(list(classifier.parameters())) == 2
    assert not teacher.training
    assert not any(weight.requires_grad for weight in teacher.parameters())
