"""Learning-rate schedules: what Lightning has to know about one, and the four that the configs name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau, StepLR

from mnist_lightning.arguments import accepts
from mnist_lightning.errors import UserError
from mnist_lightning.types import Fraction, InnerFraction, Interval, Metric, PositiveInt, Probability, Share

Made = LRScheduler | ReduceLROnPlateau


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule and when it is stepped.

    Args:
        make: from an optimizer to its schedule, such as a partial of a class of `torch.optim.lr_scheduler`. It also
            gets `total_steps`, how often the schedule will be stepped in the whole run, if it takes that.
        interval: stepped after each `step` or each `epoch`.
        frequency: epochs between two checks by a schedule that watches a metric.
        monitor: the metric that it watches, if it watches one.
    """

    make: Callable[..., Made]
    interval: Interval = "epoch"
    frequency: PositiveInt = 1
    monitor: Metric = "val_loss"

    @property
    def needs_length(self) -> bool:
        """Whether the schedule depends on how long the run is."""
        return bool(accepts(getattr(self.make, "func", self.make), total_steps=0))

    def build(self, optimizer: Optimizer, total_steps: int) -> Made:
        """The schedule of `optimizer` in a run that steps it `total_steps` times."""
        target = getattr(self.make, "func", self.make)
        return self.make(optimizer, **accepts(target, total_steps=total_steps))


def onecycle(
    warmup: Share = 0.2,
    start: Probability = 0.05,
    end: Probability = 0.0,
    interval: Interval = "step",
    frequency: PositiveInt = 1,
) -> Schedule:
    """Linear warm-up to the optimizer's learning rate, then linear decay (after Smith and Topin 2018).

    Args:
        warmup: share of the run that warms up, 0 to below 1.
        start: learning rate of the first step, as a fraction of the peak.
        end: learning rate after the last step, as a fraction of the peak.
        interval: stepped after each `step` or each `epoch`.
        frequency: steps or epochs between two changes.
    """
    return _curve(lambda progress: 1 + (end - 1) * progress, warmup, start, interval, frequency)


def cosine(
    warmup: Share = 0.05,
    start: Probability = 0.05,
    end: Probability = 0.0,
    interval: Interval = "step",
    frequency: PositiveInt = 1,
) -> Schedule:
    """Linear warm-up, then half a cosine down (Loshchilov and Hutter 2017); arguments as for `onecycle`."""
    fall = lambda progress: end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2  # noqa: E731
    return _curve(fall, warmup, start, interval, frequency)


def step(
    step_size: PositiveInt = 5, gamma: Fraction = 0.5, interval: Interval = "epoch", frequency: PositiveInt = 1
) -> Schedule:
    """The learning rate is multiplied by `gamma` every `step_size` times `frequency` steps or epochs."""
    return Schedule(lambda optimizer: StepLR(optimizer, step_size * frequency, gamma), interval)


def plateau(
    monitor: Metric = "val_loss",
    patience: int = 2,
    factor: InnerFraction = 0.5,
    interval: Interval = "epoch",
    frequency: PositiveInt = 1,
) -> Schedule:
    """The learning rate is multiplied by `factor` when `monitor` has not improved for `patience` epochs.

    Raises:
        UserError: the interval is a step; metrics are known once per epoch.
    """
    if interval == "step":
        raise UserError("scheduler.interval=step cannot be combined with scheduler=plateau: it looks once per epoch.")
    mode: Literal["min", "max"] = "max" if monitor == "val_accuracy" else "min"
    make = lambda optimizer: ReduceLROnPlateau(optimizer, mode, factor, patience)  # noqa: E731
    return Schedule(make, interval, frequency, monitor)


def _curve(fall: Callable[[float], float], warmup: float, start: float, interval: Interval, frequency: int) -> Schedule:
    """A schedule that rises linearly, then follows `fall`, a function of the share (0 to 1) of the rest that is done.

    The whole is a function of the share of the run that is done: a run resumed with more epochs follows a longer curve.
    """

    def factor(progress: float) -> float:
        if progress < warmup:
            return start + (1 - start) * progress / warmup
        return fall((min(progress, 1) - warmup) / (1 - warmup))

    def make(optimizer: Optimizer, total_steps: int) -> LRScheduler:
        return LambdaLR(optimizer, lambda step: factor(step // frequency * frequency / max(total_steps, 1)))

    return Schedule(make, interval)


def as_schedule(given: Any) -> Schedule | None:
    """`given` as a Schedule: it may be one, None, or a function from optimizer to one of `torch.optim.lr_scheduler`."""
    return given if given is None or isinstance(given, Schedule) else Schedule(given)
