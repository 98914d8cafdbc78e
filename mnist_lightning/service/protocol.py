"""The Open Inference Protocol, version 2, as a thin adapter: KServe and its clients can use the service.

https://github.com/kserve/open-inference-protocol; JSON tensors, no binary extension.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import Response

from mnist_lightning import __version__
from mnist_lightning.service import documentation, inputs, schemas
from mnist_lightning.service.answers import as_json
from mnist_lightning.service.problems import Problem
from mnist_lightning.service.routes import JSON, READ, body_of, media_type, responses

if TYPE_CHECKING:
    from mnist_lightning.service.app import Service

MODEL = "mnist"
INPUT, OUTPUT = "images", "probabilities"


def add(app: FastAPI, service: Service) -> None:
    """Add the routes of the protocol to an application."""
    version, classes = str(service.words.model["version"]), len(service.predictor.class_names)
    form = {
        "name": MODEL, "versions": [version], "platform": "onnxruntime_onnx",
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, 1, 28, 28]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, classes]}],
    }  # fmt: skip
    about: dict[str, tuple[Any, Any]] = {
        "/v2": ({"name": "mnist-lightning", "version": __version__, "extensions": []}, schemas.Server),
        "/v2/health/live": ({"live": True}, schemas.Ready),
        f"/v2/models/{MODEL}": (form, schemas.InferModel),
    }
    for path, (value, schema) in about.items():
        app.add_api_route(path, _fixed(value), tags=["v2"], response_model=None, name=path,
                          openapi_extra=documentation.with_answer(schema))  # fmt: skip

    async def ready() -> Response:
        """Whether requests are accepted."""
        if service.guard.draining:
            raise Problem(503, "The service is about to end.")
        return as_json({"name": MODEL, "ready": True})

    for path in ("/v2/health/ready", f"/v2/models/{MODEL}/ready"):
        app.add_api_route(path, ready, tags=["v2"], response_model=None, responses=responses(503), name=path,
                          openapi_extra=documentation.with_answer(schemas.Ready))  # fmt: skip

    @app.post(
        f"/v2/models/{MODEL}/infer",
        tags=["v2"],
        response_model=None,
        responses=READ,
        openapi_extra=documentation.with_answer(schemas.InferAnswer, schemas.body(schemas.InferRequest)),
    )
    async def infer(request: Request) -> Response:
        """Read images: FP32 from 0 to 1 or UINT8, [N, 1, 28, 28], [N, 28, 28] or [N, 784], in the form of MNIST."""
        if media_type(request) != JSON:
            raise Problem(415, f"The media type {media_type(request)[:60]!r} is not read: send {JSON}.")
        async with service.place():
            data = await body_of(request, service)
            with service.turn():
                value, images = await service.prepare(_images_of, data, service.limits.images)
                rows = await service.read_many(images)
                numbers = await service.prepare(_numbers, rows)
        answer = {"model_name": MODEL, "model_version": version}
        if isinstance(value.get("id"), str):
            answer["id"] = value["id"]
        output = {"name": OUTPUT, "datatype": "FP32", "shape": list(rows.shape)}
        text = f'{json.dumps(answer)[:-1]},"outputs":[{json.dumps(output)[:-1]},"data":[{numbers}]}}]}}'
        return Response(text, media_type=JSON)


def _numbers(rows: np.ndarray) -> str:
    """All numbers of rows [N, C] as JSON has them; row by row, so that other threads go on meanwhile."""
    return ",".join(",".join(map(repr, row)) for row in rows.tolist())


def _fixed(value: Any) -> Any:
    async def answer() -> Response:
        return as_json(value)

    answer.__doc__ = "What the protocol asks of a server."
    return answer


def _images_of(data: bytes, most: int) -> tuple[dict[str, Any], np.ndarray]:
    """The request, and its images, uint8 [N, 28, 28]."""
    value = inputs.parse_json(data)
    for key, form in (("id", str), ("parameters", dict), ("outputs", list)):
        if value.get(key) is not None and not isinstance(value[key], form):
            raise Problem(422, f'"{key}" has the wrong type.')
    if any(not isinstance(each, dict) for each in value.get("outputs") or ()):
        raise Problem(422, '"outputs" is not a list of objects.')
    tensors = value.get("inputs")
    if not isinstance(tensors, list) or len(tensors) != 1 or not isinstance(tensors[0], dict):
        raise Problem(422, '"inputs" is not a list of one tensor.')
    tensor = tensors[0]
    if not isinstance(tensor.get("name"), str) or not isinstance(tensor.get("parameters") or {}, dict):
        raise Problem(422, 'The tensor has no "name", or its "parameters" are not an object.')
    shape, kind, numbers = tensor.get("shape"), tensor.get("datatype"), tensor.get("data")
    if not isinstance(shape, list) or any(type(side) is not int or side < 1 for side in shape):
        raise Problem(422, '"shape" is not a list of positive whole numbers.')
    if shape[1:] not in ([1, 28, 28], [28, 28], [784]):
        raise Problem(422, '"shape" is none of [N, 1, 28, 28], [N, 28, 28] and [N, 784].')
    if shape[0] > most:
        raise Problem(413, f"There are {shape[0]} images: at most {most} are read in one request.")
    if kind not in ("FP32", "UINT8"):
        raise Problem(422, '"datatype" is neither FP32 nor UINT8.')
    if not isinstance(numbers, list):
        raise Problem(422, '"data" is not a list of numbers.')
    try:
        flat = _flat(numbers, -(-64 * len(numbers) // shape[0]))
    except (TypeError, ValueError, OverflowError):
        raise Problem(422, '"data" is not a list of numbers.') from None
    if flat.size != math.prod(shape):
        raise Problem(422, f'"data" has {flat.size} numbers, but "shape" {math.prod(shape)}.')
    largest = 1 if kind == "FP32" else 255
    if not bool(((flat >= 0) & (flat <= largest)).all()):
        raise Problem(422, f'"data" holds a number that is not from 0 to {largest}.')
    return value, (flat * (255 / largest) + 0.5).astype(np.uint8).reshape(-1, 28, 28)


def _flat(numbers: list[Any], step: int) -> np.ndarray:
    """Numbers, or lists of them, as float64; `step` elements at a time, so that other threads go on."""
    parts = [np.asarray(numbers[at : at + step], np.float64).ravel() for at in range(0, len(numbers), step or 1)]
    return np.concatenate([np.zeros(0), *parts])
