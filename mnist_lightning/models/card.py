"""The card of a network: what a file says about the network in it. Plain data, no torch."""

from __future__ import annotations

import json
import math
from typing import Any

from mnist_lightning.errors import UserError

CARD = "mnist_lightning"
"""Key under which the card lies in a checkpoint, and in the metadata of a .safetensors or .onnx file."""

FORMAT = 1
"""Version of the card's form."""

SURE = 0.5
"""Probability from which on a digit counts as sure, where neither the card nor the user says otherwise."""

_LONGEST = 1_000_000  # characters of a card in a file's metadata
_MOST_CLASSES = 1_000
_LONGEST_NETWORK = 20_000  # characters of the network's settings; an ensemble of twenty has 4,000


def check_card(card: Any, where: str) -> dict[str, Any]:
    """Check a card that came with a file.

    Args:
        card: the card, any data.
        where: the file, for the message.

    Returns:
        The card, unchanged.

    Raises:
        UserError: a value is missing, has the wrong type or is out of its range.
    """
    if not isinstance(card, dict):
        raise UserError(f"{where} is not a file of this project: it does not say which network it holds.")
    version = card.get("format", 0)
    if not isinstance(version, int) or version > FORMAT:
        raise UserError(f"{where} was written by a later version of this project: update to read it.")
    faults = {
        "class_names": not _are_class_names(card.get("class_names")),
        "image_size": not _is_whole(card.get("image_size"), 1, 512),
        "dataset": not isinstance(card.get("dataset", ""), str),
        "settings": not isinstance(card.get("settings", {}), dict),
        "network": not _is_network(card.get("network")),
        "temperature": not _is_number(card.get("temperature", 1.0), 0.01, 100.0),
        "sure": not _is_number(card.get("sure", SURE), 0.0, 1.0),
    }
    for key, wrong in faults.items():
        if wrong:
            raise UserError(f"{where} is broken: its card lacks or garbles {key!r}; train or export it again.")
    return card


def parse_card(text: str | None, where: str) -> dict[str, Any]:
    """The card in a file's metadata, a JSON text, checked as by `check_card`."""
    if text is None:
        return check_card(None, where)
    try:
        if len(text) > _LONGEST:
            raise ValueError
        card = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{where} is broken: its card is not valid JSON of at most {_LONGEST:,} characters.") from None
    return check_card(card, where)


def dump_card(card: dict[str, Any]) -> str:
    """A card as the JSON text that `parse_card` reads."""
    return json.dumps(card, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _are_class_names(names: Any) -> bool:
    return (
        isinstance(names, list | tuple)
        and 2 <= len(names) <= _MOST_CLASSES
        and all(isinstance(name, str) and 0 < len(name) <= 100 for name in names)
        and len(set(names)) == len(names)
    )


def _is_network(network: Any) -> bool:
    if not isinstance(network, dict) or not isinstance(network.get("name"), str):
        return False
    try:
        return len(json.dumps(network)) <= _LONGEST_NETWORK
    except (TypeError, ValueError, RecursionError):
        return False


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: Any, low: float, high: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and low <= value <= high
