"""Optimisers and learning-rate schedules by name, from plain settings. Knows nothing of Lightning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn, optim
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau, StepLR

from mnist_lightning.errors import UserError

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD}


def build_optimizer(settings: Mapping[str, Any], network: nn.Module) -> optim.Optimizer:
    """Make the optimiser of `conf/optimizer/`; weight decay leaves biases and norms (one-dimensional weights) alone.

    Fused: one kernel for all weights, on the CPU as on a GPU.
    """
    knobs = dict(settings)
    name, decay = knobs.pop("name"), knobs.pop("weight_decay")
    if name not in OPTIMIZERS:
        raise UserError(f"There is no optimizer.name={name}; choose one of {', '.join(OPTIMIZERS)}.")
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[name]([group for group in groups if group["params"]], fused=True, **knobs)


def onecycle(progress: float, warmup: float, start: float, end: float) -> float:
    """Learning rate, as a fraction of its peak, at `progress` (0 to 1) of the run: linear up, linear down."""
    if progress < warmup:
        return start + (1 - start) * progress / warmup
    return 1 + (end - 1) * (min(progress, 1) - warmup) / (1 - warmup)


def cosine(progress: float, warmup: float, start: float, end: float) -> float:
    """Learning rate, as a fraction of its peak, at `progress` (0 to 1) of the run: linear up, half a cosine down."""
    if progress < warmup:
        return start + (1 - start) * progress / warmup
    falling = (min(progress, 1) - warmup) / (1 - warmup)
    return end + (1 - end) * (1 + math.cos(math.pi * falling)) / 2


_CURVES: dict[str, Callable[[float, float, float, float], float]] = {"onecycle": onecycle, "cosine": cosine}


def build_schedule(
    settings: Mapping[str, Any], optimizer: optim.Optimizer, steps: int
) -> LRScheduler | ReduceLROnPlateau | None:
    """Make the schedule of `conf/scheduler/`.

    Args:
        settings: its name and knobs. Curves and `step` change the rate every `frequency` steps by themselves;
            `plateau` leaves that to whoever steps it.
        optimizer: whose learning rate it steps.
        steps: how often it will be stepped in the whole run. The curves are functions of the share of the run
            that is done, so a run resumed with more epochs goes on along the longer curve.
    """
    name, frequency = settings["name"], settings.get("frequency", 1)
    if name in _CURVES:
        curve, knobs = _CURVES[name], [settings[knob] for knob in ("warmup", "start", "end")]
        return LambdaLR(optimizer, lambda step: curve(step // frequency * frequency / max(steps, 1), *knobs))
    if name == "step":
        return StepLR(optimizer, settings["step_size"] * frequency, settings["gamma"])
    if name == "plateau":
        rises = settings["monitor"] == "val_accuracy"
        return ReduceLROnPlateau(optimizer, "max" if rises else "min", settings["factor"], settings["patience"])
    if name == "none":
        return None
    raise UserError(f"There is no scheduler.name={name}; choose onecycle, cosine, step, plateau or none.")
