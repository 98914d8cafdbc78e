from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from mnist_lightning.errors import UserError
from mnist_lightning.models.optimizer import DEFAULT, build_optimizer

MAKERS = {
    "adam": partial(Adam, lr=0.1, betas=[0.9, 0.999], weight_decay=0.5, fused=True),
    "adamw": partial(AdamW, lr=0.1, betas=[0.8, 0.99], weight_decay=0.5, fused=True),
    "sgd": partial(SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.5, fused=True),
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize("name", MAKERS)
def test_weight_decay_leaves_biases_and_norms_alone(network, name):
    groups = build_optimizer(MAKERS[name], network).param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert [[tuple(weight.shape) for weight in group["params"]] for group in groups] == [
        [(4, 1, 3, 3), (3, 4)],
        [(4,), (4,), (4,), (3,)],
    ]


@pytest.mark.parametrize("name", MAKERS)
def test_a_step_without_gradient_shrinks_the_weights_only(network, name):
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    optimizer = build_optimizer(MAKERS[name], network)
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for weight_name, weight in network.named_parameters():
        if weight.ndim == 1:
            assert torch.equal(weight, before[weight_name])
        elif name == "adamw":  # decoupled: lr * decay
            torch.testing.assert_close(weight, before[weight_name] * (1 - 0.1 * 0.5))
        elif name == "sgd":  # gradient decay * w, and Nesterov looks one momentum ahead
            torch.testing.assert_close(weight, before[weight_name] * (1 - 0.1 * 0.5 * 1.9))
        else:  # Adam's first step is lr in the direction of the gradient, whatever its length
            torch.testing.assert_close(weight, before[weight_name] - 0.1 * before[weight_name].sign())


def test_the_arguments_reach_the_optimizer(network):
    adamw = build_optimizer(MAKERS["adamw"], network)
    assert (type(adamw), adamw.defaults["lr"], adamw.defaults["betas"]) == (AdamW, 0.1, (0.8, 0.99))
    sgd = build_optimizer(partial(MAKERS["sgd"], momentum=0.5, nesterov=False), network)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.5, False)


def test_any_optimizer_will_do_with_or_without_weight_decay(network):
    assert len(build_optimizer(partial(RMSprop, lr=0.1), network).param_groups) == 1
    assert len(build_optimizer(partial(RMSprop, lr=0.1, weight_decay=0.1), network).param_groups) == 2
    assert build_optimizer(torch.optim.Rprop, network).defaults["lr"] == 0.01  # it knows no weight decay at all
    assert build_optimizer(lambda groups: SGD(groups, 0.25), network).defaults["lr"] == 0.25
    assert build_optimizer(DEFAULT, network).defaults["lr"] == 0.02


def test_frozen_weights_are_left_out(network):
    network[0].requires_grad_(False)
    network[3].weight.requires_grad_(False)
    groups = build_optimizer(MAKERS["sgd"], network).param_groups
    assert [[tuple(weight.shape) for weight in group["params"]] for group in groups] == [[(4,), (4,), (3,)]]


@pytest.mark.parametrize(
    ("maker", "told"),
    [
        (partial(SGD, lr=-1), r"^optimizer= cannot be built: Invalid learning rate: -1\.$"),
        (partial(SGD, lr=0.1, momentun=0.9), r"^optimizer= cannot be built: .*unexpected keyword argument 'momentun'"),
        (partial(Adam, betas=(0.9, 1.5)), r"^optimizer= cannot be built: Invalid beta parameter at index 1: 1\.5\.$"),
    ],
)
def test_what_an_optimizer_refuses_is_said(network, maker, told):
    with pytest.raises(UserError, match=told):
        build_optimizer(maker, network)
