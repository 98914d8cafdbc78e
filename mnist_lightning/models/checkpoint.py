"""A checkpoint as plain data: what goes in beside the weights, and how a network comes out again.

A file is read with `weights_only=True` and networks are built by name from our own table, so a file from a
stranger runs nothing of the stranger's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnist_lightning.errors import UserError
from mnist_lightning.models import limits, networks
from mnist_lightning.models.card import CARD, FORMAT, check_card

_PREFIX = "network."


def make_card(
    network: Mapping[str, Any], image_size: int, dataset: str, class_names: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What rebuilds a network, and says where it comes from.

    Args:
        network: its settings, {"name": ..., **knobs}.
        image_size: side of the images it takes, pixels.
        dataset: name of the set it was trained on.
        class_names: one name a class, in the order of the logits.
        settings: the whole config of its run, as plain data.
    """
    return {
        "format": FORMAT,
        "network": dict(network),
        "image_size": image_size,
        "dataset": dataset,
        "class_names": list(class_names),
        "settings": dict(settings),
    }


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint file, to the CPU.

    Raises:
        UserError: it cannot be read, is cut off, holds more than plain data, or is not one of ours.
    """
    checkpoint = limits.load_plain(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(CARD), dict):
        raise UserError(f"{path} is not a checkpoint of this project: it does not say which network it holds.")
    check_card(checkpoint[CARD], str(path))
    limits.check_weights(checkpoint.get("state_dict"), path)
    return checkpoint


def restore(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network in a checkpoint file, in evaluation mode on the CPU, and its card.

    Raises:
        UserError: as `read`, or the weights do not fit the network that the card names.
    """
    checkpoint = read(path)
    card = checkpoint[CARD]
    weights = _weights(checkpoint)
    limits.check_finite(weights, path)
    network = limits.build_checked(
        lambda: networks.build(card["network"], num_classes=len(card["class_names"]), image_size=card["image_size"]),
        weights,
        card["image_size"],
        path,
        _misfit(checkpoint, path),
    )
    network.load_state_dict(weights)
    return network, card


def load_weights(network: nn.Module, checkpoint: Mapping[str, Any], path: Path) -> None:
    """Put a checkpoint's weights into `network`.

    Raises:
        UserError: they belong to another architecture.
    """
    try:
        network.load_state_dict(_weights(checkpoint))
    except RuntimeError:
        raise UserError(_misfit(checkpoint, path)) from None


def _weights(checkpoint: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, named as in the network's `state_dict`."""
    weights = checkpoint.get("state_dict", {})
    return {name.removeprefix(_PREFIX): value for name, value in weights.items() if name.startswith(_PREFIX)}


def _misfit(checkpoint: Mapping[str, Any], path: Path) -> str:
    return (
        f"The weights in {path} do not fit this network: they belong to "
        f"{describe(checkpoint[CARD])}. Choose the same settings of model= and data=."
    )


def join(checkpoints: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The checkpoint of an ensemble of these networks: their weights alone, and the card of the first, changed.

    Args:
        checkpoints: as `read` returns them, of networks for the same classes.
    """
    weights = {
        f"{_PREFIX}members.{number}.{name.removeprefix(_PREFIX)}": value
        for number, each in enumerate(checkpoints)
        for name, value in each["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    network = {"name": "ensemble", "members": [dict(each[CARD]["network"]) for each in checkpoints]}
    return {"state_dict": weights, CARD: {**checkpoints[0][CARD], "network": network}}


def describe(card: Mapping[str, Any]) -> str:
    """A network in a few words, as one would type it: `model=cnn model.channels=[8] with 10 classes`."""
    settings = dict(card["network"])
    name = settings.pop("name", None) or settings.pop("_target_", None)
    knobs = " ".join(f"model.{key}={json.dumps(value)}" for key, value in settings.items())
    return f"model={name} {knobs}".strip() + f" with {len(card['class_names'])} classes"


def strip(source: Path, target: Path) -> None:
    """Write a checkpoint's weights and card alone, without what resuming needs: a third of the size."""
    checkpoint = read(source)
    torch.save({"state_dict": checkpoint["state_dict"], CARD: checkpoint[CARD]}, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=strip.__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    strip(**vars(parser.parse_args()))
