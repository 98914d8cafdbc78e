import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.evaluation.calibration import fit_temperature
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.models import checkpoint
from mnist_lightning.models.build import build
from mnist_lightning.models.card import CARD
from mnist_lightning.run import folder as runs
from mnist_lightning.sweeps import out_of_fold
from mnist_lightning.tasks import held_out

LENET = {"_target_": "mnist_lightning.models.LeNet5"}


@pytest.fixture
def file(tmp_path):
    network = build(LENET, num_classes=10)
    card = checkpoint.make_card(LENET, image_size=28, dataset="mnist", class_names=[str(i) for i in range(10)])
    path = tmp_path / "best.ckpt"
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 3, CARD: card}, path)
    return path


def overconfident(count=4000, share=0.9, scale=10.0):
    """Logits that give one class nearly all, and are right for a share of the images."""
    labels = torch.arange(count) % 10
    said = torch.where(torch.arange(count) < share * count, labels, (labels + 1) % 10)
    return torch.nn.functional.one_hot(said, 10).float() * scale, labels


def test_a_temperature_makes_confidence_what_the_network_reaches():
    logits, labels = overconfident()
    fitted = held_out.temperature(logits, labels)
    assert (logits / fitted).softmax(1).amax(1).mean().item() == pytest.approx(0.9, abs=0.005)


def test_few_images_and_a_network_without_mistakes_choose_no_temperature():
    assert held_out.temperature(*overconfident(share=1.0)) is None
    assert held_out.temperature(*overconfident(count=500)) is None


def test_the_temperature_stands_in_the_card_and_nothing_else_changes(file):
    before = checkpoint.read(file)
    held_out.calibrate(file, 0.54)
    after = checkpoint.read(file)
    assert after[CARD] == {**before[CARD], "temperature": 0.54}
    assert after["epoch"] == 3
    assert all(torch.equal(value, before["state_dict"][name]) for name, value in after["state_dict"].items())


ONCE, VIEWS = {"shift": 0.0, "degrees": 0.0}, {"shift": 1.0, "degrees": 8.0}


def ended(run, tta, num_folds=3):
    """A run of the network that ships, at its end: its job."""
    run.mkdir()
    data = DigitsDataModule("digits", limit=200, num_folds=num_folds, val_size=None if num_folds else 200)
    data.setup()
    shutil.copy(runs.PRETRAINED, run / "best.ckpt")
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")), precision="32-true")
    noted = {}
    return SimpleNamespace(
        data=data, trainer=trainer, settings={"tta": tta}, allowed=[], run=run, noted=noted,
        record=SimpleNamespace(note=lambda **facts: noted.update(facts)),
    )  # fmt: skip


def said(job, tta):
    return Predictor.load(runs.PRETRAINED, "cpu", tta).logits(job.data.val.images)


def test_the_temperature_is_that_of_images_read_once_as_all_that_use_it_read_them(tmp_path, monkeypatch):
    monkeypatch.setattr(held_out, "_FEWEST", 200)
    once, often = ended(tmp_path / "once", ONCE), ended(tmp_path / "often", VIEWS)
    for job in (once, often):
        held_out.read_held_out(job, job.run / "best.ckpt")
    wanted, of_views = (fit_temperature(said(once, tta), once.data.val.labels) for tta in (ONCE, VIEWS))
    assert abs(wanted - of_views) > 0.01
    for job in (once, often):
        found = checkpoint.read(job.run / "best.ckpt")[CARD]["temperature"]
        assert found == job.noted["temperature"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("tta", [ONCE, VIEWS])
def test_the_file_of_a_fold_holds_places_labels_and_log_probabilities_as_the_run_reads(tmp_path, tta):
    job = ended(tmp_path / "run", tta)
    held_out.read_held_out(job, job.run / "best.ckpt")
    with np.load(job.run / "validation.npz") as found:
        assert found["index"].dtype == found["label"].dtype == np.int64
        assert found["log_probs"].dtype == np.float32
    index, label, log_probs = out_of_fold.read(job.run / "validation.npz")
    assert index.tolist() == job.data.val_index.tolist()
    assert label.tolist() == job.data.val.labels.tolist()
    assert np.allclose(np.exp(log_probs).sum(1), 1, atol=1e-5)
    assert np.allclose(log_probs, said(job, tta).log_softmax(1).numpy(), atol=1e-5)


def test_without_folds_test_time_augmentation_costs_no_pass_over_the_validation_images(tmp_path, monkeypatch):
    read = []
    load = Predictor.load
    monkeypatch.setattr(Predictor, "load", lambda path, device, tta, *rest, **more: (
        read.append(tta), load(path, device, tta, *rest, **more))[1])  # fmt: skip
    job = ended(tmp_path / "run", VIEWS, num_folds=0)
    held_out.read_held_out(job, job.run / "best.ckpt")
    assert read == [None]
    assert not (job.run / "validation.npz").exists()
