"""The random numbers of a batch follow from seed, epoch, batch and rank alone."""

from types import SimpleNamespace

import torch

from mnist_lightning.callbacks.seeding import Seeding
from mnist_lightning.distributed import ranks


def trainer(epoch, ready=0):
    progress = SimpleNamespace(current=SimpleNamespace(ready=ready))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    return SimpleNamespace(
        current_epoch=epoch, fit_loop=loop, state=SimpleNamespace(fn="fit"), sanity_checking=False,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip


def draws(seed=0, epochs=2, batches=3):
    """What each batch of a run draws."""
    seeding, found = Seeding(seed), {}
    seeding.on_train_start(trainer(0), None)
    for epoch in range(epochs):
        seeding.on_train_epoch_start(trainer(epoch), None)
        for batch in range(batches):
            found[epoch, batch] = float(torch.rand(()))
            torch.rand(batch)  # whatever else is drawn
            seeding.on_train_batch_end(trainer(epoch), None, None, None, batch)
        torch.rand(7)
        seeding.on_validation_end(trainer(epoch, batches), None)
    return found


def test_each_batch_draws_its_own_and_a_run_repeats_itself():
    torch.manual_seed(1)
    first = draws()
    torch.manual_seed(2)
    assert draws() == first
    assert len(set(first.values())) == 6
    assert draws(seed=1) != first


def test_a_run_resumed_within_an_epoch_goes_on_with_its_batch():
    wanted = draws()
    seeding = Seeding(0)
    seeding.on_train_start(trainer(1, ready=2), None)
    assert float(torch.rand(())) == wanted[1, 2]


def test_each_rank_draws_its_own(monkeypatch):
    alone = draws()
    monkeypatch.setattr(ranks, "place", lambda: ranks.Place(1, 2, 1, 2))
    assert not set(draws().values()) & set(alone.values())


def test_a_long_epoch_has_a_seed_for_each_batch():
    seeding = Seeding(0)
    for batch in (5000, 9000):
        seeding.on_train_batch_end(trainer(0), None, None, None, batch)
        first = float(torch.rand(()))
        again = Seeding(0)
        again.on_train_batch_end(trainer(0), None, None, None, batch)
        assert float(torch.rand(())) == first


def test_the_generator_of_a_mac_is_seeded_as_well(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    alone = trainer(0)
    alone.strategy.root_device = torch.device("mps")
    Seeding(0).on_train_start(alone, None)
    assert seeds == [torch.initial_seed()]
