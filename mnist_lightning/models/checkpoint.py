"""A checkpoint as plain data: what goes in beside the weights, and how a network comes out again.

A file is read with `weights_only=True` and networks are built by name from our own table, so a file from a
stranger runs nothing of the stranger's.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnist_lightning.errors import UserError
from mnist_lightning.models import networks, safetensors
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
    """Read a checkpoint file, `.ckpt` or `.safetensors`, to the CPU.

    Raises:
        UserError: it cannot be read, is cut off, holds more than plain data, or is not one of ours.
    """
    if path.suffix == safetensors.SUFFIX:
        return safetensors.read(path)
    if path.suffix == ".onnx":
        raise UserError(f"{path} is an ONNX file, which cannot be trained further: take the checkpoint it came from.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The checkpoint {path} cannot be read: {error.strerror}.") from None
    try:
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise UserError(
                f"{path} is no checkpoint of this project, or holds more than plain data, and is not loaded."
            ) from None
        raise UserError(f"The checkpoint {path} is broken: train it again or take another.") from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError):
        raise UserError(f"The checkpoint {path} is broken or cut off: train it again or take another.") from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(CARD), dict):
        raise UserError(f"{path} is no checkpoint of this project: it does not say which network it holds.")
    check_card(checkpoint[CARD], str(path))
    return checkpoint


def restore(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network in a checkpoint file, in evaluation mode on the CPU, and its card.

    Raises:
        UserError: as `read`, or the weights do not fit the network that the card names.
    """
    checkpoint = read(path)
    card = checkpoint[CARD]
    try:
        with torch.device("meta"):  # takes no memory, whatever sizes the card claims
            _check_shapes(_build(card), checkpoint, path)
        network = _build(card)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UserError(f"The checkpoint {path} is broken: its card lacks or garbles {error}.") from None
    load_weights(network, checkpoint, path)
    return network.eval(), card


def _build(card: Mapping[str, Any]) -> nn.Module:
    return networks.build(card["network"], num_classes=len(card["class_names"]), image_size=card["image_size"])


def _check_shapes(network: nn.Module, checkpoint: Mapping[str, Any], path: Path) -> None:
    """Raise UserError where the weights in a checkpoint do not have the names and shapes of the network's."""
    wanted = {_PREFIX + name: value.shape for name, value in network.state_dict().items()}
    there = checkpoint.get("state_dict")
    found = {name: getattr(value, "shape", None) for name, value in there.items()} if isinstance(there, dict) else {}
    if wanted != {name: shape for name, shape in found.items() if str(name).startswith(_PREFIX)}:
        raise _do_not_fit(checkpoint, path)


def _do_not_fit(checkpoint: Mapping[str, Any], path: Path) -> UserError:
    return UserError(
        f"The weights in {path} do not fit this network: they belong to "
        f"{describe(checkpoint[CARD])}. Choose the same settings of model= and data=."
    )


def load_weights(network: nn.Module, checkpoint: Mapping[str, Any], path: Path) -> None:
    """Put a checkpoint's weights into `network`.

    Raises:
        UserError: they belong to another architecture.
    """
    weights = {
        name.removeprefix(_PREFIX): value
        for name, value in checkpoint.get("state_dict", {}).items()
        if name.startswith(_PREFIX)
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise _do_not_fit(checkpoint, path) from None


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
    name = settings.pop("name")
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
