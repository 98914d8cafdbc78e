"""What was read -> the JSON of an answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from starlette.responses import Response

from mnist_lightning.inference.predictor import FeatureMaps
from mnist_lightning.service.inputs import Sheet

UNSURE = "?"  # stands in a number for a digit that the network is not sure of


class Words:
    """The labels of a network, and what it is called.

    Attributes:
        model: name, version and precision, part of each answer.
        sure: probability from which on a digit counts as sure.
    """

    def __init__(self, class_names: Sequence[str], model: dict[str, Any], sure: float) -> None:
        self.model, self.sure = model, sure
        self._labels = [int(name) if name.isdigit() else name for name in class_names]
        self._names = list(class_names)
        self._json_labels = [json.dumps(label) for label in self._labels]
        self._json_model = json.dumps(model)
        self._row = ",".join(["%.6f"] * len(self._names))

    def reading(self, sheet: Sheet, probabilities: np.ndarray, *, images: bool = False) -> dict[str, Any]:
        """What was read in a picture or drawing: the number and its digits."""
        digits = []
        number = ""
        for row, box, image in zip(probabilities.tolist(), sheet.boxes, sheet.images, strict=True):
            confidence = max(row)
            best = row.index(confidence)
            sure = confidence >= self.sure
            number += self._names[best] if sure else UNSURE
            digit: dict[str, Any] = {
                "digit": self._labels[best],
                "confidence": round(confidence, 6),
                "probabilities": [round(value, 6) for value in row],
                "sure": sure,
                "box": [round(side, 2) for side in box],
            }
            if images:
                digit["image"] = image.tolist()
            digits.append(digit)
        return {"number": number, "sure": bool(digits) and UNSURE not in number, "digits": digits}

    def prediction(self, sheet: Sheet, probabilities: np.ndarray, images: bool, milliseconds: float) -> str:
        """The answer of `/v1/predict` as JSON.

        Put together as text, in a third of the time of `reading` and `json.dumps`; a test holds the two together.
        """
        digits, number, all_sure = [], "", True
        for row, box, image in zip(probabilities.tolist(), sheet.boxes, sheet.images, strict=True):
            confidence = max(row)
            best = row.index(confidence)
            sure = confidence >= self.sure
            number += self._names[best] if sure else UNSURE
            all_sure = all_sure and sure
            seen = f',"image":{json.dumps(image.tolist(), separators=(",", ":"))}' if images else ""
            digits.append(
                f'{{"digit":{self._json_labels[best]},"confidence":{confidence:.6f},"probabilities":['
                f'{self._row % tuple(row)}],"sure":{"true" if sure else "false"},'
                f'"box":[{box[0]:.2f},{box[1]:.2f},{box[2]:.2f},{box[3]:.2f}]{seen}}}'
            )
        return (
            f'{{"number":{json.dumps(number)},"sure":{"true" if digits and all_sure else "false"},'
            f'"digits":[{",".join(digits)}],"model":{self._json_model},"milliseconds":{milliseconds:.3f}}}'
        )

    def labels(self, probabilities: np.ndarray) -> list[Any]:
        """The likeliest class of each row."""
        return [self._labels[best] for best in probabilities.argmax(1).tolist()]


def as_json(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json.dumps(value, separators=(",", ":")), status, media_type="application/json")


def layer(maps: FeatureMaps) -> dict[str, Any]:
    """Feature maps with their values from `low` to `high` as bytes from 0 to 255, in base64."""
    low, high = float(maps.maps.min()), float(maps.maps.max())
    scaled = (maps.maps - low) * (255 / (high - low)) if high > low else np.zeros_like(maps.maps)
    return {
        "layer": maps.layer,
        "shape": list(maps.maps.shape),
        "low": round(low, 6),
        "high": round(high, 6),
        "maps": base64.b64encode((scaled + 0.5).astype(np.uint8).tobytes()).decode(),
    }
