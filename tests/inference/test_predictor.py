import numpy as np
import pytest
import torch

from mnist_lightning.errors import UserError
from mnist_lightning.inference.predictor import Predictor, pick_device
from mnist_lightning.run import machine


@pytest.fixture(scope="module")
def predictor(checkpoint_file):
    return Predictor.load(checkpoint_file, "cpu")


def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)


def test_probabilities_are_a_distribution_over_the_classes(predictor):
    found = predictor.probabilities(pictures(20))
    assert (found.shape, found.dtype) == ((20, 10), np.float32)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(1), predictor.logits(pictures(20)).argmax(1))


def test_logits_are_the_networks_on_fractions_of_white(predictor):
    images = pictures(3)
    wanted = predictor.network(torch.from_numpy(images)[:, None] / 255)
    torch.testing.assert_close(predictor.logits(images), wanted)
    assert not predictor.logits(images).requires_grad


def test_mixed_precision_multiplies_as_training_does(checkpoint_file, predictor):
    images = pictures(20)
    mixed = Predictor.load(checkpoint_file, "cpu", precision="bf16-mixed")
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        wanted = predictor.network(torch.from_numpy(images)[:, None] / 255)
    found = mixed.logits(images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted.float())
    assert not torch.equal(found, predictor.logits(images))
    torch.testing.assert_close(found, predictor.logits(images), atol=0.2, rtol=0.05)


def test_auto_is_the_precision_that_this_machine_trains_in(checkpoint_file, monkeypatch):
    for precision in ("32-true", "bf16-mixed"):
        monkeypatch.setattr(machine, "pick_precision", lambda _device, chosen=precision: chosen)
        assert Predictor.load(checkpoint_file, "cpu", precision="auto").precision == precision
    assert Predictor.load(checkpoint_file, "cpu").precision == "32-true"


@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000])
def test_the_batch_size_changes_nothing(predictor, batch_size):
    torch.testing.assert_close(predictor.logits(pictures(20), batch_size), predictor.logits(pictures(20), 10))


def test_tensors_and_arrays_give_the_same(predictor):
    images = pictures(4)
    assert torch.equal(predictor.logits(images), predictor.logits(torch.from_numpy(images)))


def test_no_images_give_no_logits(predictor):
    assert predictor.logits(pictures(0)).shape == (0, 10)
    assert predictor.probabilities(pictures(0)).shape == (0, 10)


def test_the_classes_are_the_checkpoints(predictor):
    assert predictor.class_names == tuple("0123456789")
    assert predictor.card["dataset"] == "mnist"
    assert not predictor.network.training


def test_auto_takes_the_fastest_device_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == torch.device("cuda")
    assert pick_device("cpu") == torch.device("cpu")


def test_a_device_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"^There is no cuda device on this machine: take auto"):
        pick_device("cuda")


def test_a_missing_checkpoint_is_said(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        Predictor.load(tmp_path / "some.ckpt")
