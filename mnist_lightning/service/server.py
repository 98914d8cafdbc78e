"""serve(): the service as one process, from settings to SIGTERM."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mnist_lightning.errors import UserError
from mnist_lightning.service.limits import Limits
from mnist_lightning.types import Port, Probability

if TYPE_CHECKING:
    from types import FrameType

    from mnist_lightning.service.app import Service

log = logging.getLogger("mnist_lightning")

_QUIET = 5  # tenths of a second without a request, after which open connections count as idle

API_KEY = "MNIST_LIGHTNING_API_KEY"
"""Environment variable: the key that requests must send; without it, none is required."""


def serve(
    *,
    ckpt: str | None = None,
    outputs: str = "outputs",
    host: str = "127.0.0.1",
    port: Port = 8000,
    precision: Literal["auto", "float32", "int8"] = "auto",
    sure: Probability | None = None,
    allow: Sequence[str] = (),
    log_requests: bool = True,
    serve: Limits | None = None,
) -> None:
    """Serve a network until SIGTERM or Ctrl-C; the settings are those of conf/serve.yaml.

    Raises:
        UserError: the network cannot be loaded, or the port cannot be listened on.
    """
    began = time.perf_counter()
    _log_as_json(log_requests)
    sys.setswitchinterval(0.001)  # Python's default of 5 ms is longer than a reading takes
    service, word = load(ckpt, Path(outputs), precision, sure, Limits(**(serve or {})), allow)  # type: ignore[arg-type]

    import uvicorn

    config = uvicorn.Config(
        service.guard, host, port, log_config=None, access_log=False, server_header=False, ws="none", lifespan="on",
        limit_concurrency=service.limits.connections, timeout_keep_alive=30, timeout_graceful_shutdown=30,
        proxy_headers=False,
    )  # fmt: skip
    server = server_class()(config, service)
    try:
        sockets = [config.bind_socket()]
    except SystemExit:  # uvicorn has said why in its log
        raise UserError(f"host={host} port={port} cannot be listened on: choose another port=.") from None
    server.greeting = "Serving {} ({}) at http://{}:{}".format(
        word, service.words.model["precision"], *sockets[0].getsockname()[:2]
    )
    server.began = began
    server.run(sockets)


def load(
    ckpt: str | None, outputs: Path, precision: Any, sure: float | None, limits: Limits, allow: Sequence[str] = ()
) -> tuple[Service, str]:
    """The service for a network, and a description of the network.

    Raises:
        UserError: the network cannot be loaded.
    """
    import cv2

    from mnist_lightning.inference.onnx_predictor import OnnxPredictor
    from mnist_lightning.models.card import sure_from
    from mnist_lightning.service import network
    from mnist_lightning.service.app import Service

    cv2.setNumThreads(1)  # reading a picture of a digit takes less time than handing it to other threads
    path, word = network.find(ckpt, outputs, precision, allow)
    threads = limits.threads or max(1, (os.cpu_count() or 2) - 1)
    predictor = OnnxPredictor.open(path, threads=threads)
    card = predictor.card
    made = card.get("export", {})
    model = {
        "name": "mnist",
        "version": str(made.get("sha256", "unknown"))[:12],
        "precision": "int8" if made.get("quantize") == "int8" else "float32",
    }
    sure = sure_from(card, sure)
    return Service(predictor, model, sure, limits, os.environ.get(API_KEY)), word


def server_class() -> Any:
    """uvicorn's server with a shutdown in steps; a function, because importing uvicorn takes 0.1 s."""
    import uvicorn

    class Server(uvicorn.Server):
        """At the first SIGTERM or Ctrl-C: `/readyz` is 503 and answers close their connection; some seconds later
        the socket is closed, what was accepted is answered, and the process ends. At the second it ends at once."""

        def __init__(self, config: uvicorn.Config, service: Service) -> None:
            super().__init__(config)
            self._service = service
            self._ending: asyncio.Task[None] | None = None
            self.greeting, self.began = "Serving", time.perf_counter()

        async def serve(self, sockets: list[socket.socket] | None = None) -> None:
            self._running, self._sockets = asyncio.get_running_loop(), sockets or []
            await super().serve(sockets)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            log.info("%s after %.2f s", self.greeting, time.perf_counter() - self.began)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self._service.guard.draining:
                super().handle_exit(sig, frame)
                return
            self._service.guard.draining = True
            self._running.call_soon_threadsafe(self._begin_to_end, signal.Signals(sig).name)

        def _begin_to_end(self, name: str) -> None:
            log.info("%s: the socket closes in %g s", name, self._service.limits.drain)
            self._ending = asyncio.ensure_future(self._end())

        async def _end(self) -> None:
            await asyncio.sleep(self._service.limits.drain)
            for listening in self._sockets:
                self._take_what_waits(listening)
            for server in self.servers:
                server.close()
            # uvicorn would now close connections whose request has arrived but not been looked at.
            quiet = 0
            while quiet < _QUIET and self.server_state.connections:
                before = self._service.guard.answered
                await asyncio.sleep(0.1)
                idle = not self._service.guard.active and self._service.guard.answered == before
                quiet = quiet + 1 if idle else 0
            self.should_exit = True

        def _take_what_waits(self, listening: socket.socket) -> None:
            """Accept the connections waiting in the system's queue: closing the socket would reset them."""
            protocol: Any = self.config.http_protocol_class
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:  # BlockingIOError: none is left
                    return
                connection.setblocking(False)
                task = asyncio.ensure_future(
                    self._running.connect_accepted_socket(
                        lambda: protocol(
                            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
                        ),
                        connection,
                    )
                )
                self._taken.add(task)

        _taken: ClassVar[set[asyncio.Task[Any]]] = set()

    return Server


class _Json(logging.Formatter):
    """One JSON object per line: time, level, message; for a request, its id, path, status and so on."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as JSON."""
        line = {"time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{record.msecs:03.0f}Z",
                "level": record.levelname.lower()}  # fmt: skip
        request = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if fields := getattr(request, "fields", None):
            return json.dumps({**line, **fields})
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_as_json(requests: bool) -> None:
    handler = logging.StreamHandler(sys.stdout)
    formatter = _Json()
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("mnist_lightning", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO if name == "mnist_lightning" else logging.WARNING)
    logging.getLogger("mnist_lightning.access").setLevel(logging.INFO if requests else logging.WARNING)
