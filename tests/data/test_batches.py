import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DistributedSampler

from mnist_lightning.data.batches import Batches, Order


def shares(count, batch_size, ranks, seed=3, **knobs):
    """For each rank its batches, as lists."""
    return [
        [batch.tolist() for batch in Batches(Order(count, seed), batch_size, rank, ranks, **knobs)]
        for rank in range(ranks)
    ]


@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize("count", [64, 77, 80, 83])
def test_a_step_of_several_ranks_takes_the_images_of_the_same_step_of_one(count, ranks):
    [alone], several = shares(count, 16, 1), shares(count, 16, ranks)
    steps = len(alone) if count % 16 == 0 or count % 16 >= 2 * ranks else len(alone) - 1
    assert {len(batches) for batches in several} == {steps}
    for step in range(steps):
        parts = [batches[step] for batches in several]
        assert sorted(itertools.chain(*parts)) == sorted(alone[step])
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert min(map(len, parts)) >= 2


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 5, 20, 23])
def test_scoring_takes_each_image_once_however_it_divides(count, ranks):
    several = shares(count, 10, ranks, seed=None, drop_last=False)
    assert sorted(index for batches in several for batch in batches for index in batch) == list(range(count))
    assert {len(batches) for batches in several} == {-(-count // 10)}  # ranks meet at each batch, be it empty


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_weighted_mean_over_ranks_is_the_mean_over_the_global_batch(ranks):
    values = torch.rand(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alone = Batches(Order(40, 0), 17)
    several = [Batches(Order(40, 0), 17, rank, ranks) for rank in range(ranks)]
    assert [alone.weight(step) for step in range(3)] == [1, 1, 1]
    for step, (whole, *parts) in enumerate(zip(alone, *several, strict=False)):
        mean = sum(each.weight(step) * values[part].mean() for each, part in zip(several, parts, strict=True)) / ranks
        torch.testing.assert_close(mean, values[whole].mean())


def test_an_epoch_has_an_order_of_its_own_and_every_image():
    order = Order(500, seed=0)
    orders = {}
    for epoch in (0, 1, 2):
        order.set_epoch(epoch)
        orders[epoch] = order.indices().tolist()
        assert sorted(orders[epoch]) == list(range(500))
        assert list(order) == orders[epoch]
    assert len(set(map(tuple, orders.values()))) == 3
    order.set_epoch(1)
    assert order.indices().tolist() == orders[1]
    assert Order(500, seed=1).indices().tolist() not in orders.values()  # no run begins where another goes on


def test_without_a_seed_images_keep_their_order():
    assert Order(5).indices().tolist() == [0, 1, 2, 3, 4]
    assert [batch.tolist() for batch in Batches(Order(5), 2)] == [[0, 1], [2, 3]]  # batch norm needs two
    assert [batch.tolist() for batch in Batches(Order(5), 2, drop_last=False)] == [[0, 1], [2, 3], [4]]


def test_a_batch_is_an_array():
    [batch] = Batches(Order(4, 0), 4)
    assert isinstance(batch, np.ndarray)
    assert batch.dtype == np.int64


@pytest.mark.parametrize("drop_last", [True, False])
def test_lightnings_own_sampler_for_several_ranks_shares_nothing_out_again(drop_last):
    """By default a Trainer makes the batch sampler anew, with a DistributedSampler in it."""
    ranks, order = 2, Order(100, seed=3)
    plain, again = [], []
    for rank in range(ranks):
        lightnings = DistributedSampler(range(100), ranks, rank)
        plain += list(Batches(order, 10, rank, ranks, drop_last=drop_last, order=order))
        again += list(Batches(lightnings, 10, rank, ranks, drop_last=drop_last, order=order))
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in plain]
    assert sorted(np.concatenate(again).tolist()) == list(range(100))
