"""What a search may choose from: read from the config and the command line, checked before anything is trained."""

from __future__ import annotations

import itertools
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from mnist_lightning.arguments import refusal
from mnist_lightning.cli import check as settings
from mnist_lightning.cli import config
from mnist_lightning.cli.describe import described
from mnist_lightning.cli.words import in_quotes
from mnist_lightning.errors import UserError

BOUNDS = ("low", "high", "step", "log")


class Space:
    """The settings that are searched over, and between which values.

    Args:
        wanted: a setting (`optimizer.lr`) or group (`model`) -> a list of choices, or a mapping of `low`, `high` and,
            where wanted, `step` or `log`. A setting may also be below its group.

    Raises:
        UserError: a setting is unknown, a bound or a choice is not allowed for the setting, or there is nothing to
            choose.
    """

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        if not wanted:
            raise UserError("search.space is empty: name in it what is searched over, as the files in conf/search/ do.")
        self.distributions = {key: _distribution(key, value) for key, value in _flat(wanted)}

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's values from what Optuna keeps, where a list is a text."""
        return {key: _decoded(params[key]) for key in self.distributions if key in params}

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """A trial's values, as they are typed: `["optimizer.lr=0.01", "model=cnn"]`."""
        return [f"{key}={typed(value)}" for key, value in self.values(params).items()]

    def as_text(self) -> dict[str, str]:
        """Plain data that is the same for equal spaces."""
        return {key: distribution_to_json(each) for key, each in sorted(self.distributions.items())}

    @property
    def size(self) -> int | None:
        """How many different trials there can be; None where they cannot be counted."""
        size = 1
        for each in self.distributions.values():
            if isinstance(each, FloatDistribution) and each.step is None:
                return None
            size *= len(_values(each))
        return size

    def points(self) -> Iterator[dict[str, Any]]:
        """All points that can be tried, as Optuna keeps them; for a space that has a `size`."""
        values = [_values(each) for each in self.distributions.values()]
        return (dict(zip(self.distributions, each, strict=True)) for each in itertools.product(*values))

    def grid(self) -> dict[str, list[Any]]:
        """Every value of each setting, for a grid.

        Raises:
            UserError: a setting has infinitely many values.
        """
        return {key: _points(key, each) for key, each in self.distributions.items()}


def from_overrides(space: Mapping[str, Any], overrides: Sequence[Override]) -> tuple[dict[str, Any], list[str]]:
    """Split the command line into what is searched over and what is fixed.

    Args:
        space: `search.space` of the config.
        overrides: the command line, parsed by Hydra. `a=1,2`, `a=choice(1,2)`, `a=range(1,9)`, `a=interval(0,1)` and
            `a=tag(log,interval(0.1,1))` go into the space; a plain `a=1` takes `a` out of it.

    Returns:
        The space, and the fixed overrides as they were typed.
    """
    wanted, fixed = dict(space), []
    for override in overrides:
        key, value = override.key_or_group, override.value()
        if isinstance(value, ChoiceSweep):
            wanted[key] = [_plain(each) for each in value.list]
        elif isinstance(value, RangeSweep):
            values = list(value.range())
            wanted[key] = {"low": values[0], "high": values[-1], "step": value.step}
        elif isinstance(value, IntervalSweep):
            wanted[key] = {"low": _whole(value.start), "high": _whole(value.end), "log": "log" in value.tags}
        else:
            wanted.pop(key, None)
            fixed.append(override.input_line or "")
    return wanted, fixed


def _plain(value: Any) -> Any:
    return getattr(value, "text", value)  # a quoted text


def _flat(wanted: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in wanted.items():
        if isinstance(value, Mapping) and not set(value) & set(BOUNDS):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _whole(value: float | None) -> float | None:
    return int(value) if value is not None and value == int(value) else value  # interval(1,4) comes as 1.0 and 4.0


def _distribution(key: str, wanted: Any) -> BaseDistribution:
    annotation = settings.annotation_of(key, "mnist_lightning.tasks.train.train")
    known = [each for each in config.groups() if each != "search"]
    if key.startswith("search") or (annotation is None and key not in known):
        found = [name for name in config.known_settings("train") if not name.startswith("search")]
        raise UserError(f"search.space: there is no setting {key}{settings.did_you_mean(key, [*found, *known])}")
    if isinstance(wanted, list):
        for value in wanted:
            if key in known:
                _check_choice(key, value)
            elif refused := refusal(value, annotation):
                raise UserError(
                    f"search.space: {key}={value} is not allowed: expected {described(annotation) or refused[1]}."
                )
        if not wanted:
            raise UserError(f"search.space: {key} has no choices.")
        choices = [json.dumps(each) if isinstance(each, list) else each for each in wanted]
        once = [each for place, each in enumerate(choices) if not _stands(each, choices[:place])]
        return CategoricalDistribution(once)
    if key in known or annotation is None or not isinstance(wanted, Mapping):
        raise UserError(f"search.space: {key} needs a list of choices in brackets.")
    return _between(key, wanted, annotation)


def _stands(value: Any, among: Sequence[Any]) -> bool:
    return any(value == each and type(value) is type(each) for each in among)  # 1, 1.0 and true are equal to Python


def _check_choice(group: str, value: Any) -> None:
    choices = config.choices(group)
    if str(value) not in choices:
        raise UserError(
            f"search.space: there is no {group}={value}{settings.did_you_mean(str(value), choices)} "
            f"Known: {', '.join(choices)}."
        )


def _between(key: str, wanted: Mapping[str, Any], annotation: Any) -> BaseDistribution:
    for name in wanted:
        if name not in BOUNDS:
            raise UserError(f"search.space: {key} has no {name}{settings.did_you_mean(name, list(BOUNDS))}")
    low, high, step, log = (wanted.get(name) for name in BOUNDS)
    for name, value in (("low", low), ("high", high)):
        refused = refusal(value, annotation)
        if not isinstance(value, int | float) or isinstance(value, bool) or refused:
            words = described(annotation) or (refused[1] if refused else "a number")
            raise UserError(f"search.space: {key}: {name}={value} is not allowed: expected {words}.")
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if low >= high:
        raise UserError(f"search.space: {key}: low={low} must be below high={high}.")
    if log not in (None, True, False):
        raise UserError(f"search.space: {key}: log={log} is not allowed: expected true or false.")
    whole = refusal(low + 0.5, annotation) is not None  # a setting that takes whole numbers refuses others
    if log and low <= 0:
        raise UserError(f"search.space: {key}: log=true needs low above 0.")
    if log and step is not None:
        raise UserError(f"search.space: {key}: give log or step, not both.")
    if step is not None and (
        not isinstance(step, int | float) or not 0 < step <= high - low or (whole and not isinstance(step, int))
    ):
        raise UserError(
            f"search.space: {key}: step={step} is not allowed: expected a number above 0 and at most {high - low}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about high, which is lowered to the last step below it, as in Python's range
        if whole:
            return IntDistribution(int(low), int(high), log=bool(log), step=int(step or 1))
        return FloatDistribution(float(low), float(high), log=bool(log), step=step)


def _points(key: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, FloatDistribution | IntDistribution) and (
        distribution.step is None or distribution.log
    ):
        raise UserError(f"search.sampler=grid cannot list all values of {key}: give it choices or a step.")
    return _values(distribution)


def _values(distribution: BaseDistribution) -> list[Any]:
    """Every value of a distribution that has finitely many."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    assert distribution.step is not None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    kind = int if isinstance(distribution, IntDistribution) else float
    return [kind(round(distribution.low + place * distribution.step, 12)) for place in range(count)]


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("[") else value


def typed(value: Any) -> str:
    """A value as Hydra's command line takes it."""
    if isinstance(value, list):
        return "[" + ",".join(map(typed, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        return in_quotes(value)
    return str(value)
