import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR

from mnist_lightning.errors import UserError
from mnist_lightning.models.schedule import Schedule, as_schedule, cosine, onecycle, plateau, step


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


def at(curve, progress, warmup, start, end):
    """The factor of a curve when a share of the run is done, of a run so long that any share is a step."""
    return curve(warmup, start, end).build(dummy(), 10**6).lr_lambdas[0](round(progress * 10**6))


@pytest.mark.parametrize("curve", [onecycle, cosine])
@pytest.mark.parametrize(("warmup", "start", "end"), [(0.2, 0.05, 0.0), (0.5, 0.0, 0.1), (0.9, 1.0, 1.0)])
def test_a_curve_starts_peaks_and_ends_where_it_should(curve, warmup, start, end):
    assert at(curve, 0, warmup, start, end) == start
    assert at(curve, warmup / 2, warmup, start, end) == pytest.approx((start + 1) / 2)  # linear up
    assert at(curve, warmup, warmup, start, end) == 1
    assert at(curve, (1 + warmup) / 2, warmup, start, end) == pytest.approx((1 + end) / 2)  # half way down, either way
    assert at(curve, 1, warmup, start, end) == pytest.approx(end)
    assert at(curve, 1.5, warmup, start, end) == pytest.approx(end)


@pytest.mark.parametrize("curve", [onecycle, cosine])
def test_a_curve_without_warmup_starts_at_its_peak(curve):
    assert at(curve, 0, 0, 0.05, 0.0) == 1


def test_the_two_curves_fall_differently():
    quarter = 0.2 + 0.8 / 4
    assert at(onecycle, quarter, 0.2, 0, 0) == pytest.approx(0.75)
    assert at(cosine, quarter, 0.2, 0, 0) == pytest.approx((1 + math.sqrt(0.5)) / 2)


@pytest.mark.parametrize(
    ("curve", "wanted"),
    [
        (onecycle, [0.1, 0.55, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        (cosine, [0.1, 0.55, 1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0, 0.0]),
    ],
)
def test_a_schedule_follows_its_curve_over_the_run(curve, wanted):
    found = rates(curve(2 / 6, 0.1, 0.0).build(dummy(lr=0.01), 6), 8)
    assert found == pytest.approx([0.01 * share for share in wanted], abs=1e-12)


def test_a_run_resumed_with_more_steps_goes_on_along_the_longer_curve():
    fall = onecycle(warmup=0.0, start=0.0, end=0.0)
    short = fall.build(dummy(), 4)
    assert rates(short, 2) == [1.0, 0.75]
    longer = fall.build(dummy(), 8)
    longer.load_state_dict(short.state_dict())
    longer.step()
    assert longer.get_last_lr() == [1 - 3 / 8]


def test_a_run_without_steps_has_a_schedule_all_the_same():
    assert rates(onecycle(0.5, 0.1).build(dummy(), 0), 1) == [0.1]


def test_step_falls_every_so_many_intervals():
    assert rates(step(2, 0.1).build(dummy(), 100), 5) == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_a_frequency_is_the_number_of_steps_between_two_changes():
    curve = onecycle(0.0, 0.0, 0.0, frequency=3)
    assert rates(curve.build(dummy(), 12), 12) == pytest.approx([1] * 3 + [0.75] * 3 + [0.5] * 3 + [0.25] * 3)
    assert rates(step(2, 0.1, frequency=2).build(dummy(), 12), 9) == pytest.approx([1] * 4 + [0.1] * 4 + [0.01])


@pytest.mark.parametrize("monitor", ["val_loss", "train_loss", "val_accuracy"])
def test_plateau_falls_when_its_metric_has_stopped_getting_better(monitor):
    optimizer = dummy()
    schedule = plateau(monitor, patience=1, factor=0.5).build(optimizer, 100)
    found = []
    for good in (0.1, 0.2, 0.2, 0.2, 0.3, 0.1, 0.1):
        schedule.step(good if monitor == "val_accuracy" else 1 - good)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_plateau_cannot_look_in_the_midst_of_an_epoch():
    with pytest.raises(UserError, match=r"^scheduler\.interval=step cannot be combined with scheduler=plateau"):
        plateau(interval="step")


def test_none_is_no_schedule_and_a_schedule_is_one():
    assert as_schedule(None) is None
    assert as_schedule(made := onecycle()) is made


def test_a_schedule_of_torch_is_stepped_per_epoch_and_told_the_length_of_the_run_where_it_asks():
    given = as_schedule(partial(ExponentialLR, gamma=0.5))
    assert (type(given), given.interval) == (Schedule, "epoch")
    assert rates(given.build(dummy(), 9), 3) == [1, 0.5, 0.25]
    per_step = Schedule(partial(OneCycleLR, max_lr=2.0), "step")
    assert per_step.build(dummy(), 40).total_steps == 40
