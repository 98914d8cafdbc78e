"""The baseline: the same training as the framework's, in a plain PyTorch loop tuned by hand.

    python benchmarks/reference_loop.py --data data/MNIST/raw

No Lightning, no Hydra, no config files. Networks, augmentation, optimiser and schedule are the project's own, so the
two sides differ only in who runs the loop. What makes the framework fast belongs in here as well.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout without installation

from mnist_lightning.run.machine import keep_freed_memory, pick_precision, wait_briefly

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

precision = functools.cache(pick_precision)
VAL_SIZE = 5000  # as the framework sets aside of MNIST's 60,000


@dataclass
class Recipe:
    """Everything that decides what is trained and how; names as in `conf/`, without their groups."""

    model: dict[str, Any] = field(default_factory=lambda: {"name": "cnn"})  # as in conf/model/
    augment: dict[str, Any] = field(default_factory=dict)  # as in conf/augment/; empty for none
    epochs: int = 1
    batch_size: int = 128
    lr: float = 0.005  # peak of the schedule
    weight_decay: float = 0.0
    warmup: float = 0.2  # share of the run
    start: float = 0.05  # first learning rate, as a fraction of the peak
    label_smoothing: float = 0.05
    ema_decay: float = 0.98  # 0: no averaging
    ema_every: int = 5  # steps
    limit: int = 0  # use only this many training and validation images; 0: all
    seed: int = 0


@dataclass
class Data:
    """uint8 images [N, 28, 28] and int64 labels [N] of the three splits, on the device."""

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def load(folder: Path, device: str) -> Data:
    """Read MNIST's four IDX files (plain or .gz) and split as the framework does with `data=mnist`."""
    import torch

    from mnist_lightning.data.idx import decode_idx, read_idx

    def read(name: str) -> Tensor:
        plain = folder / name
        packed = folder / f"{name}.gz"
        values = read_idx(plain) if plain.exists() else decode_idx(gzip.decompress(packed.read_bytes()))
        return torch.from_numpy(values.copy()).to(device)

    images, labels = read("train-images-idx3-ubyte"), read("train-labels-idx1-ubyte").long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).to(device)
    val, train = order[:VAL_SIZE].sort().values, order[VAL_SIZE:].sort().values
    return Data(
        (images[train], labels[train]),
        (images[val], labels[val]),
        (read("t10k-images-idx3-ubyte"), read("t10k-labels-idx1-ubyte").long()),
    )


def autocast(device: str) -> torch.autocast:
    """The framework's precision: bfloat16 where the hardware multiplies it."""
    import torch

    return torch.autocast(device, torch.bfloat16, enabled=precision(device) == "bf16-mixed", cache_enabled=False)


def onecycle(progress: float, warmup: float, start: float) -> float:
    """Learning rate, as a fraction of its peak, at `progress` (0 to 1) of the run: linear up, linear down to 0."""
    if progress < warmup:
        return start + (1 - start) * progress / warmup
    return 1 - (min(progress, 1) - warmup) / (1 - warmup)


def train(recipe: Recipe, data: Data) -> dict[str, Any]:
    """Train once and score the last averaged weights.

    Returns:
        `fit_seconds` of all epochs, with validation after each; `train_seconds` without it;
        `val_accuracy` and `test_accuracy` of the last weights, fractions; `history`, one validation accuracy per epoch.
    """
    import torch
    from torch.nn import functional as F

    from mnist_lightning.data.augment import Augment
    from mnist_lightning.models.build import build
    from mnist_lightning.models.cuda_graph import Graphed
    from mnist_lightning.models.network import to_input
    from mnist_lightning.models.optimizer import build_optimizer

    torch.manual_seed(recipe.seed)
    images, labels = data.train
    if recipe.limit:
        images, labels = images[: recipe.limit], labels[: recipe.limit]
    device = images.device.type
    network = build(recipe.model, num_classes=10).to(device).to(memory_format=torch.channels_last)
    augment = (
        Augment(**{key: each for key, each in recipe.augment.items() if key != "_target_"}) if recipe.augment else None
    )
    optimizer = build_optimizer(
        functools.partial(torch.optim.Adam, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True), network
    )

    def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
        with autocast(device):
            logits = network(inputs)
        return F.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)

    step_loss = Graphed(loss_of, [network])
    live = [tensor.detach() for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]
    average = [tensor.clone() for tensor in live]

    steps = recipe.epochs * -(-len(labels) // recipe.batch_size)
    step, validating, history = 0, 0.0, []
    started = time.perf_counter()
    for _ in range(recipe.epochs):
        network.train()
        order = torch.randperm(len(labels), device=device)
        for batch in order.split(recipe.batch_size):
            rate = recipe.lr * onecycle(step / steps, recipe.warmup, recipe.start)
            for group in optimizer.param_groups:
                group["lr"] = rate
            inputs = to_input(images[batch])
            if augment is not None:
                inputs = augment(inputs)
            loss = step_loss(inputs, labels[batch])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            if recipe.ema_decay and step % recipe.ema_every == 0:
                updates = step // recipe.ema_every - 1
                keep = min(recipe.ema_decay, (1 + updates) / (10 + updates)) if updates else 0.0
                torch._foreach_lerp_(average, live, 1 - keep)
        paused = time.perf_counter()
        with _swapped(live, average, recipe.ema_decay > 0):
            history.append(accuracy(network, data.val))
        validating += time.perf_counter() - paused
    if device == "cuda":
        torch.cuda.synchronize()
    fit_seconds = time.perf_counter() - started
    with _swapped(live, average, recipe.ema_decay > 0):
        val_accuracy, test_accuracy = accuracy(network, data.val), accuracy(network, data.test)
    return {
        "fit_seconds": fit_seconds,
        "train_seconds": fit_seconds - validating,
        "val_accuracy": val_accuracy,
        "test_accuracy": test_accuracy,
        "history": history,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "loss": float(loss.detach()),
    }


@contextmanager
def _swapped(live: list[Tensor], average: list[Tensor], wanted: bool) -> Iterator[None]:
    """The averaged weights in place of the live ones for the duration of a `with`."""
    import torch

    if not wanted:
        yield
        return
    kept = [tensor.clone() for tensor in live]
    torch._foreach_copy_(live, average)
    yield
    torch._foreach_copy_(live, kept)


def accuracy(network: nn.Module, split: tuple[Tensor, Tensor]) -> float:
    """Share of the split's images that the network classifies correctly, in evaluation mode."""
    import torch

    from mnist_lightning.models.network import to_input

    network.eval()
    hits = torch.zeros((), device=split[0].device)
    with torch.inference_mode(), autocast(split[0].device.type):
        for images, labels in zip(split[0].split(1000), split[1].split(1000), strict=True):
            hits += (network(to_input(images)).argmax(1) == labels).sum()
    return float(hits) / len(split[1])


def main() -> None:
    """Train one epoch; `bench.py` measures the memory of this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's four IDX files, plain or .gz")
    parser.add_argument("--model", type=json.loads, default={"name": "cnn"}, help="as in conf/model/, JSON")
    parser.add_argument("--augment", type=json.loads, default={}, help="as in conf/augment/, JSON; {} for none")
    given = parser.parse_args()
    keep_freed_memory()  # before torch is imported
    wait_briefly()
    print(train(Recipe(given.model, given.augment), load(given.data, "cpu")))


if __name__ == "__main__":
    main()
