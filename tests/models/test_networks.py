import pytest
import torch
from mnist_lightning.models.networks import NETWORKS, build, to_input
from torch import nn

from mnist_lightning.errors import UserError


def parameters(network):
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("crop", [None, 24])
def test_turns_images_into_logits_of_as_many_classes_as_the_data_has(name, crop):
    network = build({"name": name, "crop": crop}, num_classes=7, image_size=28)
    assert network(torch.rand(3, 1, 28, 28)).shape == (3, 7)


@pytest.mark.parametrize("name", NETWORKS)
def test_takes_images_of_another_size(name):
    assert build({"name": name}, num_classes=10, image_size=32)(torch.rand(2, 1, 32, 32)).shape == (2, 10)


def test_sizes_of_the_networks_are_those_of_their_settings():
    mlp = build({"name": "mlp", "hidden_sizes": [30, 20]}, num_classes=10)
    assert parameters(mlp) == (784 * 30 + 2 * 30) + (30 * 20 + 2 * 20) + (20 * 10 + 10)
    assert parameters(build({"name": "lenet5"}, num_classes=10)) == 61_706  # the count that is quoted for LeNet-5
    knobs = {"channels": [4, 6], "kernels": [5, 3], "pools": [2, 1], "crop": 24}  # 24 -> 20 -> 10 -> 8
    cnn = build({"name": "cnn", **knobs}, num_classes=10)
    assert parameters(cnn) == 25 * 4 + 2 * 4 + 9 * 4 * 6 + 2 * 6 + (6 * 8 * 8 * 10 + 10)


def test_padding_keeps_the_size_of_the_map():
    knobs = {"name": "cnn", "channels": [2], "kernels": [5], "pools": [2]}
    assert build({**knobs, "padding": True}, num_classes=10).head.in_features == 2 * 14 * 14
    assert build({**knobs, "padding": False}, num_classes=10).head.in_features == 2 * 12 * 12


def test_crop_hides_the_border_and_nothing_else():
    network = build({"name": "cnn", "crop": 24}, num_classes=10).eval()
    images = torch.rand(2, 1, 28, 28)
    border, inside = images.clone(), images.clone()
    border[:, :, :2], border[:, :, :, -2:] = 0, 0
    inside[:, :, 2] = 0
    assert torch.equal(network(border), network(images))
    assert not torch.equal(network(inside), network(images))


def test_raw_pixels_are_normalised_inside_the_network():
    network = build({"name": "mlp", "mean": 0.25, "std": 0.5}, num_classes=10)
    prepared = network.prepare(torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3).expand(1, 1, 28, 3))
    assert prepared[0, 0, 0].tolist() == [-0.5, 0.0, 1.5]


@pytest.mark.parametrize("name", NETWORKS)
def test_neither_brightness_nor_contrast_reach_a_network_that_standardizes(name):
    torch.manual_seed(0)
    network = build({"name": name, "standardize": True}, num_classes=10).eval()
    images = torch.rand(4, 1, 28, 28)
    prepared = network.prepare(images)
    torch.testing.assert_close(prepared.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(prepared.std((1, 2, 3)), torch.ones(4), atol=2e-3, rtol=0.0)
    torch.testing.assert_close(network(images * 0.5 + 0.4), network(images), atol=5e-3, rtol=0.0)


def test_an_even_image_stays_even_where_the_network_standardizes():
    network = build({"name": "cnn", "standardize": True}, num_classes=10)
    assert network.prepare(torch.full((2, 1, 28, 28), 0.3)).abs().max() < 1e-3


def test_weights_alone_carry_the_normalisation_over():
    saved = build({"name": "cnn", "mean": 0.5, "std": 2.0}, num_classes=10).eval()
    fresh = build({"name": "cnn"}, num_classes=10).eval()
    fresh.load_state_dict(saved.state_dict())
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(fresh(images), saved(images))


def test_names_in_the_state_dict_stay_as_they_are():
    assert [name for name in build({"name": "cnn"}, num_classes=10).state_dict() if "norm" not in name] == [
        "prepare.mean",
        "prepare.std",
        "blocks.0.conv.weight",
        "blocks.1.conv.weight",
        "blocks.2.conv.weight",
        "head.weight",
        "head.bias",
    ]


@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_dropout_changes_training_and_not_evaluation(name):
    network = build({"name": name, "dropout": 0.5}, num_classes=10)
    images = torch.rand(8, 1, 28, 28)
    assert not torch.equal(network.train()(images), network(images))
    assert torch.equal(network.eval()(images), network(images))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns(name):
    torch.manual_seed(0)
    network = build({"name": name}, num_classes=10)
    nn.functional.cross_entropy(network(torch.rand(8, 1, 28, 28)), torch.arange(8)).backward()
    silent = [name for name, weight in network.named_parameters() if not weight.grad.abs().sum() > 0]
    assert silent == []


def test_to_input_makes_a_fraction_of_white_out_of_each_byte():
    images = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    torch.testing.assert_close(to_input(images), torch.tensor([[[[0.0, 0.2, 1.0]]]]))
    assert images.tolist() == [[[0, 51, 255]]]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"name": "cnm"}, "'cnm'.*cnn, mlp, lenet5"),
        ({"channels": [8]}, "None"),
        ({"name": "mlp", "channels": [8]}, "'channels'.*hidden_sizes"),
        ({"name": "mlp", "num_classes": 3}, "'num_classes'"),
        ({"name": "cnn", "channels": [8, 8]}, "one entry for each block"),
        ({"name": "cnn", "crop": 8}, "leave nothing of the image"),
        ({"name": "cnn", "crop": 29}, "crop=29 does not fit the 28x28"),
        ({"name": "mlp", "std": 0}, "std=0"),
        ({"name": "lenet5", "crop": 10}, "at least 12x12"),
    ],
)
def test_settings_that_make_no_network_are_the_users_mistake(settings, named):
    with pytest.raises(UserError, match=named):
        build(settings, num_classes=10)


def test_an_ensemble_averages_the_probabilities_of_its_members():
    torch.manual_seed(0)
    small = {"name": "mlp", "hidden_sizes": [8]}
    joined = build({"name": "ensemble", "members": [small, small, {"name": "lenet5"}]}, num_classes=10).eval()
    images = torch.rand(4, 1, 28, 28)
    wanted = sum(member(images).softmax(1) for member in joined.members) / 3
    torch.testing.assert_close(joined(images).softmax(1), wanted)


def test_an_ensemble_of_none_says_how_to_get_one():
    with pytest.raises(UserError, match="experiment=ensemble"):
        build({"name": "ensemble"}, num_classes=10)
