import math

import pytest
import torch

from mnist_lightning.errors import UserError
from mnist_lightning.models import CNN, MLP, LeNet5
from mnist_lightning.models.prepare import deslanted


def bars(*slants, size=28):
    """A soft bar through the middle of each image, `slant` pixels sideways per pixel downwards: [N, 1, size, size]."""
    middle = (size - 1) / 2
    y, x = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    images = [torch.exp(-((x - middle - slant * (y - middle)) ** 2) / 4) for slant in slants]
    inside = (y - middle).abs() < 9
    return torch.stack(images).mul(inside).unsqueeze(1)


def slants(images):
    """The slope of a line through the ink, least squares sideways."""
    ink = images.squeeze(1).double()
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    mass = ink.sum((1, 2))
    x = x - ((ink * x).sum((1, 2)) / mass).view(-1, 1, 1)
    y = y - ((ink * y).sum((1, 2)) / mass).view(-1, 1, 1)
    return (ink * x * y).sum((1, 2)) / (ink * y * y).sum((1, 2))


def test_the_slant_is_taken_out_and_an_upright_image_stays_as_it_is():
    images = bars(0.0, 0.4, -0.4)
    upright = deslanted(images)
    assert slants(images)[1:].abs().min() > 0.35
    assert slants(upright).abs().max() < 0.02
    torch.testing.assert_close(upright[0], images[0], atol=1e-5, rtol=0.0)
    torch.testing.assert_close(upright, images[:1].expand(3, -1, -1, -1), atol=0.06, rtol=0.0)


def test_the_centre_of_mass_stays_where_it_is():
    images = torch.roll(bars(0.3), (3, -4), (2, 3))
    rows = torch.arange(28.0).view(28, 1)
    for along in (rows, rows.T):
        before, after = ((each * along).sum() / each.sum() for each in (images, deslanted(images)))
        assert abs(before - after) < 0.05


def test_each_image_has_its_own_slant():
    images = bars(0.5, -0.2, 0.1)
    torch.testing.assert_close(deslanted(images)[1:2], deslanted(images[1:2]))


@pytest.mark.parametrize("image", [torch.zeros(1, 1, 28, 28), torch.ones(1, 1, 28, 28), bars(3.0)])
def test_nothing_makes_it_fail(image):
    found = deslanted(image)
    assert found.isfinite().all()
    assert (found >= 0).all()
    assert (found <= 1.0001).all()


def test_a_dot_is_not_sheared_away():
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 14, 10] = 1.0
    torch.testing.assert_close(deslanted(image), image, atol=1e-4, rtol=0.0)


def test_the_channels_are_those_asked_for_in_their_order():
    images = bars(0.4)
    prepare = CNN(inputs=("deslanted", "image"), mean=0.0, std=1.0).prepare
    torch.testing.assert_close(prepare(images), torch.cat([deslanted(images), images], 1))
    assert prepare.channels == 2


@pytest.mark.parametrize("made", [CNN, MLP, LeNet5])
def test_any_network_can_see_both(made):
    torch.manual_seed(0)
    network = made(inputs=["image", "deslanted"]).eval()
    straight = made(inputs=["deslanted"]).eval()
    images = bars(0.0, 0.4)
    assert network(images).shape == (2, 10)
    assert math.isclose(*straight(images)[:, 0].tolist(), rel_tol=0.2, abs_tol=0.05)  # upright, the two are alike


@pytest.mark.parametrize("inputs", [[], ["picture"]])
def test_unknown_inputs_are_named(inputs):
    with pytest.raises(UserError, match=r"model.inputs=.* image, deslanted"):
        CNN(inputs=inputs)


def test_standardizing_is_for_each_channel():
    prepared = CNN(inputs=("image", "deslanted"), standardize=True).prepare(bars(0.4, 0.0))
    torch.testing.assert_close(prepared.mean((2, 3)), torch.zeros(2, 2), atol=1e-5, rtol=0.0)


def test_gradients_reach_the_image():
    image = bars(0.3).requires_grad_()
    CNN(inputs=("deslanted",)).prepare(image).square().sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad.abs().sum() > 0
