"""The application: every route of the service."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from mnist_lightning import __version__
from mnist_lightning.inference.predictor import Predictor, softmax
from mnist_lightning.inference.reader import Reading
from mnist_lightning.service import inputs, problems, protocol, routes
from mnist_lightning.service.answers import Words
from mnist_lightning.service.batcher import Batcher
from mnist_lightning.service.guard import Guard
from mnist_lightning.service.limits import Limits
from mnist_lightning.service.metrics import Metrics
from mnist_lightning.service.reading import Content, one_digit, read

PAGE = Path(__file__).parent / "page"
MOST_MANY = 8  # requests of many images, in any form, that are read or wait for one another
T = TypeVar("T")

_DESCRIPTION = """Reads handwritten digits.

Pictures may be of any size, dark on light or light on dark, with one digit or several; strokes are those of a pen or
mouse, in any unit, with y pointing down. Errors are problem details (RFC 9457). While the queue is full, requests are
answered with 503 and `Retry-After`."""


class Service:
    """What the routes share.

    Attributes:
        guard: the whole service as an ASGI application.
        predictor: the network.
        batcher: reads images in batches.
        words: labels and names for the answers.
        limits: what requests may take.
        keyed: whether requests must send a key.
    """

    def __init__(self, predictor: Predictor, model: dict[str, Any], sure: float, limits: Limits,
                 api_key: str | None = None) -> None:  # fmt: skip
        """Make a service.

        Args:
            predictor: the network, of either engine.
            model: its identity: `name`, `version`, `precision`.
            sure: smallest probability at which a digit counts as sure.
            limits: what requests may take.
            api_key: the key that requests must send; None for none.
        """
        self.predictor, self.limits = predictor, limits
        self.words = Words(predictor.class_names, model, sure)
        self.metrics = Metrics(lambda: self.batcher.waiting)
        self.batcher = Batcher(
            self._probabilities, capacity=limits.queue, largest=limits.batch, watch=self.metrics.batch
        )
        self._many, self._pieces = 0, asyncio.Semaphore(1)
        self._workers = ThreadPoolExecutor(2, "prepare")  # more would only wait for Python's lock
        self._explainers = ThreadPoolExecutor(1, "explain")
        self.keyed = bool(api_key)
        self.guard = Guard(self._application(), self.batcher, self.metrics, api_key)

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        logits = np.asarray(self.predictor.logits(images, self.limits.batch))
        return softmax(logits, self.predictor.temperature)

    async def prepare(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do work that takes a while, such as decoding a photograph, in another thread."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)

    async def read(self, content: Content | Callable[[], Content]) -> Reading:
        """Read a picture or drawing; room for one image must be reserved.

        An image in the form of MNIST joins a batch; everything else is read by the reader, in another thread.

        Args:
            content: the picture or drawing, or a function that makes it. That runs in the other thread right before the
                reading, so that no more decoded pictures are held at a time than there are threads.

        Raises:
            Problem: there are too many digits, or what the function raises.
        """
        if callable(content):
            return self._limited(await self.prepare(lambda: read(content(), self.predictor, self.words.sure)))
        if content.pixels is not None and (box := inputs.mnist_box(content.pixels)) is not None:
            (row,) = await self.batcher.read(content.pixels[None])
            words = self.words
            if (found := one_digit(row, content.pixels, box, words.class_names, words.sure)) is not None:
                return found
        return self._limited(await self.prepare(read, content, self.predictor, self.words.sure))

    def _limited(self, found: Reading) -> Reading:
        if len(found.digits) > self.limits.digits:
            raise problems.Problem(
                422, f"There are {len(found.digits)} digits: at most {self.limits.digits} are read in one request."
            )
        return found

    async def explain(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do work that takes hundreds of readings in another thread, one piece at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._explainers, work, *arguments)

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the queue for a request of many images; raises `Full` where there is none."""
        self.batcher.reserve(1)
        try:
            yield
        finally:
            self.batcher.release(1)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Count a request of many images whose body has arrived; raises `Full` where too many are being read."""
        if self._many >= MOST_MANY:
            raise problems.Full
        self._many += 1
        try:
            yield
        finally:
            self._many -= 1

    async def read_many(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of any number of images, in pieces that let other requests pass between them.

        Only one such request is read at a time, with two pieces in the queue; others wait for it.
        """
        async with self._pieces:
            return await self._read_pieces(images)

    async def _read_pieces(self, images: np.ndarray) -> np.ndarray:
        size = self.limits.batch
        found: list[np.ndarray] = []
        running: list[asyncio.Task[np.ndarray]] = []
        try:
            for start in range(0, len(images), size):
                if len(running) == 2:
                    found.append(await running.pop(0))
                running.append(asyncio.ensure_future(self.batcher.read(images[start : start + size])))
            found += [await task for task in running]
        except BaseException:
            for task in running:
                task.cancel()
            raise
        return np.concatenate(found)

    def milliseconds(self, began: float) -> float:
        """Time since `began`, by `time.perf_counter`."""
        return round(1000 * (time.perf_counter() - began), 3)

    def _application(self) -> FastAPI:
        app = FastAPI(
            title="mnist-lightning", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None,
            lifespan=self._lifespan, max_body_size=self.limits.body, strict_content_type=True,
            separate_input_output_schemas=False,
        )  # fmt: skip
        app.add_exception_handler(problems.Problem, _problem)
        app.add_exception_handler(HTTPException, _http_error)
        app.add_exception_handler(RequestValidationError, _invalid)
        app.add_exception_handler(ClientDisconnect, _gone)
        app.add_exception_handler(Exception, _fault)
        routes.add(app, self)
        protocol.add(app, self)
        if PAGE.is_dir():
            app.router.default = Page(directory=PAGE, html=True)  # what no route answers
        return app

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        self.batcher.start()
        await self.batcher.read(np.zeros((1, 28, 28), np.uint8))  # so that the first request is as fast as the others
        gc.collect()
        gc.freeze()  # what is imported is never freed: no need to look at it again
        yield
        self.batcher.stop()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._explainers.shutdown(wait=False, cancel_futures=True)


class Page(StaticFiles):
    """The files of the page; all of them count as one route."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with a file; where there is none, every method gets 404."""
        try:
            found = self.lookup_path(self.get_path(scope))[1]
        except (OSError, ValueError):  # a path that no file can have: too long, or with a null character
            raise HTTPException(404) from None
        if found is None:
            raise HTTPException(404)
        scope["route"] = SimpleNamespace(path="/")
        await super().__call__(scope, receive, send)


async def _problem(_request: Request, error: Any) -> Response:
    return problems.answer(error.status, error.detail)


async def _http_error(_request: Request, error: Any) -> Response:
    detail = {
        404: "There is nothing here: see /docs.",
        405: "This path does not take that method: see /docs.",
        413: "The body is too large.",
    }.get(error.status_code, str(error.detail))
    return problems.answer(error.status_code, detail, dict(error.headers or {}))


async def _invalid(_request: Request, error: Any) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return problems.answer(422, f"{where or 'The request'} is not valid: {first['msg']}."[:300])


async def _gone(_request: Request, _error: Exception) -> Response:
    return problems.answer(400, "The connection was closed before the body had arrived.")


async def _fault(_request: Request, _error: Exception) -> Response:
    return problems.answer(500, "The service failed to answer; its log says why.")
