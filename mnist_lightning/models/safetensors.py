"""A network as a `.safetensors` file: its weights, and its card as JSON in the metadata. No pickle is involved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from mnist_lightning.errors import UserError
from mnist_lightning.models.card import CARD, dump_card, parse_card
from mnist_lightning.models.limits import check_safetensors

SUFFIX = ".safetensors"
LARGEST_FILE = 512 * 2**20  # bytes
_PREFIX = "network."


def read(path: Path) -> dict[str, Any]:
    """Read a `.safetensors` file into the form of a checkpoint: `state_dict` and the card.

    Raises:
        UserError: the file cannot be read, is broken, larger than 512 MiB, or has no valid card.
    """
    check_safetensors(path)
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(f"{path} has {size:,} bytes: at most {LARGEST_FILE:,} are read.")
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            card = parse_card((file.metadata() or {}).get(CARD), str(path))
            weights = {_PREFIX + name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise UserError(f"The checkpoint {path} cannot be read: {error.strerror or error}.") from None
    except (safetensors.SafetensorError, ValueError) as error:
        raise UserError(f"{path} is not a valid .safetensors file ({error}): export it again.") from None
    return {"state_dict": weights, CARD: card}


def dump(weights: Mapping[str, Any], card: dict[str, Any]) -> bytes:
    """The content of a `.safetensors` file of these weights, named as in the network's `state_dict`."""
    tensors = {name: value.contiguous() for name, value in weights.items()}
    return safetensors.torch.save(tensors, metadata={CARD: dump_card(card)})
