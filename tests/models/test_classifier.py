import math
from functools import partial
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR

from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.errors import UserError
from mnist_lightning.models import Distillation, Loss, cosine, onecycle, plateau, step
from mnist_lightning.models.checkpoint import CARD
from mnist_lightning.models.classifier import Classifier

PLAIN = partial(SGD, lr=0.1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))


def classifier_of(network, loss=Loss(0.0), **more):  # noqa: B008
    classifier = Classifier(network, PLAIN, None, loss, **more)
    classifier.trainer = trainer_of()
    return classifier


def batch(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 28, 28, generator=generator), torch.randint(10, (count,), generator=generator)


def trainer_of(**more):
    state = SimpleNamespace(fn="fit")
    known = {"world_size": 1, "state": state, "sanity_checking": False, "loggers": [], "current_epoch": 0,
             "accumulate_grad_batches": 1, "callback_metrics": {}}  # fmt: skip
    return SimpleNamespace(**known | more)


def closed_epoch(classifier, train=(), val=()):
    """What an epoch over these batches logs."""
    logged = {}
    classifier.log_dict = lambda values, logger: logged.update(values)
    classifier.trainer = trainer_of()
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
    assert torch.equal(classifier_of(network)(images), network(images))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_a_step_returns_the_smoothed_loss_of_its_batch(network, smoothing):
    classifier = classifier_of(network, Loss(smoothing))
    images, labels = batch(8)
    classifier.on_train_epoch_start()
    loss = classifier.training_step((images, labels), 0)
    target = (1 - smoothing) * F.one_hot(labels, 10) + smoothing / 10
    torch.testing.assert_close(loss, -(target * network(images).log_softmax(1)).sum(1).mean())
    assert loss.requires_grad


def test_an_outlier_trains_and_is_not_in_the_record(network):
    classifier = classifier_of(network, Loss(0.1, outliers=True))
    images, labels = batch(8)
    labels[5:] = -1
    log_probs = network(images).log_softmax(1)
    target = 0.9 * F.one_hot(labels.clamp(min=0), 10) + 0.01
    target[5:] = 0.1
    logged = closed_epoch(classifier, [(images, labels)], [batch(4)])
    classifier.on_train_epoch_start()
    torch.testing.assert_close(classifier.training_step((images, labels), 0), -(target * log_probs).sum(1).mean())
    assert logged["train_loss"] == pytest.approx(F.nll_loss(log_probs[:5], labels[:5]).item(), rel=1e-6)
    hits = int((log_probs.argmax(1)[:5] == labels[:5]).sum())
    assert logged["train_accuracy"] == hits / 5


def test_without_outliers_exposure_changes_nothing(network):
    images, labels = batch(8)
    losses = []
    for outliers in (False, True):
        classifier = classifier_of(network, Loss(0.1, outliers))
        classifier.on_train_epoch_start()
        losses.append(classifier.training_step((images, labels), 0))
    torch.testing.assert_close(*losses)


def test_the_losses_on_record_know_no_label_smoothing_and_compare(network):
    val = [batch(8)]
    smooth = closed_epoch(classifier_of(network, Loss(0.5)), val, val)
    plain = closed_epoch(classifier_of(network, Loss(0.0)), val, val)
    assert smooth["val_loss"] == plain["val_loss"] == pytest.approx(plain["train_loss"])
    assert smooth["train_loss"] == plain["train_loss"]
    assert smooth["train_accuracy"] == smooth["val_accuracy"]


def test_an_epochs_means_are_over_images_whatever_the_batches(network):
    train, val = [batch(7, 1), batch(3, 2), batch(1, 3)], [batch(5, 4), batch(2, 5)]
    logged = closed_epoch(classifier_of(network), train, val)

    def whole(batches):
        images, labels = torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])
        return network(images), labels

    logits, labels = whole(train)
    assert logged["train_loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert logged["train_accuracy"] == pytest.approx(int((logits.argmax(1) == labels).sum()) / 11)
    logits, labels = whole(val)
    assert logged["val_loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert logged["val_accuracy"] == int((logits.argmax(1) == labels).sum()) / 7
    assert logged["train_loss"] != pytest.approx(  # the mean of the batches' means is another number
        sum(F.cross_entropy(network(images), labels).item() for images, labels in train) / 3, rel=1e-3
    )


def test_each_epoch_begins_anew(network):
    classifier = classifier_of(network)
    first = closed_epoch(classifier, [batch(4, 1)], [batch(4, 2)])
    closed_epoch(classifier, [batch(9, 3)], [batch(9, 4)])
    assert closed_epoch(classifier, [batch(4, 1)], [batch(4, 2)]) == first


def test_an_epoch_without_batches_divides_by_nothing(network):
    logged = closed_epoch(classifier_of(network))
    assert logged == {"train_loss": 0, "train_accuracy": 0, "val_loss": 0, "val_accuracy": 0}


def test_a_compiled_step_is_not_compiled_anew_as_the_images_are_counted(network):
    def step(batch):
        return module.training_step(batch, 1)

    module = Classifier(network)
    module._trainer = SimpleNamespace(accumulate_grad_batches=1, callback_metrics={})
    module.on_train_epoch_start()
    compiled, batch = torch.compile(step, backend="eager"), (torch.rand(4, 1, 28, 28), torch.arange(4))
    compiled(batch)
    with torch.compiler.set_stance("fail_on_recompile"):
        compiled(batch), compiled(batch)
    assert module._train.packed()[2] == 12


def test_a_network_that_no_checkpoint_could_rebuild_is_refused(network):
    with pytest.raises(UserError, match=r"call network\.compile\(\)"):
        Classifier(torch.compile(network))


def test_validation_outside_a_fit_and_in_the_sanity_check_says_nothing_of_training(network):
    for trainer in (trainer_of(state=SimpleNamespace(fn="validate")), trainer_of(sanity_checking=True)):
        classifier, logged = classifier_of(network), {}
        classifier.log_dict = lambda values, logger, logged=logged: logged.update(values)
        classifier.trainer = trainer
        classifier.on_validation_epoch_start()
        classifier.validation_step(batch(4), 0)
        classifier.on_validation_epoch_end()
        assert set(logged) == {"val_loss", "val_accuracy"}


def test_several_processes_add_up_their_sums(network):
    classifier = classifier_of(network)
    logged = {}
    reduced = []

    def reduce(sums, reduce_op):
        reduced.append((sums.clone(), reduce_op))
        # Another process: training loss 6 and 1 hit over 2; validation loss 4 and 1 hit over 2.
        return sums + torch.tensor([6.0, 1, 2, 4, 1, 2])

    classifier.log_dict = lambda values, logger: logged.update(values)
    classifier.trainer = trainer_of(world_size=2, strategy=SimpleNamespace(reduce=reduce))
    classifier.on_train_epoch_start()
    classifier.on_validation_epoch_start()
    for sums, loss, hits in ((classifier._train, 2.0, 0), (classifier._val, 2.0, 2)):
        sums.loss, sums.hits, sums.images = map(torch.tensor, (loss, hits, 2.0))
    classifier.on_validation_epoch_end()
    assert logged == {"train_loss": 2.0, "train_accuracy": 0.25, "val_loss": 1.5, "val_accuracy": 0.75}
    assert [op for _, op in reduced] == ["sum"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_any_more_ends_the_training_with_a_sentence(network, value):
    classifier = classifier_of(network)
    with torch.no_grad():
        network[1].bias[3] = value
    with pytest.raises(UserError, match=r"^The loss is nan in epoch 1: training has diverged\. Lower optimizer\.lr"):
        closed_epoch(classifier, [batch(8)], [batch(8)])


def configured(network, scheduler):
    classifier = Classifier(network, PLAIN, scheduler)
    classifier.trainer = SimpleNamespace(estimated_stepping_batches=120, max_epochs=6)
    return classifier.configure_optimizers()


def test_without_a_schedule_there_is_only_an_optimizer(network):
    assert isinstance(configured(network, None), SGD)


@pytest.mark.parametrize(("interval", "steps"), [("step", 120), ("epoch", 6)])
def test_a_curve_reaches_its_end_with_the_run(network, interval, steps):
    made = configured(network, onecycle(warmup=0.0, start=0.0, end=0.25, interval=interval))["lr_scheduler"]
    assert (made["interval"], made["frequency"]) == (interval, 1)
    factors = [made["scheduler"].lr_lambdas[0](step) for step in (0, steps // 2, steps)]
    assert factors == pytest.approx([1, 0.625, 0.25])


def test_plateau_watches_the_metric_it_should(network):
    made = configured(network, plateau("val_accuracy", patience=2, factor=0.5, frequency=3))["lr_scheduler"]
    assert (made["monitor"], made["interval"], made["frequency"]) == ("val_accuracy", "epoch", 3)
    assert (made["scheduler"].mode, made["scheduler"].patience, made["scheduler"].factor) == ("max", 2, 0.5)


@pytest.mark.parametrize("length", [math.inf, -1])
def test_a_schedule_in_a_run_without_an_end_is_said(network, length):
    classifier = Classifier(network, PLAIN, onecycle())
    classifier.trainer = SimpleNamespace(estimated_stepping_batches=length, max_epochs=-1)
    with pytest.raises(UserError, match=r"^A schedule needs a run of known length: set max_epochs or max_steps"):
        classifier.configure_optimizers()


class Rates(pl.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, *arguments):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def fitted(network, data, folder, scheduler, epochs, optimizer=PLAIN, card=None):
    """The learning rate of each step, and the trainer, of a real run with 3 batches per epoch."""
    rates = Rates()
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[rates], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Classifier(network, optimizer, scheduler, Loss(0.0), card=card), data)
    return rates.seen, trainer


@pytest.fixture
def data(use_source, make_source):
    use_source(make_source(40, 10))
    return DigitsDataModule("mnist", batch_size=10, val_size=10)


@pytest.mark.parametrize(
    ("scheduler", "wanted"),
    [
        (onecycle(warmup=1 / 3, start=0.1, end=0.0), [0.1, 0.55, 1.0, 0.75, 0.5, 0.25]),
        (cosine(warmup=0.0, start=0.1, end=0.0, frequency=2), [1, 1, 0.75, 0.75, 0.25, 0.25]),
        (step(1, 0.1), [1] * 3 + [0.1] * 3),
        (step(1, 0.5, interval="step"), [0.5**n for n in range(6)]),
        (partial(ExponentialLR, gamma=0.5), [1] * 3 + [0.5] * 3),
        (None, [1] * 6),
    ],
    ids=["onecycle", "cosine", "step", "step by step", "torch's own", "none"],
)
def test_the_learning_rate_of_each_step_is_the_schedules(network, data, tmp_path, scheduler, wanted):
    seen, trainer = fitted(network, data, tmp_path, scheduler, epochs=2)
    assert seen == pytest.approx([0.1 * share for share in wanted], abs=1e-9)
    assert trainer.global_step == 6


def test_plateau_falls_in_a_run_that_learns_nothing(network, data, tmp_path):
    stuck = partial(SGD, lr=1e-6)
    seen, _ = fitted(network, data, tmp_path, plateau(patience=0, factor=0.5), epochs=4, optimizer=stuck)
    assert [rate * 1e6 for rate in seen] == pytest.approx([1] * 6 + [0.5] * 3 + [0.25] * 3)


def test_a_run_learns_and_logs_and_its_checkpoint_holds_the_card(network, data, tmp_path):
    card = {"format": 1, "network": {"name": "linear"}}
    _, trainer = fitted(network, data, tmp_path, None, epochs=40, card=card)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert set(logged) == {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
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
    classifier = classifier_of(network, distillation=Distillation(teacher, weight, temperature))
    classifier.on_train_epoch_start()
    loss = classifier.training_step((images, labels), 0)
    wanted = (teacher(images) / temperature).softmax(1)
    own = (network(images) / temperature).log_softmax(1)
    distance = (wanted * (wanted.log() - own)).sum(1).mean() * temperature**2
    torch.testing.assert_close(loss, weight * distance + (1 - weight) * F.cross_entropy(network(images), labels))


def test_a_teacher_that_says_the_same_adds_nothing(network):
    images, labels = batch(8)
    classifier = classifier_of(network, distillation=Distillation(network, 0.5, 2.0))
    classifier.on_train_epoch_start()
    found = classifier.training_step((images, labels), 0)
    torch.testing.assert_close(found, 0.5 * F.cross_entropy(network(images), labels))


def test_a_teacher_is_neither_trained_nor_saved(network):
    teacher = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(28 * 28, 10))
    classifier = classifier_of(network, distillation=Distillation(teacher, 0.5))
    assert set(classifier.state_dict()) == {f"network.{name}" for name in network.state_dict()}
    assert len(list(classifier.parameters())) == 2
    classifier.train()
    assert not teacher.training
    assert not any(weight.requires_grad for weight in teacher.parameters())
