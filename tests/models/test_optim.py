import math

import pytest
import torch
from mnist_lightning.models.optim import OPTIMIZERS, build_optimizer, build_schedule, cosine, onecycle
from torch import nn

from mnist_lightning.errors import UserError

SETTINGS = {
    "adam": {"name": "adam", "lr": 0.1, "betas": [0.9, 0.999], "weight_decay": 0.5},
    "adamw": {"name": "adamw", "lr": 0.1, "betas": [0.8, 0.99], "weight_decay": 0.5},
    "sgd": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5},
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))


def dummy(lr=1.0):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr)


def rates(schedule, count):
    """The learning rates of `count` steps."""
    found = []
    for _ in range(count):
        found.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_weight_decay_leaves_biases_and_norms_alone(network, name):
    groups = build_optimizer(SETTINGS[name], network).param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert [[tuple(weight.shape) for weight in group["params"]] for group in groups] == [
        [(4, 1, 3, 3), (3, 4)],
        [(4,), (4,), (4,), (3,)],
    ]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_without_gradient_shrinks_the_weights_only(network, name):
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    optimizer = build_optimizer(SETTINGS[name], network)
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


def test_the_knobs_reach_the_optimiser(network):
    adamw = build_optimizer(SETTINGS["adamw"], network)
    assert (type(adamw), adamw.defaults["lr"], adamw.defaults["betas"]) == (torch.optim.AdamW, 0.1, (0.8, 0.99))
    sgd = build_optimizer(SETTINGS["sgd"] | {"momentum": 0.5, "nesterov": False}, network)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.5, False)
    assert {type(build_optimizer(knobs, network)) for knobs in SETTINGS.values()} == set(OPTIMIZERS.values())


def test_frozen_weights_are_left_out(network):
    network[0].requires_grad_(False)
    network[3].weight.requires_grad_(False)
    groups = build_optimizer(SETTINGS["sgd"], network).param_groups
    assert [[tuple(weight.shape) for weight in group["params"]] for group in groups] == [[(4,), (4,), (3,)]]


def test_unknown_names_are_said(network):
    with pytest.raises(UserError, match=r"^There is no optimizer\.name=lion; choose one of adam, adamw, sgd\.$"):
        build_optimizer({"name": "lion", "lr": 1, "weight_decay": 0}, network)
    with pytest.raises(UserError, match=r"^There is no scheduler\.name=saw; choose onecycle, cosine, step, plateau or"):
        build_schedule({"name": "saw"}, dummy(), 10)


@pytest.mark.parametrize("curve", [onecycle, cosine])
@pytest.mark.parametrize(("warmup", "start", "end"), [(0.2, 0.05, 0.0), (0.5, 0.0, 0.1), (0.9, 1.0, 1.0)])
def test_a_curve_starts_peaks_and_ends_where_it_is_told(curve, warmup, start, end):
    assert curve(0, warmup, start, end) == start
    assert curve(warmup / 2, warmup, start, end) == pytest.approx((start + 1) / 2)  # linear up
    assert curve(warmup, warmup, start, end) == 1
    assert curve((1 + warmup) / 2, warmup, start, end) == pytest.approx((1 + end) / 2)  # half way down, either way
    assert curve(1, warmup, start, end) == pytest.approx(end)
    assert curve(1.5, warmup, start, end) == pytest.approx(end)


@pytest.mark.parametrize("curve", [onecycle, cosine])
def test_a_curve_without_warmup_starts_at_its_peak(curve):
    assert curve(0, 0, 0.05, 0.0) == 1


def test_the_two_curves_fall_differently():
    quarter = 0.2 + 0.8 / 4
    assert onecycle(quarter, 0.2, 0, 0) == pytest.approx(0.75)
    assert cosine(quarter, 0.2, 0, 0) == pytest.approx((1 + math.sqrt(0.5)) / 2)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("onecycle", [0.1, 0.55, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        ("cosine", [0.1, 0.55, 1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0, 0.0]),
    ],
)
def test_a_schedule_follows_its_curve_over_the_run(name, wanted):
    settings = {"name": name, "warmup": 2 / 6, "start": 0.1, "end": 0.0}
    found = rates(build_schedule(settings, dummy(lr=0.01), steps=6), 8)
    assert found == pytest.approx([0.01 * share for share in wanted], abs=1e-12)


def test_a_run_resumed_with_more_steps_goes_on_along_the_longer_curve():
    settings = {"name": "onecycle", "warmup": 0.0, "start": 0.0, "end": 0.0}
    short = build_schedule(settings, dummy(), steps=4)
    assert rates(short, 2) == [1.0, 0.75]
    longer = build_schedule(settings, dummy(), steps=8)
    longer.load_state_dict(short.state_dict())
    longer.step()
    assert longer.get_last_lr() == [1 - 3 / 8]


def test_a_run_without_steps_has_a_schedule_all_the_same():
    assert rates(build_schedule({"name": "onecycle", "warmup": 0.5, "start": 0.1, "end": 0.0}, dummy(), 0), 1) == [0.1]


def test_step_falls_every_so_many_intervals():
    schedule = build_schedule({"name": "step", "step_size": 2, "gamma": 0.1}, dummy(), 100)
    assert rates(schedule, 5) == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_a_frequency_is_the_number_of_steps_between_two_changes():
    curve = {"name": "onecycle", "warmup": 0.0, "start": 0.0, "end": 0.0, "frequency": 3}
    assert rates(build_schedule(curve, dummy(), 12), 12) == pytest.approx([1] * 3 + [0.75] * 3 + [0.5] * 3 + [0.25] * 3)
    step = {"name": "step", "step_size": 2, "gamma": 0.1, "frequency": 2}
    assert rates(build_schedule(step, dummy(), 12), 9) == pytest.approx([1] * 4 + [0.1] * 4 + [0.01])


@pytest.mark.parametrize("monitor", ["val_loss", "train_loss", "val_accuracy"])
def test_plateau_falls_when_its_metric_has_stopped_getting_better(monitor):
    optimizer = dummy()
    schedule = build_schedule({"name": "plateau", "monitor": monitor, "patience": 1, "factor": 0.5}, optimizer, 100)
    found = []
    for good in (0.1, 0.2, 0.2, 0.2, 0.3, 0.1, 0.1):
        schedule.step(good if monitor == "val_accuracy" else 1 - good)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_none_is_no_schedule():
    assert build_schedule({"name": "none"}, dummy(), 10) is None
