"""The routes of the service's own interface: reading, explaining, health, metrics and documentation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.datastructures import UploadFile

from mnist_lightning.errors import UserError
from mnist_lightning.inference.saliency import saliency
from mnist_lightning.ink import drawings
from mnist_lightning.service import documentation, inputs, schemas
from mnist_lightning.service.answers import as_json, layer
from mnist_lightning.service.problems import MEDIA_TYPE, Problem
from mnist_lightning.service.reading import Content

if TYPE_CHECKING:
    from mnist_lightning.service.app import Service

_PROBLEM = {"content": {MEDIA_TYPE: {"schema": schemas.inlined(schemas.Problem)}}}
_REASONS = {
    400: "The body is not what its media type says.",
    401: "The API key is missing or wrong.",
    403: "The service keeps no drawings.",
    408: "The body did not arrive in time.",
    413: "The body or the picture is too large.",
    415: "The media type is none that is read.",
    422: "The body is well formed, but not a picture, drawing or image.",
    503: "The queue is full, or the service ends; `Retry-After` says when to try again.",
}
log = logging.getLogger("mnist_lightning")

T = TypeVar("T")
FORM, RAW, JSON = "multipart/form-data", "application/octet-stream", "application/json"
MOST_EXPLAINED = 8  # digits of one request; each takes hundreds of readings


IMAGES = {
    "parameters": [
        {"name": "images", "in": "query", "description": "Whether the answer holds what the network saw.",
         "schema": {"type": "boolean", "default": False}}
    ]
}  # fmt: skip


def _wants_images(request: Request) -> bool:
    """The value of `?images=`. Not a parameter of the route: FastAPI takes longer to fill it in than reading takes."""
    if not request.scope["query_string"]:
        return False
    value = request.query_params.get("images", "false")
    if value not in ("true", "false"):
        raise Problem(422, f"images={value[:60]} is neither true nor false.")
    return value == "true"


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for the OpenAPI description."""
    return {status: {"description": _REASONS[status], **_PROBLEM} for status in statuses}


READ = responses(400, 401, 408, 413, 415, 422, 503)


def media_type(request: Request) -> str:
    """The media type of a request's body, without parameters."""
    # Not `request.headers`, which takes as long as decoding a small picture.
    given = next((value for name, value in request.scope["headers"] if name == b"content-type"), b"")
    return given.decode("latin-1").partition(";")[0].strip().lower()


async def body_of(request: Request, service: Service) -> bytes:
    """A request's body.

    Raises:
        Problem: it did not arrive in time (408), or is empty (422).
    """
    data = await in_time(request.body(), service.limits.seconds)
    if not data:
        raise Problem(422, "The body is empty: send a picture, strokes or an image; /docs shows how.")
    return data


async def in_time(work: Awaitable[T], seconds: float) -> T:
    """The result of `work`, which receives a body; a 408 after `seconds`.

    Not `asyncio.timeout`, which Python 3.10 lacks, nor `wait_for`, which wraps it in a task.
    """
    task, late = asyncio.current_task(), False
    assert task is not None

    def cancel() -> None:
        nonlocal late
        late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, cancel)
    try:
        return await work
    except asyncio.CancelledError:
        if not late:
            raise
        raise Problem(408, f"The body did not arrive within {seconds:g} seconds.") from None
    finally:
        timer.cancel()


async def files_of(request: Request, service: Service, most: int) -> list[bytes]:
    """The files under `file` of a multipart body."""
    form = await in_time(request.form(max_files=most, max_fields=16, max_part_size=65_536), service.limits.seconds)
    try:
        parts = form.getlist("file")
        if not parts or not all(isinstance(part, UploadFile) for part in parts):
            raise Problem(422, 'The form has no file under the name "file".')
        return [await part.read() for part in parts]  # type: ignore[union-attr]
    finally:
        await form.close()


async def content_of(request: Request, service: Service) -> Content | Callable[[], Content]:
    """The picture or drawing in a request, or a function that makes it if that takes a while."""
    kind, limits = media_type(request), service.limits
    work: Any
    if kind == FORM:
        (data,) = await files_of(request, service, 1)
        kind, work = "image/", inputs.from_picture
    elif kind in ("image/png", "image/jpeg"):
        data, work = await body_of(request, service), inputs.from_picture
    elif kind == JSON:
        data, work = await body_of(request, service), _from_json
    else:
        raise Problem(415, f"The media type {kind[:60]!r} is not read: send image/png, image/jpeg, {JSON} or {FORM}.")
    return work(data, limits) if inputs.is_quick(data, kind) else partial(work, data, limits)


def _from_json(data: bytes, limits: Any) -> Content:
    return inputs.from_json(inputs.parse_json(data), limits)


class _Bare(APIRoute):
    """A route whose function takes the request and returns the response.

    FastAPI's own handler would fill in arguments and convert results: a sixth of the time of a request with one digit.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI calls: the function itself."""
        return self.endpoint


def add(app: FastAPI, service: Service) -> None:
    """Add all routes of this module to an application."""
    _add_reading(app, service)
    _add_batches(app, service)
    _add_explaining(app, service)
    _add_drawings(app, service)
    _add_watching(app, service)


def _add_reading(app: FastAPI, service: Service) -> None:
    words, batcher = service.words, service.batcher

    async def predict(request: Request) -> Response:
        """Read the digits in a picture or drawing. With `images=true` the answer holds what the network saw."""
        began = time.perf_counter()
        images = _wants_images(request)
        batcher.reserve(1)
        try:
            reading = await service.read(await content_of(request, service))
        finally:
            batcher.release(1)
        return words.answer(words.fields(reading, images), service.milliseconds(began))

    app.router.add_api_route(
        "/v1/predict", predict, methods=["POST"], tags=["read"], responses=READ, response_model=None,
        route_class_override=_Bare,
        openapi_extra=IMAGES | documentation.with_answer(
            schemas.Prediction,
            schemas.body(schemas.Drawing, schemas.Picture, image_png=schemas.BINARY, image_jpeg=schemas.BINARY,
                         **{FORM: schemas.ONE_FILE}),
        ),
    )  # fmt: skip


def _add_batches(app: FastAPI, service: Service) -> None:
    words, limits = service.words, service.limits

    @app.post(
        "/v1/predict/batch", tags=["read"], responses=READ, response_model=None,
        openapi_extra=documentation.with_answer(
            schemas.BatchPrediction,
            schemas.body(schemas.Many, **{RAW: schemas.BINARY, FORM: schemas.MANY_FILES}),
            raw=RAW,
        ),
    )  # fmt: skip
    async def predict_batch(request: Request) -> Response:
        """Read many pictures, drawings or images.

        Raw bytes are N x 784 grey values, bright ink on 0, prepared as MNIST is, and read as they are. With
        `Accept: application/octet-stream` the answer is N x C probabilities as float32, little-endian.
        """
        began = time.perf_counter()
        async with service.place():
            kind = media_type(request)
            if kind not in (RAW, JSON, FORM):
                raise Problem(415, f"The media type {kind[:60]!r} is not read: send {RAW}, {JSON} or {FORM}.")
            body: Any = await (files_of(request, service, limits.images) if kind == FORM else body_of(request, service))
            with service.turn():
                if kind == RAW:
                    rows = await service.read_many(inputs.raw_images(body, limits))
                    if request.headers.get("accept", "").partition(";")[0].strip() == RAW:
                        return Response(rows.astype("<f4").tobytes(), media_type=RAW)
                    fields = await service.prepare(words.rows, rows)
                else:
                    contents = _contents_of(body, service)
                    found = [f"{{{words.fields(await service.read(content))}}}" async for content in contents]
                    fields = f'"results":[{",".join(found)}]'
        return words.answer(fields, service.milliseconds(began))


async def _contents_of(body: Any, service: Service) -> AsyncIterator[Content | Callable[[], Content]]:
    """The pictures or drawings in a list of files or in JSON, one at a time: all of them might not fit into memory."""
    limits = service.limits
    if isinstance(body, list):
        for data in body:
            yield partial(inputs.from_picture, data, limits)
        return
    value = await service.prepare(inputs.parse_json, body)
    items = value.get("items")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Problem(422, '"items" is not a list of {"strokes": ...} or {"image": ...}.')
    if len(items) > limits.images:
        raise Problem(413, f"There are {len(items)} items: at most {limits.images} are read in one request.")
    for item in items:
        yield await service.prepare(inputs.from_json, item, limits)


def _add_explaining(app: FastAPI, service: Service) -> None:
    words = service.words

    @app.post(
        "/v1/explain", tags=["read"], responses=READ, response_model=None,
        openapi_extra=documentation.with_answer(
            schemas.Explanation,
            schemas.body(schemas.Drawing, schemas.Picture, image_png=schemas.BINARY, image_jpeg=schemas.BINARY,
                         **{FORM: schemas.ONE_FILE}),
        ),
    )  # fmt: skip
    async def explain(request: Request) -> Response:
        """Read as `/v1/predict` does, and say how: which pixels decided, and what each layer computes."""
        began = time.perf_counter()
        async with service.place():
            reading = await service.read(await content_of(request, service))
            if (count := len(reading.digits)) > MOST_EXPLAINED:
                raise Problem(422, f"There are {count} digits: at most {MOST_EXPLAINED} are explained.")
            answer = words.reading(reading, images=True)
            for digit, each in zip(answer["digits"], reading.digits, strict=True):
                digit |= await service.explain(_explained, service, each.image)
        answer["model"], answer["milliseconds"] = words.model, service.milliseconds(began)
        return as_json(answer)


def _explained(service: Service, image: np.ndarray) -> dict[str, Any]:
    decided = saliency(service.predictor, image)
    return {
        "saliency": [[round(value, 5) for value in row] for row in decided.tolist()],
        "feature_maps": [layer(maps) for maps in service.predictor.feature_maps(image)],
    }


def _add_drawings(app: FastAPI, service: Service) -> None:
    folder = service.limits.keep_drawings

    @app.post(
        "/v1/drawings", tags=["drawings"], status_code=201, response_model=None,
        responses=responses(400, 401, 403, 408, 413, 415, 422, 503),
        openapi_extra=documentation.with_answer(schemas.Kept, schemas.body(schemas.Labelled), status=201),
    )  # fmt: skip
    async def keep_drawing(request: Request) -> Response:
        """Keep a drawing with its digit, where the service was started with `serve.keep_drawings=<folder>`."""
        if folder is None:
            raise Problem(403, "This service keeps no drawings.")
        if media_type(request) != JSON:
            raise Problem(415, f"The media type {media_type(request)[:60]!r} is not read: send {JSON}.")
        async with service.place():
            value = await service.prepare(inputs.parse_json, await body_of(request, service))
            label = value.get("label")
            if type(label) is not int or not 0 <= label <= 9:
                raise Problem(422, '"label" is not a digit from 0 to 9.')
            strokes = await service.prepare(inputs.strokes_of, value, service.limits)
            if not strokes:
                raise Problem(422, "The drawing has no points.")
            try:
                count = await service.prepare(drawings.append, folder, strokes, label)
            except UserError as error:
                log.warning("serve.keep_drawings=%s: a drawing is lost. %s", folder, error)
                raise Problem(503, "The drawing could not be written: try again later.") from None
        return as_json({"drawings": count}, 201)


def _add_watching(app: FastAPI, service: Service) -> None:
    words, predictor = service.words, service.predictor

    @app.get("/healthz", tags=["watch"], response_model=None, openapi_extra=documentation.with_answer(schemas.State))
    async def healthz() -> Response:
        """Whether the process is alive; does not touch the queue."""
        return as_json({"status": "alive"})

    @app.get("/readyz", tags=["watch"], response_model=None, responses=responses(503),
             openapi_extra=documentation.with_answer(schemas.State))  # fmt: skip
    async def readyz() -> Response:
        """Whether it accepts requests: 503 after SIGTERM."""
        if service.guard.draining:
            raise Problem(503, "The service is about to end.")
        return as_json({"status": "ready"})

    @app.get("/metrics", tags=["watch"], response_model=None,
             openapi_extra=documentation.with_answer(None, raw="text/plain"))  # fmt: skip
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        text, kind = service.metrics.page()
        return Response(text, headers={"Content-Type": kind})

    card = {key: value for key, value in predictor.card.items() if key not in ("settings", "class_names")}
    about = {
        **words.model, "classes": list(predictor.class_names), "sure": words.sure,
        "temperature": predictor.temperature, "keeps_drawings": service.limits.keep_drawings is not None, "card": card,
    }  # fmt: skip

    @app.get("/v1/model", tags=["watch"], response_model=None, responses=responses(401),
             openapi_extra=documentation.with_answer(schemas.ModelCard))  # fmt: skip
    async def model() -> Response:
        """Which network reads, and what is known about it."""
        return as_json(about)

    documentation.add(app, service.limits.strokes, service.keyed)
