"""Limits for a file of weights that somebody else may have made, checked before memory is allocated.

`load_plain` reads a checkpoint, `build_checked` makes its network: first on torch's meta device, where no size costs
anything, then for real, and lets it read one empty image.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from mnist_lightning.errors import UserError
from mnist_lightning.run.untrusted import short

MOST_PARAMETERS = 100_000_000  # of a network; the largest recipe of this project has 4 million
LARGEST_MAP = 500_000  # values that one layer computes per image: 500 MB for a batch of 250
_LARGEST_TRIED = 16_000_000  # the same, by its largest kernel, before the network reads its first image
MOST_ENTRIES = 100_000  # files in a checkpoint's archive, about one per tensor
LARGEST_PICKLE = 4 << 20  # bytes of the part of a checkpoint that is not tensors: 100 kB in a long run's last.ckpt
LARGEST_HEADER = 4 << 20  # bytes of the header of a .safetensors file


def load_plain(path: Path) -> Any:
    """The data in a checkpoint file, on the CPU, with `weights_only=True`.

    Raises:
        UserError: the file cannot be read, is not a checkpoint, is damaged, or holds more than plain data.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"The checkpoint {path} cannot be read: it is not a file.")
        with path.open("rb") as file:
            _check_archive(file, path)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"The checkpoint {path} cannot be read: {error.strerror or error}.") from None
    except pickle.UnpicklingError as error:
        known = "weights_only" in str(error) or "Unsupported" in str(error)
        raise (_not_ours(path) if known else _broken(path)) from None
    except UserError:
        raise
    except Exception:  # torch and its unpickler raise exceptions of every kind on a damaged file
        raise _broken(path) from None


def check_weights(weights: Any, path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint, if they are tensors that take no more memory than the file held.

    Args:
        weights: the checkpoint's `state_dict`, any data.
        path: of the file, for the message.

    Raises:
        UserError: they are something else.
    """
    if not isinstance(weights, Mapping):
        raise UserError(f"The checkpoint {path} is broken: it holds no weights.")
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"The checkpoint {path} is broken: {short(name)} among its weights is not a tensor.")
        plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        # A tensor of stride 0 can have any size over a storage of one value.
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(f"The checkpoint {path} is broken: {short(name)} among its weights is not a plain tensor.")
    return dict(weights)


def build_checked(
    make: Callable[[], nn.Module], weights: Mapping[str, Tensor], image_size: int, path: Path, fits: str
) -> nn.Module:
    """A network for the weights of a file, made only if both are of sensible size and fit each other.

    Args:
        make: builds the network, as the file's card describes it.
        weights: as in the network's `state_dict`, from `check_weights`.
        image_size: height and width of the images that it takes, pixels.
        path: of the file, for messages.
        fits: the sentence for weights that do not fit the network.

    Returns:
        The network with its own initial weights, in evaluation mode.

    Raises:
        UserError: the card describes no network, one that is too large, or one that the weights do not belong to.
    """
    try:
        with torch.device("meta"):
            outline = make().eval()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:
        raise UserError(f"The checkpoint {path} is broken: its card describes no network ({_line(error)}).") from error
    found = outline.state_dict()
    count = sum(value.numel() for value in found.values())
    if count > MOST_PARAMETERS:
        raise UserError(f"The network in {path} has {count:,} parameters: at most {MOST_PARAMETERS:,} are loaded.")
    # An upper bound, by the kernels: pooling makes maps smaller, and padding adds no more than a kernel.
    sides = [(value.shape[0], image_size + max(value.shape[2:])) for value in found.values() if value.ndim == 4]
    if (largest := max((maps * side * side for maps, side in sides), default=0)) > _LARGEST_TRIED:
        raise _too_wide(path, largest)
    wanted = {name: (value.shape, value.is_floating_point()) for name, value in found.items()}
    if wanted != {name: (value.shape, value.is_floating_point()) for name, value in weights.items()}:
        raise UserError(fits)
    network = make()
    _try(network.eval(), image_size, path)
    return network


def _try(network: nn.Module, image_size: int, path: Path) -> None:
    """Raise UserError where a network cannot take an image, or computes too much from it."""
    largest = 0

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal largest
        largest = max(largest, output.numel() if isinstance(output, Tensor) else 0)

    handles = [module.register_forward_hook(note) for module in network.modules()]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 1, image_size, image_size))
    except RuntimeError as error:
        raise UserError(f"The checkpoint {path} is broken: its layers do not fit together ({_line(error)}).") from error
    finally:
        for handle in handles:
            handle.remove()
    if largest > LARGEST_MAP:
        raise _too_wide(path, largest)


def check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError where weights are NaN or infinite: such a network cannot answer anything."""
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(
                f"The weights in {path} are not numbers ({name} holds NaN or infinity): the training diverged; train "
                "it again with a smaller optimizer.lr."
            )


def check_safetensors(path: Path) -> None:
    """Raise UserError where a `.safetensors` file declares a header larger than any network's.

    The library reads headers of up to 100 MB, which take a gigabyte as Python objects.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise UserError(f"The file {path} cannot be read: {error.strerror}.") from None
    if size < 10 or header > min(size - 8, LARGEST_HEADER):
        raise UserError(f"{path} is not a .safetensors file of a network: its header is damaged; export it again.")


def _check_archive(file: IO[bytes], path: Path) -> None:
    """Check a checkpoint's archive against its file size: nothing in it is compressed or stored twice."""
    size = file.seek(0, 2)
    file.seek(0)
    if not zipfile.is_zipfile(file):
        file.seek(0)
        raise _broken(path) if b"PK".startswith(file.read(2)) else _not_ours(path)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    names = {entry.filename for entry in entries}
    packed = any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries)
    total = sum(entry.file_size for entry in entries)
    pickled = max((entry.file_size for entry in entries if entry.filename.endswith("data.pkl")), default=0)
    if not pickled:
        raise _broken(path)
    script = any(name.endswith("/constants.pkl") for name in names)
    many = len(entries) > MOST_ENTRIES or len(names) < len(entries)
    if packed or script or many or total > size or pickled > LARGEST_PICKLE:
        raise UserError(f"{path} is not a checkpoint as torch writes it, and is not loaded.")


def _not_ours(path: Path) -> UserError:
    return UserError(f"{path} is not a checkpoint of this project, or holds more than plain data, and is not loaded.")


def _too_wide(path: Path, values: int) -> UserError:
    return UserError(
        f"The network in {path} computes up to {values:,} values per image in one layer: at most {LARGEST_MAP:,} are "
        "allowed."
    )


def _broken(path: Path) -> UserError:
    return UserError(f"The checkpoint {path} is broken or cut off: train it again or take another.")


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
