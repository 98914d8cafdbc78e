"""The card of a network: what a file says about the network in it. Plain data, no torch.

A card is stored in a checkpoint, and as JSON in the metadata of a `.safetensors` or `.onnx` file. Code that reads one
of them checks the card here first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from mnist_lightning.errors import UserError
from mnist_lightning.run.untrusted import parse_json, plain_data_fault, short, text_fault

CARD = "mnist_lightning"
"""Key under which the card is stored in a checkpoint, and in the metadata of a .safetensors or .onnx file."""

FORMAT = 1
"""Version of the card's form."""

SURE = 0.5
"""Lowest probability at which a digit counts as sure, where neither the card nor the user says otherwise."""

SURE_WHERE_CALIBRATED = 0.8
"""The same for a network with a temperature: its probabilities are higher, and mean what they say."""

LARGEST_IMAGE = 512  # pixels, the side of the images that a network takes
MOST_CLASSES = 1_000
MOST_MEMBERS = 100  # networks in an ensemble
MOST_LAYERS = 200  # entries in a list of a network's arguments, such as `channels`
LARGEST_NUMBER = 1e9  # of a network's arguments

_LONGEST = 1_000_000  # characters of a card in a file's metadata
_LONGEST_NAME = 200  # characters of the name of a class, a data set or a network
_MOST_VALUES = {"network": 5_000}  # of one entry of the card; an ensemble of a hundred networks has 2,500
_MOST_OTHER_VALUES = 100_000


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
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT:
        raise UserError(f"{where} was written by a later version of this project: update to read it.")
    if len(card) > 100 or not all(isinstance(key, str) for key in card):
        raise UserError(f"{where} is broken: its card has keys that no card has; export or train it again.")
    for key in {**_CHECKS, **card}:
        if fault := _fault(key, card):
            raise UserError(f"{where} is broken: {key} in its card {fault}; export or train it again.")
    return card


def sure_from(card: Mapping[str, Any], asked: float | None = None) -> float:
    """Lowest probability at which a digit counts as sure: what was asked for, what the card says, or the default."""
    if asked is not None:
        return asked
    return float(card.get("sure", SURE_WHERE_CALIBRATED if card.get("temperature", 1.0) != 1.0 else SURE))


def parse_card(text: str | None, where: str) -> dict[str, Any]:
    """The card in a file's metadata, a JSON text, checked as by `check_card`.

    Args:
        text: None where the metadata has no such entry.
        where: the file, for the message.
    """
    if text is None:
        return check_card(None, where)
    if len(text) > _LONGEST:
        raise UserError(f"{where} is broken: its card has more than {_LONGEST:,} letters.")
    return check_card(parse_json(text, f"The card of {where}"), where)


def dump_card(card: Mapping[str, Any]) -> str:
    """A card as the JSON text that `parse_card` reads."""
    return json.dumps(card, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _fault(key: str, card: Mapping[str, Any]) -> str | None:
    """What is wrong with an entry, as part of a sentence; None if nothing is."""
    check, required = _CHECKS.get(key, (None, False))
    if key not in card:
        return "is missing" if required else None
    value = card[key]
    if fault := plain_data_fault(value, _MOST_VALUES.get(key, _MOST_OTHER_VALUES)):
        return fault
    if not _is_unicode(value):
        return "holds half a surrogate pair"
    return check(value) if check else None


def _check_class_names(names: Any) -> str | None:
    if not isinstance(names, list | tuple) or not 2 <= len(names) <= MOST_CLASSES:
        return f"must be a list of 2 to {MOST_CLASSES:,} names, not {short(names)}"
    for name in names:
        if fault := text_fault(name, _LONGEST_NAME) or (None if name else "has an empty name"):
            return fault
    return None if len(set(names)) == len(names) else "names a class twice"


def _check_network(network: Any) -> str | None:
    if not isinstance(network, dict):
        return f"must be a mapping, not {short(network)}"
    networks = _networks(network)
    if len(networks) > MOST_MEMBERS + 1:
        return f"has {len(networks) - 1:,} members, at most {MOST_MEMBERS} are allowed"
    for each, depth in networks:
        name = each.get("_target_", each.get("name"))
        if not isinstance(name, str) or len(name) > _LONGEST_NAME or not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            return f"must name a network, not {short(name)}"
        if depth > 2:
            return "has networks in networks in networks"
        if fault := next(filter(None, (_argument_fault(key, value) for key, value in each.items())), None):
            return fault
    return None


def _networks(network: dict[str, Any], depth: int = 0) -> list[tuple[dict[str, Any], int]]:
    """The network, and those that it is made of, each with its depth."""
    members = network.get("members", ())
    inside = [each for each in members if isinstance(each, dict)] if isinstance(members, list | tuple) else []
    return [(network, depth), *(part for each in inside if depth < 4 for part in _networks(each, depth + 1))]


def _argument_fault(key: str, value: Any) -> str | None:
    if isinstance(value, list | tuple):
        if len(value) > MOST_LAYERS:
            return f"has {len(value):,} entries in {short(key)}, at most {MOST_LAYERS:,} are allowed"
        return next(filter(None, (_argument_fault(key, each) for each in value if not isinstance(each, dict))), None)
    if isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) <= LARGEST_NUMBER:
        return f"has {short(key)}={short(value)}, which is too large"
    return None


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Any) -> str | None:
    return text_fault(value, _LONGEST_NAME)


def _mapping(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict) else f"must be a mapping, not {short(value)}"


def _whole(low: int, high: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"must be a whole number from {low} to {high}, not {short(value)}"

    return check


def _number(low: float, high: float) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return None if fits and math.isfinite(value) else f"must be a number from {low} to {high}, not {short(value)}"

    return check


# For each known entry, the check of its value and whether it is required. Other entries are plain data.
_CHECKS: dict[str, tuple[Callable[[Any], str | None], bool]] = {
    "format": (_whole(0, FORMAT), False),
    "network": (_check_network, True),
    "class_names": (_check_class_names, True),
    "image_size": (_whole(1, LARGEST_IMAGE), True),
    "dataset": (_text, False),
    "settings": (_mapping, False),
    "data": (_mapping, False),
    "temperature": (_number(0.01, 100.0), False),
    "sure": (_number(0.0, 1.0), False),
}
