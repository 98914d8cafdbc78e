"""Runs chosen by their settings: `where=model=cnn, optimizer.lr<0.01`."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any

from mnist_lightning.cli import check as settings
from mnist_lightning.errors import UserError
from mnist_lightning.sweeps.collect import Run

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def names(text: str) -> set[str]:
    """The settings that conditions name, as far as the conditions can be read."""
    return {match[1] for part in _parts(text) if (match := _CONDITION.fullmatch(part))}


def where(text: str, runs: list[Run]) -> list[Run]:
    """The runs that fulfil every condition of `text`, such as `model=cnn, optimizer.lr<0.01, status=finished`.

    Raises:
        UserError: a condition cannot be read, or names a setting that none of the runs has.
    """
    chosen = runs
    for part in _parts(text):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise UserError(
                f"where={text} cannot be read: write conditions such as 'where=model=cnn, optimizer.lr<0.01', "
                "with =, !=, <, <=, > or >=."
            )
        key, sign, value = match.groups()
        known = sorted({name for run in runs for name in run.settings})
        if runs and key not in known:
            raise UserError(f"None of the runs has a setting {key}{settings.did_you_mean(key, known)}")
        chosen = [run for run in chosen if _holds(run.settings.get(key), sign, value)]
    return chosen


_CONDITION = re.compile(r"\s*([\w./]+)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*")


def _parts(text: str) -> list[str]:
    return re.split(r",(?![^\[]*\])", text)  # a comma inside brackets belongs to a value: model.channels=[16,32]


def _holds(value: Any, sign: str, text: str) -> bool:
    try:
        wanted = json.loads(text)
    except ValueError:
        wanted = text
    if sign in ("=", "!="):
        same = value == wanted or str(value) == text
        return same if sign == "=" else not same
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (value, wanted))
    return numbers and _OPERATORS[sign](value, wanted)
