import numpy as np
import pytest
import torch

from mnist_lightning.models import checkpoint
from mnist_lightning.models.build import build
from mnist_lightning.models.card import CARD
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


def test_the_file_holds_places_labels_and_log_probabilities(tmp_path):
    logits, labels = torch.randn(50, 10), torch.arange(50) % 10
    held_out.write(tmp_path / held_out.FILE, torch.arange(50) * 3, labels, logits)
    with np.load(tmp_path / "validation.npz") as found:
        assert found["index"].tolist() == list(range(0, 150, 3))
        assert found["index"].dtype == found["label"].dtype == np.int64
        assert found["label"].tolist() == labels.tolist()
        assert found["log_probs"].dtype == np.float32
        assert np.allclose(np.exp(found["log_probs"]).sum(1), 1, atol=1e-5)
        assert np.allclose(found["log_probs"], logits.log_softmax(1).numpy())
