"""serve(): the service as one process, from settings to SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mnist_lightning.errors import UserError
from mnist_lightning.service.limits import Limits
from mnist_lightning.types import Port, Probability

if TYPE_CHECKING:
    from types import FrameType

    from mnist_lightning.service.app import Service

log = logging.getLogger("mnist_lightning")

_QUIET = 5  # tenths of a second without a request, after which open connections count as idle

_ACCEPTED = 32
"""New connections per turn of the event loop. uvloop accepts one per listening socket, so that of hundreds that open at
once under load the last ones, `/healthz` among them, waited for seconds."""

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

    from mnist_lightning.service.connection import connection_class

    config = uvicorn.Config(
        service.guard, host, port, http=connection_class(service.limits), log_config=None, access_log=False,
        server_header=False, ws="none", lifespan="on", timeout_keep_alive=30, timeout_graceful_shutdown=30,
        proxy_headers=False,
    )  # fmt: skip
    server = server_class()(config, service)
    try:
        sockets = [config.bind_socket()]
    except SystemExit:  # uvicorn has said why in its log
        raise UserError(f"host={host} port={port} cannot be listened on: choose another port= or host=.") from None
    if os.name == "posix":
        sockets += [sockets[0].dup() for _ in range(_ACCEPTED - 1)]
    address, number = sockets[0].getsockname()[:2]
    address = f"[{address}]" if ":" in address else address
    server.greeting = f"Serving {word} ({service.words.model['precision']}) at http://{address}:{number}"
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
        the socket is closed, what was accepted is answered, and the process ends. At the second all connections are
        dropped."""

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
                self._running.call_soon_threadsafe(self._drop)
                return
            self._service.guard.draining = True
            self._running.call_soon_threadsafe(self._begin_to_end, signal.Signals(sig).name)

        def _drop(self) -> None:
            for connection in list(self.server_state.connections):
                connection.transport.abort()

        def _begin_to_end(self, name: str) -> None:
            log.info("%s: the socket closes in %g s", name, self._service.limits.drain)
            self._ending = asyncio.ensure_future(self._end())

        async def _end(self) -> None:
            await asyncio.sleep(self._service.limits.drain)
            if not self.started:  # nothing listens yet: to accept from a socket would wait for ever
                self.should_exit = True
                return
            waiting = [each for listening in self._sockets for each in _take_what_waits(listening)]
            for server in self.servers:
                server.close()
            await self._serve_what_waited(waiting)
            # uvicorn would now close connections whose request has arrived but not been looked at.
            quiet = 0
            while quiet < _QUIET and self.server_state.connections:
                before = self._service.guard.answered
                await asyncio.sleep(0.1)
                idle = not self._service.guard.active and self._service.guard.answered == before
                quiet = quiet + 1 if idle else 0
            self.should_exit = True

        async def _serve_what_waited(self, waiting: list[socket.socket]) -> None:
            protocol: Any = self.config.http_protocol_class
            for connection in waiting:
                with contextlib.suppress(OSError):  # the client is gone
                    await self._running.connect_accepted_socket(
                        lambda: protocol(
                            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
                        ),
                        connection,
                    )

    return Server


def _take_what_waits(listening: socket.socket) -> Iterator[socket.socket]:
    """Accept the connections waiting in the system's queue: closing the socket would reset them."""
    with contextlib.suppress(OSError):  # BlockingIOError: none is left
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            yield connection


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
