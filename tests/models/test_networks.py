import pytest
import torch
from torch import nn

from mnist_lightning.errors import UserError
from mnist_lightning.models import CNN, MLP, Ensemble, LeNet5
from mnist_lightning.models.network import to_input

NETWORKS = (CNN, MLP, LeNet5)


def parameters(network):
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("made", NETWORKS)
@pytest.mark.parametrize("crop", [None, 24])
def test_turns_images_into_logits_of_as_many_classes_as_the_data_has(made, crop):
    assert made(num_classes=7, crop=crop)(torch.rand(3, 1, 28, 28)).shape == (3, 7)


@pytest.mark.parametrize("made", NETWORKS)
def test_takes_images_of_another_size(made):
    network = made(image_size=32)
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 10)
    assert network.example.shape == (2, 1, 32, 32)


def test_sizes_of_the_networks_are_those_of_their_settings():
    mlp = MLP(hidden_sizes=[30, 20])
    assert parameters(mlp) == (784 * 30 + 2 * 30) + (30 * 20 + 2 * 20) + (20 * 10 + 10)
    assert parameters(LeNet5()) == 61_706  # the count that is quoted for LeNet-5
    cnn = CNN(channels=[4, 6], kernels=[5, 3], pools=[2, 1], crop=24)  # 24 -> 20 -> 10 -> 8
    assert parameters(cnn) == 25 * 4 + 2 * 4 + 9 * 4 * 6 + 2 * 6 + (6 * 8 * 8 * 10 + 10)


def test_padding_keeps_the_size_of_the_map():
    knobs = {"channels": [2], "kernels": [5], "pools": [2]}
    assert CNN(**knobs, padding=True).head.in_features == 2 * 14 * 14
    assert CNN(**knobs, padding=False).head.in_features == 2 * 12 * 12


def test_crop_hides_the_border_and_nothing_else():
    network = CNN(crop=24).eval()
    images = torch.rand(2, 1, 28, 28)
    border, inside = images.clone(), images.clone()
    border[:, :, :2], border[:, :, :, -2:] = 0, 0
    inside[:, :, 2] = 0
    assert torch.equal(network(border), network(images))
    assert not torch.equal(network(inside), network(images))


def test_raw_pixels_are_normalised_inside_the_network():
    network = MLP(mean=0.25, std=0.5)
    prepared = network.prepare(torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3).expand(1, 1, 28, 3))
    assert prepared[0, 0, 0].tolist() == [-0.5, 0.0, 1.5]


@pytest.mark.parametrize("made", NETWORKS)
def test_neither_brightness_nor_contrast_reach_a_network_that_standardizes(made):
    torch.manual_seed(0)
    network = made(standardize=True).eval()
    images = torch.rand(4, 1, 28, 28)
    prepared = network.prepare(images)
    torch.testing.assert_close(prepared.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(prepared.std((1, 2, 3)), torch.ones(4), atol=2e-3, rtol=0.0)
    torch.testing.assert_close(network(images * 0.5 + 0.4), network(images), atol=5e-3, rtol=0.0)


def test_an_even_image_stays_even_where_the_network_standardizes():
    assert CNN(standardize=True).prepare(torch.full((2, 1, 28, 28), 0.3)).abs().max() < 1e-3


def test_weights_alone_carry_the_normalisation_over():
    saved, fresh = CNN(mean=0.5, std=2.0).eval(), CNN().eval()
    fresh.load_state_dict(saved.state_dict())
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(fresh(images), saved(images))


def test_names_in_the_state_dict_stay_as_they_are():
    assert [name for name in CNN().state_dict() if "norm" not in name] == [
        "prepare.mean",
        "prepare.std",
        "blocks.0.conv.weight",
        "blocks.1.conv.weight",
        "blocks.2.conv.weight",
        "head.weight",
        "head.bias",
    ]


@pytest.mark.parametrize("made", [CNN, MLP])
def test_dropout_changes_training_and_not_evaluation(made):
    network = made(dropout=0.5)
    images = torch.rand(8, 1, 28, 28)
    assert not torch.equal(network.train()(images), network(images))
    assert torch.equal(network.eval()(images), network(images))


@pytest.mark.parametrize("made", NETWORKS)
def test_every_weight_learns(made):
    torch.manual_seed(0)
    network = made()
    nn.functional.cross_entropy(network(torch.rand(8, 1, 28, 28)), torch.arange(8)).backward()
    silent = [name for name, weight in network.named_parameters() if not weight.grad.abs().sum() > 0]
    assert silent == []


def test_to_input_makes_a_fraction_of_white_out_of_each_byte():
    images = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    torch.testing.assert_close(to_input(images), torch.tensor([[[[0.0, 0.2, 1.0]]]]))
    assert images.tolist() == [[[0, 51, 255]]]


@pytest.mark.parametrize(
    ("made", "knobs", "named"),
    [
        (CNN, {"channels": [8, 8]}, "one entry per block"),
        (CNN, {"channels": [], "kernels": [], "pools": []}, "one entry per block"),
        (CNN, {"crop": 8}, "leave nothing of the image"),
        (CNN, {"crop": 29}, "crop=29 does not fit the 28x28"),
        (MLP, {"std": 0}, "std=0"),
        (LeNet5, {"crop": 10}, "at least 12x12"),
    ],
)
def test_arguments_that_make_no_network_are_the_users_mistake(made, knobs, named):
    with pytest.raises(UserError, match=named):
        made(**knobs)


def test_a_network_remembers_all_its_arguments_as_plain_data():
    network = MLP(5, hidden_sizes=(3, 4), crop=20)
    assert network.arguments == {
        "num_classes": 5, "hidden_sizes": [3, 4], "dropout": 0.0, "image_size": 28, "inputs": ["image"], "crop": 20,
        "mean": 0.1307, "std": 0.3081, "standardize": False,
    }  # fmt: skip


def test_a_network_of_ones_own_remembers_its_arguments_without_doing_anything_for_it():
    from mnist_lightning import Network

    class Mine(Network):
        def __init__(self, width, num_classes=10, **prepare):
            super().__init__(**prepare)
            self.head = nn.Linear(28 * 28, num_classes)

    assert Mine(3, std=0.5).arguments["width"] == 3
    assert Mine(width=4).arguments["std"] == 0.3081
    assert "arguments" not in Mine(3).state_dict()


def test_an_ensemble_averages_the_probabilities_of_its_members():
    torch.manual_seed(0)
    joined = Ensemble([MLP(hidden_sizes=[8]), MLP(hidden_sizes=[8]), LeNet5()]).eval()
    images = torch.rand(4, 1, 28, 28)
    wanted = sum(member(images).softmax(1) for member in joined.members) / 3
    torch.testing.assert_close(joined(images).softmax(1), wanted)


def test_an_ensemble_of_none_says_how_to_get_one():
    with pytest.raises(UserError, match="experiment=ensemble"):
        Ensemble([])
