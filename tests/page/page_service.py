"""A service that speaks the page's side of the interface, in a thread: the page's files, and the routes it asks."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from mnist_lightning.export.web import PAGE
from mnist_lightning.inference.reader import Reader
from mnist_lightning.inference.saliency import saliency
from mnist_lightning.ink.images import decode_picture
from mnist_lightning.ink.strokes import Drawing

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self' blob:; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Service:
    """`address` is where it listens; `kept` are the drawings that were given to it; `asked` the paths, in order."""

    def __init__(self, reader: Reader, keeps_drawings: bool = False) -> None:
        self.reader, self.keeps_drawings = reader, keeps_drawings
        self.kept: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.busy = 0  # so many requests are answered with 503
        self.key: str | None = None
        self.before_keeping: Any = lambda: None  # called before a drawing is kept; may take a while
        self._lock = threading.Lock()  # a reader remembers what it reads, and must not be asked twice at a time
        service = self

        class Handler(_Handler):
            owner = service

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def read(self, kind: str, body: bytes) -> dict[str, Any]:
        """What is read in a request: `number` and `digits`."""
        with self._lock:
            if kind.startswith("image/"):
                reading = self.reader.read_picture(decode_picture(body).pixels)
            else:
                reading = self.reader.read(Drawing.from_data(json.loads(body)).strokes)
        digits = [
            {
                "digit": int(digit.label),
                "confidence": digit.confidence,
                "probabilities": digit.probabilities.tolist(),
                "sure": digit.sure,
                "box": list(digit.box),
                "image": digit.image.tolist(),
            }
            for digit in reading.digits
        ]
        return {"number": reading.text, "sure": reading.sure, "digits": digits, "milliseconds": 1.0}

    def explain(self, digit: dict[str, Any]) -> dict[str, Any]:
        """One layer, made up, and the true saliency."""
        maps = base64.b64encode(bytes(range(8 * 4))).decode()
        decided = saliency(self.reader.predictor, np.array(digit["image"], np.uint8))
        layers = [{"layer": "block 1", "shape": [2, 4, 4], "low": 0.0, "high": 1.0, "maps": maps}]
        return {**digit, "saliency": decided.tolist(), "feature_maps": layers}


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A browser that closes its page leaves requests behind."""


class _Handler(BaseHTTPRequestHandler):
    owner: Service
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.owner.asked.append(path)
        if path == "/v1/model":
            if self._is_refused():
                return
            card = self.owner.reader.predictor.card
            self._answer(200, {
                "name": "mnist", "version": "1", "precision": "float32", "classes": [*"0123456789"], "sure": 0.5,
                "temperature": 1.0, "keeps_drawings": self.owner.keeps_drawings,
                "card": {key: card[key] for key in ("network", "dataset", "image_size")},
            })  # fmt: skip
            return
        file = PAGE / (path.lstrip("/") or "index.html")
        if ".." in path or not file.is_file():
            self._answer(404, {"title": "Not found", "status": 404, "detail": f"There is no {path}."})
            return
        self._send(200, TYPES[file.suffix], file.read_bytes())

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        self.owner.asked.append(path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers["Content-Type"]
        if self._is_refused():
            return
        if self.owner.busy:
            self.owner.busy -= 1
            self._answer(503, {"title": "Busy", "status": 503, "detail": "The queue is full."}, {"Retry-After": "0.05"})
        elif path == "/v1/predict":
            self._answer(200, self.owner.read(kind, body))
        elif path == "/v1/explain":
            answer = self.owner.read(kind, body)
            answer["digits"] = [self.owner.explain(digit) for digit in answer["digits"]]
            self._answer(200, answer)
        elif path == "/v1/drawings" and self.owner.keeps_drawings:
            self.owner.before_keeping()
            self.owner.kept.append(json.loads(body))
            self._answer(201, {"drawings": len(self.owner.kept)})
        else:
            self._answer(403, {"title": "Forbidden", "status": 403, "detail": "The service keeps no drawings."})

    def _is_refused(self) -> bool:
        if self.owner.key is None or self.headers.get("X-API-Key") == self.owner.key:
            return False
        self._answer(401, {"title": "Unauthorized", "status": 401, "detail": "The API key is missing or wrong."})
        return True

    def _answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(value).encode(), headers)

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": POLICY,
                            **(headers or {})}.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
