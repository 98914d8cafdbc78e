"""A network -> an ONNX model in one piece, with its card in the metadata."""

from __future__ import annotations

import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

from mnist_lightning.export.formats import Export
from mnist_lightning.models.card import CARD, dump_card

if TYPE_CHECKING:
    import onnx

OPSET = 20
INPUT, OUTPUT, BATCH = "images", "logits", "batch"


def write(export: Export) -> None:
    """Write `export.path`, an ONNX file; with `quantize=int8` its convolutions and products have 8 bits."""
    model = to_onnx(export)
    if export.quantize:
        from mnist_lightning.export.quantize import to_int8

        model = to_int8(model, export.calibration(), BATCH)
    add_metadata(model, export.card)
    export.path.write_bytes(model.SerializeToString(deterministic=True))


def to_onnx(export: Export) -> onnx.ModelProto:
    """The network as an ONNX model: float32 `images` [batch, 1, H, W] in [0, 1] -> `logits` [batch, C]."""
    import torch
    from torch.export import Dim

    from mnist_lightning.models.fold import fold

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            fold(export.network), (export.example(),), dynamo=True, dynamic_shapes=({0: Dim.DYNAMIC},),
            input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    _clean(model)
    return model


def _clean(model: onnx.ModelProto) -> None:
    """Name the batch dimension, and remove the exporter's notes on its own work: traces, paths, inferred shapes."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del model.graph.value_info[:], model.metadata_props[:], model.functions[:]
    model.graph.name, model.producer_name = "mnist_lightning", "mnist_lightning"
    model.ClearField("doc_string")
    model.graph.ClearField("doc_string")
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]  # type: ignore[attr-defined]
        part.ClearField("doc_string")


def add_metadata(model: onnx.ModelProto, card: dict[str, Any]) -> None:
    """Put the card into a model's metadata, and what other programs need of it under separate names."""
    entries = {
        CARD: dump_card(card),
        "class_names": json.dumps(list(card["class_names"]), ensure_ascii=False),
        "temperature": str(card.get("temperature", 1.0)),
        "sure": str(card["sure"]),
        "preprocessing": json.dumps(
            {
                "input": f"{INPUT}: float32 [{BATCH}, 1, {card['image_size']}, {card['image_size']}], 0 to 1, "
                "bright ink on 0",
                "normalised_by": "the network itself",
                "probabilities": "softmax(logits / temperature)",
            }
        ),
        "training_run": str(card["export"]["source"]),
    }
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
