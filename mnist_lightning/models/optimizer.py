"""Which weights an optimizer gets, and with which weight decay."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Adam, Optimizer

from mnist_lightning.errors import UserError

MakeOptimizer = Callable[..., Optimizer]
DEFAULT: MakeOptimizer = partial(Adam, lr=0.02, fused=True)


def build_optimizer(make: MakeOptimizer, network: nn.Module) -> Optimizer:
    """Make the optimizer of a network.

    Args:
        make: from parameter groups to an optimizer, such as a partial of a class of `torch.optim`. Where it has a
            `weight_decay`, biases and norms (one-dimensional weights) are left out of it.
        network: whose weights it updates.

    Raises:
        UserError: an argument is out of its range.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [{"params": weights}]
    if "weight_decay" in getattr(make, "keywords", {}):
        flat = [weight for weight in weights if weight.ndim <= 1]
        groups = [{"params": [weight for weight in weights if weight.ndim > 1]}, {"params": flat, "weight_decay": 0.0}]
    try:
        return make([group for group in groups if group["params"]])
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer= cannot be built: {error}.".replace("..", ".")) from None
