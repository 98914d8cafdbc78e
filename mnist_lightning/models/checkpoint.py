"""A checkpoint as plain data: what it holds in addition to the weights, and how a network is restored.

A file is read with `weights_only=True`, and a network is built only if this package offers it or the user allows it by
name (see `build.py`): a file from a stranger runs no code.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnist_lightning.errors import UserError
from mnist_lightning.models import limits, safetensors
from mnist_lightning.models.build import build, describe_class
from mnist_lightning.models.card import CARD, FORMAT, check_card
from mnist_lightning.models.ensemble import Ensemble
from mnist_lightning.run.files import write_atomically

_PREFIX = "network."


def make_card(
    network: Mapping[str, Any], *, image_size: int, dataset: str, class_names: Sequence[str], **more: Any
) -> dict[str, Any]:
    """What rebuilds a network, and says where it comes from.

    Args:
        network: `{"_target_": ..., **arguments}`.
        image_size: height and width of the images it takes, pixels.
        dataset: name of the set it was trained on.
        class_names: one name per class, in the order of the logits.
        **more: plain data, such as `settings` (the whole config of its run) and `data` (the split it was trained on).
    """
    return {
        "format": FORMAT,
        "network": dict(network),
        "image_size": image_size,
        "dataset": dataset,
        "class_names": list(class_names),
        **more,
    }


def card_of(network: nn.Module, datamodule: Any) -> dict[str, Any] | None:
    """The card of a network that was not built from a config; None where it does not know its own arguments.

    Args:
        network: its `arguments` attribute, which `Network` provides, rebuilds it.
        datamodule: whose `name`, `class_names` and `split_facts` say what it was trained on, where it has them.
    """
    given: dict[str, Any] | None = getattr(network, "arguments", None)  # type: ignore[assignment]
    if given is None:
        return None
    arguments = {name: value for name, value in given.items() if name != "num_classes"}
    digits = [str(number) for number in range(given.get("num_classes", 10))]
    return make_card(
        {"_target_": describe_class(type(network)), **arguments},
        image_size=arguments.get("image_size", 28),
        dataset=getattr(datamodule, "name", None) or "unknown",  # Lightning's own default is None
        class_names=getattr(datamodule, "class_names", None) or digits,
        settings={},
        data=getattr(datamodule, "split_facts", {}),
    )


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint file, `.ckpt` or `.safetensors`, to the CPU.

    Raises:
        UserError: it cannot be read, is cut off, holds more than plain data, or is not one of ours.
    """
    if path.suffix == safetensors.SUFFIX:
        return safetensors.read(path)
    if path.suffix == ".onnx":
        raise UserError(f"{path} is an ONNX file, which cannot be trained further: take the checkpoint it came from.")
    checkpoint = limits.load_plain(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(CARD), dict):
        raise UserError(f"{path} is not a checkpoint of this project: it does not say which network it holds.")
    check_card(checkpoint[CARD], str(path))
    limits.check_weights(checkpoint.get("state_dict"), path)
    return checkpoint


def write(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint file, whole or not at all.

    It is assembled in memory: when a disk is full, torch raises an error of its own that does not say so.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another folder.") from None
    write_atomically(path, lambda file: file.write(buffer.getbuffer()))


def restore(path: Path, allow: Sequence[str] = ()) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network in a checkpoint file, in evaluation mode on the CPU, and its card.

    Args:
        path: the file.
        allow: modules outside of this package whose networks may be built.

    Raises:
        UserError: as `read`; the network is neither offered nor allowed; or the weights do not fit it.
    """
    checkpoint = read(path)
    card = checkpoint[CARD]
    weights = _weights(checkpoint)
    limits.check_finite(weights, path)
    network = limits.build_checked(
        lambda: build(
            card["network"], num_classes=len(card["class_names"]), image_size=card["image_size"], allow=allow
        ),
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

    The temperature of one network is not that of their vote, which is less confident: it is left out.

    Args:
        checkpoints: as `read` returns them, of networks for the same classes.
    """
    weights = {
        f"{_PREFIX}members.{number}.{name.removeprefix(_PREFIX)}": value
        for number, each in enumerate(checkpoints)
        for name, value in each["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    network = {"_target_": describe_class(Ensemble), "members": [dict(each[CARD]["network"]) for each in checkpoints]}
    seen = distinct([facts for each in checkpoints for facts in each[CARD].get("seen", ())])
    first = {key: value for key, value in checkpoints[0][CARD].items() if key not in ("temperature", "sure")}
    return {"state_dict": weights, CARD: {**first, "network": network, **({"seen": seen} if seen else {})}}


def distinct(facts: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The splits that a card's `seen` lists (see `data.overlap`), each once, in their order."""
    return [each for place, each in enumerate(facts) if each not in facts[:place]]


def describe(card: Mapping[str, Any]) -> str:
    """A network in a few words, as one would type it: `model=cnn model.channels=[8] with 10 classes`."""
    arguments = dict(card["network"])
    name = str(arguments.pop("name", None) or arguments.pop("_target_", "?").rpartition(".")[2]).lower()
    words = " ".join(f"model.{key}={json.dumps(value)}" for key, value in arguments.items())
    return f"model={name} {words}".strip() + f" with {len(card['class_names'])} classes"


def strip(source: Path, target: Path) -> None:
    """Write a checkpoint's weights and card alone, without what resuming needs: a third of the size."""
    checkpoint = read(source)
    write({"state_dict": checkpoint["state_dict"], CARD: checkpoint[CARD]}, target)
