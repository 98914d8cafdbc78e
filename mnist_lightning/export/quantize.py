"""An 8-bit ONNX model: ONNX Runtime's static quantisation."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from mnist_lightning.inference.onnx_predictor import to_input

BATCH_SIZE = 100


class _Images(CalibrationDataReader):
    """Feeds the calibration with images, uint8 [N, H, W]."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = (
            {name: to_input(images[start : start + BATCH_SIZE])} for start in range(0, len(images), BATCH_SIZE)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        return next(self._batches, None)


def to_int8(model: onnx.ModelProto, images: np.ndarray, batch: str) -> onnx.ModelProto:
    """Quantise a model statically: weights int8 per channel, activations uint8, in the QDQ format.

    Args:
        model: float32.
        images: training images, uint8 [N, H, W], bright ink on 0, from which the ranges of the activations are taken.
        batch: name of the batch dimension.
    """
    logging.getLogger().addFilter(lambda record: "pre-processing" not in record.getMessage())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model, path, _Images(model.graph.input[0].name, images), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # 8-bit logits would make steps in the probabilities.
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )  # fmt: skip
        quantised = onnx.load(path)
    del quantised.graph.value_info[:], quantised.metadata_props[:]
    quantised.producer_name = "mnist_lightning"
    return quantised
