"""A Predictor on ONNX Runtime, for `.onnx` files. Does not import PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from mnist_lightning.errors import UserError
from mnist_lightning.inference import onnx_file
from mnist_lightning.inference.predictor import FeatureMaps, Predictor

ACTIVATIONS = ("Relu", "LeakyRelu", "Tanh", "Sigmoid", "Gelu", "Elu", "HardSwish")
POOLS = ("MaxPool", "AveragePool")


class OnnxPredictor(Predictor):
    """A network in an ONNX file as a function of images."""

    def __init__(self, model: onnx.ModelProto, card: dict[str, Any], threads: int = 0) -> None:
        """Create a session for a model that `onnx_file.read` has checked.

        Args:
            model: the model; it is kept for `feature_maps`.
            card: the card in its metadata.
            threads: how many compute; 0 for one per core.
        """
        super().__init__(card)
        self._model, self._threads = model, threads
        self._session = session(model, threads)
        self._input = self._session.get_inputs()[0].name
        if self._session.get_outputs()[0].shape[-1] not in (len(self.class_names), None):
            raise UserError(f"The network has not as many outputs as its card has classes, {len(self.class_names)}.")

    @classmethod
    def open(
        cls,
        path: Path,
        device: str = "auto",
        tta: Mapping[str, float] | None = None,
        precision: str = "32-true",
        threads: int | None = None,
        allow: Sequence[str] = (),
    ) -> OnnxPredictor:
        """Load an ONNX file; see `Predictor.load`.

        Raises:
            UserError: the file does not pass the checks of `onnx_file`, or only a checkpoint can do what is asked for.
        """
        for name, value, allowed in (
            ("device", device, ("auto", "cpu")),
            ("precision", precision, ("auto", "32-true")),
            ("tta", "views" if tta and any(tta.values()) else "none", ("none",)),
        ):
            if value not in allowed:
                raise UserError(
                    f"{name}={value} cannot be combined with {path}: an ONNX file is read with {name}={allowed[-1]}; "
                    "take the checkpoint it came from."
                )
        model, card = onnx_file.read(path)
        try:
            return cls(model, card, threads or 0)
        except UserError as error:
            raise UserError(f"{path} is not read: {error}") from None
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise UserError(
                f"{path} is not read: ONNX Runtime refuses it ({str(error).splitlines()[0][:200]})."
            ) from None

    def logits(self, images: Any, batch_size: int = 250) -> np.ndarray:
        """Logits, float32 [N, C], of images uint8 [N, 28, 28], bright ink on 0."""
        images = np.asarray(images)
        parts = [self.run(to_input(images[at : at + batch_size])) for at in range(0, len(images), batch_size)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.class_names)), np.float32)

    def run(self, images: np.ndarray) -> np.ndarray:
        """Logits, float32 [N, C], of images float32 [N, 1, H, W] in [0, 1]."""
        return self._session.run(None, {self._input: images})[0]

    def feature_maps(self, image: np.ndarray) -> list[FeatureMaps]:
        """What each convolutional layer computes from an image, after its activation and pooling."""
        names, inside = self._inside
        if not names:
            return []
        found = inside.run(names, {self._input: to_input(image[None])})
        return [FeatureMaps(f"block {number}", maps[0]) for number, maps in enumerate(found, start=1)]

    @cached_property
    def _inside(self) -> tuple[list[str], Any]:
        """Names of the layers' outputs, and a session that returns them; made when first asked for."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        names = map_outputs(model)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        return names, session(model, self._threads) if names else None


def session(model: onnx.ModelProto, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waits without occupying a core
    # Products of 8 bits overflow on processors with AVX2 and no VNNI, unless this is set; elsewhere it does nothing.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def to_input(images: np.ndarray) -> np.ndarray:
    """Turn uint8 [N, H, W] into what a network takes: float32 [N, 1, H, W] in [0, 1]."""
    return np.divide(images[:, None], np.float32(255), dtype=np.float32)


def map_outputs(model: onnx.ModelProto) -> list[str]:
    """The tensors that each convolution ends in: after the activation, norm, pooling and rounding that follow it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    follow = (*ACTIVATIONS, *POOLS, "BatchNormalization", "QuantizeLinear", "DequantizeLinear")
    outputs = {each.name for each in model.graph.output}
    found = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        name = node.output[0]
        while len(after := readers.get(name, [])) == 1 and after[0].op_type in follow:
            name = after[0].output[0]
        if name not in outputs:
            found.append(name)
    return found
