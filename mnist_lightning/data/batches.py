"""Which images make each batch of an epoch, and which of them a process gets where several train together.

The order depends on the run's seed and the epoch alone: it is the same for any number of processes, and a resumed run
needs no state to continue it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DistributedSampler, Sampler


class Order(Sampler[int]):
    """The images of an epoch one after another.

    Args:
        count: how many images there are.
        seed: draws the order, together with the epoch; None keeps the set's own order.

    Attributes:
        skip: batches that the next iteration leaves out at its beginning, for a run that is resumed within an epoch.
    """

    def __init__(self, count: int, seed: int | None = None) -> None:
        self.count, self.seed, self.epoch, self.skip = count, seed, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch from now on; Lightning calls it before each epoch."""
        self.epoch = epoch

    def indices(self) -> Tensor:
        """The epoch's order, int64 [count]."""
        if self.seed is None:
            return torch.arange(self.count)
        # Mixed, not added up: otherwise epoch 1 of seed 0 would have the order of epoch 0 of seed 1.
        mixed = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)
        return torch.randperm(self.count, generator=torch.Generator().manual_seed(int(mixed[0])))

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices().tolist())

    def __len__(self) -> int:
        return self.count


class Batches(BatchSampler):
    """Cuts an order into global batches and yields one process's share of each, as an int64 array.

    No image occurs twice, and shares differ by one image at most. For training the last batch of an epoch is left out
    where it has fewer than two images for each process, since batch norm needs two; for scoring nothing is left out,
    and a share may be empty.

    Args:
        sampler: the images; Lightning knows a batch sampler by this name, and makes it anew with a sampler of its own,
            for predictions or, by default, where several processes train.
        batch_size: images in a global batch, over all processes.
        rank: which of the processes this is, from 0.
        ranks: how many there are.
        drop_last: whether a last batch of fewer than two images for each process is left out, as in training.
            Lightning sets it to False for predictions.
        order: the images once more. It takes the place of Lightning's DistributedSampler: with that, each process
            would get its share of a share.
    """

    sampler: Order

    def __init__(
        self,
        sampler: Order,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        drop_last: bool = True,
        order: Order | None = None,
    ) -> None:
        if order is not None and isinstance(sampler, DistributedSampler):
            sampler = order
        super().__init__(sampler, batch_size, drop_last)
        self.rank, self.ranks = rank, ranks

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + (rest >= 2 * self.ranks if self.drop_last else rest > 0)

    def weight(self, index: int) -> float:
        """Weight of this process's mean over its share of a batch, in the mean over processes: 1 for equal shares.

        With it the mean of the processes' losses is the loss of the global batch, and so are the gradients.
        """
        size = min(self.batch_size, len(self.sampler) - index * self.batch_size)
        share = size // self.ranks + (self.rank < size % self.ranks)
        return share * self.ranks / size

    def __iter__(self) -> Iterator[np.ndarray]:  # type: ignore[override]
        # An array, since its slices are the cheapest to cut, to send to a loader process, and to turn into tensors.
        first = 0
        if isinstance(self.sampler, Order):
            order = self.sampler.indices().numpy()
            first, self.sampler.skip = self.sampler.skip, 0
        else:  # Lightning's, for predictions
            order = np.fromiter(self.sampler, np.int64)
        for start in range(first * self.batch_size, len(self) * self.batch_size, self.batch_size):
            batch = order[start : start + self.batch_size]
            yield batch if self.ranks == 1 else np.array_split(batch, self.ranks)[self.rank]
