"""export(): write a trained network as a file for other programs, checked before it gets its name."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mnist_lightning import __version__, compat
from mnist_lightning.errors import UserError
from mnist_lightning.export.formats import FORMATS, INT8_DIFFERING, QUANTIZED, READERS, SUFFIXES, Export
from mnist_lightning.models.card import sure_from
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records
from mnist_lightning.run.files import digest, put_in_place
from mnist_lightning.types import Part, Probability

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("mnist_lightning")

CHECKED = 1_000  # images that the file is compared with the original on
TOLERANCE = 1e-4  # largest difference of a probability
CALIBRATION = 1_000  # training images that set the ranges of 8-bit numbers


def export(
    *,
    ckpt: str | None = None,
    format: Literal["onnx", "torch_export", "torchscript", "safetensors", "web"] = "onnx",
    quantize: Literal["int8"] | None = None,
    engine: Literal["own", "onnxruntime-web"] = "own",
    output: str | None = None,
    sure: Probability | None = None,
    outputs: str = "outputs",
    data: Part | None = None,
    allow: Sequence[str] = (),
) -> Path:
    """Write a network as a file for other programs.

    The file is written under a temporary name, compared with the original on 1,000 images (the same digit, and
    probabilities within 1e-4; an 8-bit network may read one image in a hundred differently), and then renamed.

    Args:
        ckpt: as everywhere (see `runs.find_checkpoint`); a `.ckpt` or `.safetensors` file.
        format: one of `FORMATS`.
        quantize: int8 for weights and activations of 8 bits, or None.
        engine: of format=web, what runs the network in the browser.
        output: the file to write; None for the export folder of the run, or the current folder for other networks.
        sure: smallest probability at which a digit counts as sure, written into the card; None for the card's
            or the default.
        outputs: folder that `latest` is looked up in.
        data: settings of `conf/data/`, for the images that it is checked and calibrated on.
        allow: modules outside of this package whose networks the checkpoint may name.

    Returns:
        The path of the file.

    Raises:
        UserError: no such network, an unknown format, or the file cannot be written.
        RuntimeError: the file does not compute what the network does; it is removed.
    """
    if quantize and format not in QUANTIZED:
        raise UserError(f"quantize={quantize} cannot be combined with format={format}: expected format=onnx or web.")
    _warn_of_no_effect(format, quantize, engine)
    path, word = runs.find_checkpoint(ckpt, Path(outputs))
    if path.suffix == ".onnx":
        raise UserError(f"{path} is an ONNX file already: give the checkpoint it came from.")
    target = _target(path, output, ("." + quantize if quantize else "") + SUFFIXES[format])
    ending = "." + SUFFIXES[format].rpartition(".")[2]
    if target.suffix != ending:
        raise UserError(
            f"output={output} cannot be written with format={format}: expected a name that ends in {ending}."
        )
    if target.exists() and target.samefile(path):
        raise UserError(f"{target} is the checkpoint that is exported: set another output=.")
    print(f"Checkpoint: {word}", flush=True)
    with compat.heavy_imports():
        from mnist_lightning.models import checkpoint

    network, card = checkpoint.restore(path, allow)
    card = {
        **card,
        "sure": sure_from(card, sure),
        "temperature": card.get("temperature", 1.0),
        "export": _origin(path, quantize),
    }
    images = _Images(data)
    temporary = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
    began = time.perf_counter()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        given = Export(network, card, temporary, quantize, images.calibration, {"engine": engine})
        FORMATS[format](given)
        if format in READERS:
            _check(given, READERS[format](temporary), *images.checked())
        put_in_place(temporary, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error}): set another output=.") from None
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{target}: {target.stat().st_size:,} bytes (the checkpoint has {path.stat().st_size:,}), "
          f"made in {time.perf_counter() - began:.1f} s")  # fmt: skip
    return target


def _warn_of_no_effect(format: str, quantize: str | None, engine: str) -> None:
    if quantize and format == "web" and engine == "own":
        log.warning("quantize=int8 has no effect with engine=own, whose weights always have 8 bits.")
    if format != "web" and engine != "own":
        log.warning("engine=%s has no effect with format=%s, only with format=web.", engine, format)


def _origin(path: Path, quantize: str | None) -> dict[str, Any]:
    return {"source": path.name, "sha256": digest(path), "version": __version__, "quantize": quantize}


def _target(path: Path, output: str | None, suffix: str) -> Path:
    if output is not None:
        if Path(output).is_dir():
            raise UserError(f"output={output} is a folder: name the file to write.")
        return Path(output)
    run = path.parent.parent
    if (run / records.METRICS_FILE).is_file():
        return run / "export" / f"mnist{suffix}"
    return Path(path.stem + suffix)


class _Images:
    """The images that an export is checked and calibrated on, loaded when first needed: uint8 [N, 28, 28]."""

    def __init__(self, data: dict[str, Any] | None) -> None:
        self._data = data or {}
        self._loaded: Any = None

    def _train(self) -> tuple[np.ndarray, np.ndarray]:
        if self._loaded is None:
            from mnist_lightning.cli import parts
            from mnist_lightning.data.datamodule import DigitsDataModule

            given = parts.source_built(self._data)  # of which how the images were split and changed does not matter
            place = {key: given[key] for key in ("name", "folder", "mirrors", "source") if key in given}
            source = DigitsDataModule(**place).load_source()
            self._loaded = source.train_images.numpy(), source.train_labels.numpy()
        return self._loaded

    def calibration(self) -> np.ndarray:
        """A thousand training images, evenly spaced."""
        images, _ = self._train()
        return images[:: max(1, len(images) // CALIBRATION)][:CALIBRATION]

    def checked(self) -> tuple[np.ndarray, np.ndarray]:
        """A thousand other images, and their labels."""
        images, labels = self._train()
        step = max(1, len(images) // CHECKED)
        return images[step // 2 :: step][:CHECKED], labels[step // 2 :: step][:CHECKED]


def _check(given: Export, read: Any, images: np.ndarray, labels: np.ndarray) -> None:
    """Compare a file with the network it was made from.

    Raises:
        RuntimeError: it reads other digits, or its probabilities differ by more than is allowed.
    """
    import numpy as np
    import torch

    from mnist_lightning.inference.torch_predictor import TorchPredictor

    original = TorchPredictor(given.network, given.card, torch.device("cpu")).probabilities(images)
    found = read(images)
    differing = int((found.argmax(1) != original.argmax(1)).sum())
    largest = float(np.abs(found - original).max())
    right = [int((each.argmax(1) == labels).sum()) for each in (found, original)]
    print(
        f"{differing} of {len(images)} training images are read differently; largest difference of a probability "
        f"{largest:.1e}; read right: {right[0]}, by the network itself {right[1]}"
    )
    allowed = INT8_DIFFERING * len(images) if given.quantize else 0
    if differing > allowed or (largest > TOLERANCE and not given.quantize):
        raise RuntimeError(
            f"The exported file does not compute what the network does: {differing} of {len(images)} images are read "
            f"otherwise, and a probability differs by {largest:.1e}. It was removed."
        )
