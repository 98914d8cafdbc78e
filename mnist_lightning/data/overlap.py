"""Whether a network that a run starts from, or is taught by, was trained on images that validate in this run.

It would know their labels, or pass on what it knows of them, and the validation accuracy would be meaningless.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from mnist_lightning.data.datamodule import DigitsDataModule, How, split
from mnist_lightning.errors import UserError

log = logging.getLogger(__name__)

Facts = dict[str, Any]
"""What decides which images of a set train and which validate: `DigitsDataModule.split_facts`."""

_SPLIT = tuple(How.__annotations__)
SAME_TRAINING_IMAGES = {"mnist", "qmnist"}  # in the same order
_MOST = 100  # splits of a card that are looked at; a card may come from anybody


def seen_by(card: Mapping[str, Any]) -> list[Facts]:
    """The splits whose training images a network has seen: its own, those of what it started from and of its teacher.

    Args:
        card: of the network; empty where it does not say.
    """
    if isinstance(seen := card.get("seen"), list):
        return [dict(each) for each in seen[:_MOST] if isinstance(each, Mapping)]
    facts = split_of(card)
    if not facts.get("name") or not all(key in facts for key in _SPLIT):
        return []
    return [{"name": card.get("dataset", facts["name"]), **{key: facts[key] for key in _SPLIT}}]


def split_of(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a card says about how the images of its network were split, by the names of the settings of `data.`."""
    return card.get("data") or (card.get("settings") or {}).get("data") or {}


def check_unseen(card: Mapping[str, Any], data: Any, said: str) -> None:
    """Refuse a network that was trained on validation images of this run; where its card does not say, warn.

    Args:
        card: of the network.
        data: of this run, set up; a module other than the project's own does not say which images validate.
        said: the setting that names the network, such as `ckpt=latest`.

    Raises:
        UserError: it was trained on some.
    """
    if not isinstance(data, DigitsDataModule) or not len(data.val):
        return
    seen = seen_by(card)
    if not seen and card.get("dataset", data.name) == data.name:
        log.warning(
            "The checkpoint of %s does not say which images it was trained on: validation images may be among them.",
            said,
        )
    for facts in seen:
        if count := _overlap(facts, data):
            own = data.split_facts
            other = [key for key in _SPLIT if facts.get(key) != own[key]]
            there = " ".join(f"data.{key}={'null' if facts.get(key) is None else facts[key]}" for key in other)
            raise UserError(
                f"{said} was trained on {count:,} of the {len(data.val):,} validation images of this run, so it cannot "
                f"be used here: split the data as it was there ({there}), or take another checkpoint."
            )


def _overlap(facts: Facts, data: DigitsDataModule) -> int:
    """How many validation images of `data` are training images according to other facts."""
    name = facts.get("name")
    if name != data.name and not {name, data.name} <= SAME_TRAINING_IMAGES:
        return 0
    assert data.source is not None
    try:
        trained, _ = split(data.name, len(data.source.train_labels), How(**{key: facts[key] for key in _SPLIT}))
    except (UserError, TypeError, ValueError, RuntimeError, LookupError, ArithmeticError):
        return 0  # a split that this set cannot have: the images were different ones
    return int(torch.isin(data.val_index[: len(data.val)], trained).sum())
