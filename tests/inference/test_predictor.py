import numpy as np
import pytest
import torch
from PIL import Image

from mnist_lightning.errors import UserError
from mnist_lightning.inference.predictor import Predictor, pick_device
from mnist_lightning.inference.torch_predictor import TorchPredictor
from mnist_lightning.inference.views import Views
from mnist_lightning.models.build import build
from mnist_lightning.models.ensemble import Ensemble
from mnist_lightning.models.network import to_input
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


def test_the_temperature_in_the_card_divides_the_logits(checkpoint_file, tmp_path):
    kept = torch.load(checkpoint_file, weights_only=True)
    kept["mnist_lightning"]["temperature"] = 0.5
    torch.save(kept, tmp_path / "sharp.ckpt")
    sharp, plain = Predictor.load(tmp_path / "sharp.ckpt", "cpu"), Predictor.load(checkpoint_file, "cpu")
    images = pictures(5)
    torch.testing.assert_close(sharp.logits(images), plain.logits(images))
    wanted = (plain.logits(images) / 0.5).softmax(1).numpy()
    np.testing.assert_allclose(sharp.probabilities(images), wanted, atol=1e-6)
    assert (plain.temperature, sharp.temperature) == (1.0, 0.5)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), "1", True, None])
def test_a_temperature_that_makes_no_sense_is_refused(checkpoint_file, tmp_path, temperature):
    kept = torch.load(checkpoint_file, weights_only=True)
    kept["mnist_lightning"]["temperature"] = temperature
    torch.save(kept, tmp_path / "odd.ckpt")
    with pytest.raises(UserError, match=r"odd\.ckpt is broken: temperature in its card must be a number from 0\.01"):
        Predictor.load(tmp_path / "odd.ckpt", "cpu")


def test_a_card_that_claims_a_huge_network_costs_no_memory(checkpoint_file, tmp_path):
    kept = torch.load(checkpoint_file, weights_only=True)
    kept["mnist_lightning"]["network"] = {"name": "mlp", "hidden_sizes": [10**12, 10**12]}
    torch.save(kept, tmp_path / "huge.ckpt")
    with pytest.raises(UserError, match=r"huge\.ckpt"):
        Predictor.load(tmp_path / "huge.ckpt", "cpu")


def test_feature_maps_are_those_of_each_block():
    from mnist_lightning.run import folder as runs

    predictor = Predictor.load(runs.PRETRAINED, "cpu")
    found = predictor.feature_maps(pictures(1)[0])
    assert [maps.layer for maps in found] == [f"block {number}" for number in range(1, len(found) + 1)]
    assert len(found) == len(predictor.network.blocks)
    wanted = predictor.network.blocks(predictor.network.prepare(torch.from_numpy(pictures(1))[:, None] / 255))
    np.testing.assert_allclose(found[-1].maps, wanted[0].detach().numpy(), atol=1e-5)
    assert not any(block._forward_hooks for block in predictor.network.blocks)


@pytest.mark.parametrize("tta", [None, {"shift": 1}])
def test_norms_that_are_folded_away_change_rounding_alone(tta):
    torch.manual_seed(0)
    members = [build({"_target_": "mnist_lightning.models.CNN", "channels": [8, 8], "kernels": [3, 3], "pools": [2, 1]},
                     num_classes=10) for _ in range(2)]  # fmt: skip
    for norm in (block.norm for member in members for block in member.blocks):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.bias.data.normal_()
    images = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    card = {"class_names": [*"0123456789"]}
    for network in (members[0], Ensemble(members)):
        network.eval()
        with torch.inference_mode():
            wanted = (Views(network, **tta) if tta else network)(to_input(images))
        assert torch.allclose(TorchPredictor(network, card, torch.device("cpu"), tta).logits(images), wanted, atol=1e-5)


def test_images_pass_through_convolutions_with_their_channels_last():
    """Which takes a CPU two thirds of the time; what is copied from the weights, as folding does, may lose it."""
    description = {"_target_": "mnist_lightning.models.CNN", "channels": [4, 8], "kernels": [3, 3], "pools": [1, 2]}
    network, seen = build(description), []
    predictor = TorchPredictor(network, {"class_names": list("0123456789")}, torch.device("cpu"))
    for module in predictor._reads.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    predictor.logits(pictures(2))
    assert len(seen) == 2
    assert all(maps.is_contiguous(memory_format=torch.channels_last) for maps in seen)


def test_what_reads_lies_on_the_device_as_the_network_does():
    """Folding makes convolutions anew; on a GPU they would otherwise stay behind on the processor."""
    network = build({"_target_": "mnist_lightning.models.CNN", "channels": [4], "kernels": [3], "pools": [2]})
    predictor = TorchPredictor(network, {"class_names": list("0123456789")}, torch.device("meta"))
    assert {value.device.type for value in predictor._reads.state_dict().values()} == {"meta"}


def test_a_subclass_of_a_network_is_not_folded():
    from mnist_lightning.models import CNN
    from mnist_lightning.models.fold import FoldedBlock, fold

    class Mine(CNN):
        pass

    for kind, is_folded in ((CNN, True), (Mine, False)):
        network = fold(kind(channels=[4], kernels=[3], pools=[2]))
        assert any(isinstance(module, FoldedBlock) for module in network.modules()) is is_folded


@pytest.fixture(scope="module")
def shipped():
    from mnist_lightning.run import folder as runs

    return Predictor.load(runs.PRETRAINED, "cpu")


@pytest.fixture(scope="module")
def large():
    """A 1 on a sheet so large that it is shrunk before it is read: its ink is at left, top, right, bottom."""
    ink = (1200, 900, 1600, 3300)
    sheet = Image.new("L", (4400, 5000), 255)
    sheet.paste(0, ink)
    return sheet, ink


@pytest.mark.parametrize("kind", ["png", "jpg", "a PIL image", "a PIL image on its side", "an array"])
def test_boxes_are_in_pixels_of_the_picture_that_was_given(shipped, large, tmp_path, kind):
    sheet, (left, top, right, bottom) = large
    given = sheet
    if kind in ("png", "jpg"):
        given = tmp_path / f"large.{kind}"
        sheet.save(given)
    elif kind == "an array":
        given = np.asarray(sheet)
    elif kind == "a PIL image on its side":
        given = sheet.rotate(90, expand=True)
        given.getexif()[0x0112] = 6
    (digit,) = shipped(given).digits
    assert digit.label == "1"
    assert digit.box == pytest.approx((left, top, right, bottom), abs=32)  # two pixels of those that are looked at
    (alone,) = shipped(given, digits=1).digits
    assert alone.box == digit.box


def same_readings(first, second):
    assert [each.best for each in first] == [each.best for each in second]
    for one, other in zip(first, second, strict=True):
        for digit, its_like in zip(one.digits, other.digits, strict=True):
            np.testing.assert_array_equal(digit.image, its_like.image)
            assert digit.box == its_like.box


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pixels_from_0_to_1_are_read_as_bytes_are(shipped, dtype):
    bytes_ = np.zeros((3, 28, 28), np.uint8)
    bytes_[0, 5:22, 14:16] = bytes_[1, 4:24, 8] = bytes_[1, 4:24, 18] = 200
    colour = np.full((60, 50, 3), (240, 250, 255), np.uint8)
    colour[10:50, 22:27] = (90, 20, 31)
    shares = (bytes_ / 255).astype(dtype)
    wanted = shipped(bytes_)
    assert [reading.best for reading in wanted][::2] == ["1", ""]
    same_readings(shipped(shares), wanted)
    same_readings(shipped(torch.from_numpy(shares)), wanted)
    same_readings([shipped(shares[0])], [shipped(bytes_[0])])
    same_readings([shipped((colour / 255).astype(dtype))], [shipped(colour)])
    assert shipped(np.zeros((0, 28, 28), dtype)) == []


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.full((28, 28), 255.0), "float64 from 255 to 255"),
        (np.linspace(-1, 1, 784, dtype=np.float32).reshape(28, 28), "float32 from -1 to 1"),
        (np.full((2, 28, 28), np.nan), "float64 from nan to nan"),
        (np.full((28, 28), np.inf), "float64 from inf to inf"),
        (np.zeros((28, 28), np.int64), "int64"),
        (np.zeros((28, 28), np.uint16), "uint16"),
        (np.zeros((60, 50, 3), bool), "bool"),
        (None, "object"),
    ],
)
def test_pixels_of_another_type_or_range_are_refused_in_one_sentence(shipped, pixels, found):
    told = f"An array of pixels is uint8, 0 to 255, or floating point, 0 to 1, not {found}: convert it first."
    with pytest.raises(UserError) as caught:
        shipped(pixels)
    assert str(caught.value) == told
