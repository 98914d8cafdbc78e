"""Checks an ONNX file before a session is created from it. Knows the file format, not the runtime.

ONNX Runtime accepts a one-kilobyte file that creates a 160 GB tensor, and reads weights from any file that the model
names. So a model must consist of known operators, hold all its weights, and have shapes that are known and small.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import shape_inference

from mnist_lightning.errors import UserError
from mnist_lightning.models.card import CARD, parse_card

LARGEST_FILE = 64 * 2**20  # bytes
LARGEST_TENSOR = 4 * 2**20  # bytes per image, of what a layer computes
LARGEST_SUM = 32 * 2**20  # bytes per image, of what all layers compute
MOST_NODES = 5_000
NEWEST_OPSET = 25
_NAMES = (
    "Abs Add And ArgMax AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant Conv Cos "
    "DequantizeLinear Div Dropout Elu Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm "
    "GlobalAveragePool GlobalMaxPool Greater GridSample HardSigmoid HardSwish Identity LayerNormalization "
    "LeakyRelu Less Log LogSoftmax MatMul Max MaxPool Mean Min Mul Neg Not PRelu Pow QuantizeLinear "
    "Reciprocal ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu "
    "Reshape Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Transpose "
    "Unsqueeze Where "
)
OPERATORS = frozenset(_NAMES.split())
"""Operators of networks that read images. None has a subgraph, random numbers or a size that depends on its values."""

_EXAMPLES = (2, 64)  # batch sizes for which shapes are inferred: two, because sizes may grow with the batch's square


def read(path: Path) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Read and check an ONNX file.

    Returns:
        The model, and the card in its metadata.

    Raises:
        UserError: the file cannot be read, is not a network of this project, or does not pass the checks.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(f"{path} has {size:,} bytes: at most {LARGEST_FILE:,} are read.")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The network {path} cannot be read: {error.strerror}.") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise UserError(f"{path} is broken or not an ONNX file: export the network again.") from None
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    card = parse_card(metadata.get(CARD), str(path))
    fault = _fault(model, card)
    if fault:
        raise UserError(f"{path} is not read: {fault}.")
    return model, card


def _fault(model: onnx.ModelProto, card: Mapping[str, Any]) -> str | None:
    """What is wrong with a model, as the end of a sentence; None if nothing is."""
    checks = (
        _fault_of_form,
        _fault_of_weights,
        functools.partial(_fault_of_ends, card=card),
        functools.partial(_fault_of_shapes, classes=len(card["class_names"])),
    )
    return next((fault for check in checks if (fault := check(model))), None)


def _fault_of_form(model: onnx.ModelProto) -> str | None:
    if model.functions or model.training_info:
        return "it defines functions or training steps of its own"
    if foreign := [each.domain for each in model.opset_import if each.domain not in ("", "ai.onnx")]:
        return f"it uses operators of the domain {foreign[0]!r}; only ONNX's own are allowed"
    if any(each.version > NEWEST_OPSET for each in model.opset_import):
        return f"its operator set is newer than {NEWEST_OPSET}"
    if len(model.graph.node) > MOST_NODES:
        return f"it has {len(model.graph.node):,} nodes; at most {MOST_NODES:,} are allowed"
    for node in model.graph.node:
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
            return f"the operator {node.op_type[:60]!r} is not on the list of allowed ones"
        if any(each.HasField("g") or each.graphs for each in node.attribute):
            return f"its node {node.op_type!r} holds a graph of its own"
    return None


def _fault_of_weights(model: onnx.ModelProto) -> str | None:
    if model.graph.sparse_initializer:
        return "it holds sparse weights"
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return "its weights lie in another file; export it as one file"
        if any(side < 0 for side in tensor.dims):
            return f"its tensor {tensor.name[:60]!r} has a negative size"
    return None


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                yield from (each.values for each in (attribute.sparse_tensor, *attribute.sparse_tensors))


def _fault_of_ends(model: onnx.ModelProto, card: Mapping[str, Any]) -> str | None:
    """What is wrong with its input and output."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    side, classes = card["image_size"], len(card["class_names"])
    if len(inputs) != 1 or not _is_float(inputs[0]) or _shape(inputs[0])[1:] != [1, side, side]:
        return f"its input is not one float32 tensor [batch, 1, {side}, {side}]"
    if _shape(inputs[0])[0] is not None:
        return f"its batch size is fixed at {_shape(inputs[0])[0]}; export it with a free one"
    if len(model.graph.output) != 1 or not _is_float(model.graph.output[0]):
        return f"its output is not one float32 tensor [batch, {classes}]"
    return None


def _fault_of_shapes(model: onnx.ModelProto, classes: int) -> str | None:
    """What is wrong with the sizes of the tensors that it computes."""
    return next((fault for batch in _EXAMPLES if (fault := _fault_of_batch(model, classes, batch))), None)


def _fault_of_batch(model: onnx.ModelProto, classes: int, batch: int) -> str | None:
    """What is wrong with the sizes for a batch of `batch` images."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    weights = {tensor.name for tensor in fixed.graph.initializer}
    entry = next(each for each in fixed.graph.input if each.name not in weights)
    entry.type.tensor_type.shape.dim[0].dim_value = batch
    try:
        onnx.checker.check_model(fixed, full_check=False)
        inferred = shape_inference.infer_shapes(fixed, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError, ValueError, RuntimeError):
        return "it is not a valid ONNX model"
    known = {each.name: each for each in [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]}
    sizes: dict[str, int] = {tensor.name: math.prod(tensor.dims) for tensor in inferred.graph.initializer}
    sizes[entry.name] = math.prod(side or 0 for side in _shape(entry))
    total = 0
    for node in inferred.graph.node:
        for name in filter(None, node.output):
            shape = _shape(known[name]) if name in known else [None]
            if None not in shape:
                sizes[name] = math.prod(shape)  # type: ignore[arg-type]
            elif node.op_type == "Reshape" and node.input[0] in sizes:  # in any shape, it holds the same numbers
                sizes[name] = sizes[node.input[0]]
            else:
                return f"the size of its tensor {name[:60]!r} cannot be told in advance"
            size = 4 * sizes[name] // batch
            total += size
            if size > LARGEST_TENSOR or total > LARGEST_SUM:
                return f"with its tensor {name[:60]!r} it takes more memory than {LARGEST_SUM // 2**20} MiB per image"
    if len(found := _shape(inferred.graph.output[0])) != 2 or found != [batch, classes]:
        return f"its output is not {classes} logits per image"
    return None


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    """The sides of a tensor, None where one is not a fixed number."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return [None]
    return [side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim]
