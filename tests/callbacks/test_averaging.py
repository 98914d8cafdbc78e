from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from mnist_lightning.callbacks.averaging import Averaging


class Tiny(pl.LightningModule):
    """Two weights, and a batch norm for its buffers: averages and a counter."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.0, 0.0]))
        self.norm = nn.BatchNorm1d(1)


@pytest.fixture
def run():
    """`run(averaging, weights)`: train one step to each of the weights, return the average after each."""
    module = Tiny()

    def run(averaging, weights):
        averaging.setup(None, module, "fit")
        averages = []
        for step, weight in enumerate(weights, start=1):
            module.weight.data.fill_(weight)
            module.norm.running_mean.fill_(10 * weight)
            module.norm.num_batches_tracked.fill_(step)
            averaging.on_train_batch_end(SimpleNamespace(global_step=step), module, None, None, step - 1)
            averages.append(float(averaging._average_model.module.weight[0].detach()))
        return averages

    run.module = module
    return run


def test_the_average_is_the_exponential_one_and_young_averages_forget_fast(run):
    # The first update takes the weights over; then keep = min(decay, (1 + n) / (10 + n)).
    first = 1.0
    second = first * 2 / 11 + 5.0 * 9 / 11
    third = second * 3 / 12 + 2.0 * 9 / 12
    fourth = third * 4 / 13 + 7.0 * 9 / 13
    assert run(Averaging(0.99, 1), [1.0, 5.0, 2.0, 7.0]) == pytest.approx([first, second, third, fourth])


def test_the_decay_is_the_most_that_is_kept(run):
    second = 1.0 * 2 / 11 + 5.0 * 9 / 11
    third = second * 0.2 + 2.0 * 0.8  # 3 / 12 would be more
    assert run(Averaging(0.2, 1), [1.0, 5.0, 2.0, 7.0]) == pytest.approx([1, second, third, third * 0.2 + 7.0 * 0.8])


def test_a_long_run_keeps_the_decay(run):
    constant = run(Averaging(0.9, 1), [1.0] * 100 + [2.0] * 3)
    assert constant[99] == pytest.approx(1)
    assert constant[100:] == pytest.approx([1.1, 1.19, 1.271])


def test_updates_come_every_so_many_steps(run):
    averages = run(Averaging(0.99, 3), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    second = 3.0 * 2 / 11 + 6.0 * 9 / 11
    assert averages == pytest.approx([0, 0, 3, 3, 3, second, second])


def test_batches_that_only_add_up_gradients_are_no_steps(run):
    averaging = Averaging(0.5, 1)
    run(averaging, [1.0])
    run.module.weight.data.fill_(9.0)
    averaging.on_train_batch_end(SimpleNamespace(global_step=1), run.module, None, None, 1)
    assert averaging._average_model.module.weight.tolist() == [1, 1]


def test_the_end_of_an_epoch_is_no_update():
    averaging = Averaging(0.5, 1)
    assert not averaging.should_update(epoch_idx=4)
    assert averaging.should_update(step_idx=0)


def fitting(step):
    """As much of a Trainer as is asked in the midst of a fit."""
    return SimpleNamespace(global_step=step, state=SimpleNamespace(fn="fit"))


@pytest.mark.parametrize("moment", ["validation", "end"])
def test_an_epoch_without_an_update_leaves_the_weights_that_were_trained_and_not_those_from_before(run, moment):
    averaging = Averaging(0.99, 5)
    assert run(averaging, [3.0, 4.0]) == [0, 0]
    if moment == "validation":
        averaging.on_validation_epoch_start(fitting(2), run.module)
        assert run.module.weight.tolist() == [4, 4]
        averaging.on_validation_epoch_end(fitting(2), run.module)
    averaging.on_train_end(fitting(2), run.module)
    assert run.module.weight.tolist() == [4, 4]


def test_a_checkpoint_before_the_first_update_holds_the_weights_of_that_moment(run):
    averaging = Averaging(0.99, 5)
    run(averaging, [3.0, 4.0])
    kept = {"state_dict": run.module.state_dict()}
    averaging.on_save_checkpoint(fitting(2), run.module, kept)
    assert kept["state_dict"]["weight"].tolist() == [4, 4]


def test_a_sanity_check_is_no_update(run):
    averaging = Averaging(0.99, 5)
    run(averaging, [])
    averaging.on_validation_epoch_start(fitting(0), run.module)
    averaging.on_validation_epoch_end(fitting(0), run.module)
    assert not averaging.started
    assert averaging.state_dict()["started"] is False


def test_a_decay_of_zero_switches_it_off():
    assert not Averaging(0.0).active
    assert Averaging().active


def test_buffers_are_averaged_and_counters_copied(run):
    averaging = Averaging(0.99, 1)
    averages = run(averaging, [1.0, 5.0, 2.0])
    norm = averaging._average_model.module.norm
    assert float(norm.running_mean) == pytest.approx(10 * averages[-1])
    assert int(norm.num_batches_tracked) == 3


def test_validation_sees_the_average_and_training_goes_on_from_the_last_weights(run):
    averaging = Averaging(0.99, 1)
    averages = run(averaging, [1.0, 5.0])
    averaging.on_validation_epoch_start(None, run.module)
    assert run.module.weight.tolist() == pytest.approx([averages[-1]] * 2)
    averaging.on_validation_epoch_end(None, run.module)
    assert run.module.weight.tolist() == [5, 5]
    averaging.on_train_end(None, run.module)
    assert run.module.weight.tolist() == pytest.approx([averages[-1]] * 2)


def test_a_resumed_average_goes_on_as_if_nothing_had_happened(run):
    whole = run(Averaging(0.9, 2), [1.0, 5.0, 2.0, 7.0, 3.0, 8.0])
    first = Averaging(0.9, 2)
    run(first, [1.0, 5.0, 2.0])
    kept = {"state_dict": {name: value.clone() for name, value in run.module.state_dict().items()}}
    first.on_save_checkpoint(None, run.module, kept)
    state = first.state_dict()

    second = Averaging(0.9, 2)
    second.setup(None, run.module, "fit")
    second.load_state_dict(state)
    second.on_load_checkpoint(None, run.module, kept)
    assert run.module.weight.tolist() == [2, 2]  # the current weights, not the average
    averages = []
    for step, weight in ((4, 7.0), (5, 3.0), (6, 8.0)):
        run.module.weight.data.fill_(weight)
        second.on_train_batch_end(SimpleNamespace(global_step=step), run.module, None, None, 0)
        averages.append(float(second._average_model.module.weight[0].detach()))
    assert averages == whole[3:]
