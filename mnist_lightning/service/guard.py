"""The outermost layer around the application: request ids, the log, metrics, headers, refusal when the queue is full.

Plain ASGI, because it handles every request: `BaseHTTPMiddleware` would cost more than reading a digit.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import logging
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mnist_lightning.service import problems
from mnist_lightning.service.batcher import Batcher
from mnist_lightning.service.metrics import UNMATCHED, Metrics

access = logging.getLogger("mnist_lightning.access")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

READS = frozenset(("/v1/predict", "/v1/predict/batch", "/v1/explain", "/v2/models/mnist/infer"))
"""Routes that are refused at once while the queue is full."""

REST = (0.15, 0.35)
"""Shortest and longest wait in seconds after a refusal for lack of room, before the next request of that connection is
looked at: clients that ask again at once, despite `Retry-After`, take no time from accepted requests and `/healthz`."""

BEYOND = "beyond"
"""Key in the ASGI state of a connection that was opened while as many were open as may be."""

KEYED = ("/v1/", "/v2/models/mnist/infer")
"""What paths begin with that need the key."""

_ROUTES = READS | {"/v1/drawings", "/v1/model"}
_ID = re.compile(rb"[\w.-]{1,64}")
_API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; worker-src 'self' blob:; style-src 'self'; img-src 'self' data: blob:; "
    b"font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
API_HEADERS = [*_HEADERS, (b"content-security-policy", _API_POLICY), (b"cache-control", b"no-store")]
PAGE_HEADERS = [*_HEADERS, (b"content-security-policy", _PAGE_POLICY), (b"cache-control", b"no-cache")]


class Guard:
    """Wraps an ASGI application.

    Attributes:
        draining: set at SIGTERM: answers then close their connection, and `/readyz` is 503.
        active: requests that are being answered.
        answered: requests that have been answered.
    """

    def __init__(self, app: Any, batcher: Batcher, metrics: Metrics, api_key: str | None = None) -> None:
        self._app, self._batcher, self._metrics = app, batcher, metrics
        self._key = api_key.encode() if api_key else None
        self._prefix, self._numbers = secrets.token_hex(6), itertools.count()
        self.draining = False
        self.active = self.answered = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI requires."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        self.active += 1
        path: str = scope["path"]
        given = dict(scope["headers"])
        name = given.get(b"x-request-id")
        if name is None or not _ID.fullmatch(name):
            name = f"{self._prefix}-{next(self._numbers):x}".encode()
        headers = API_HEADERS if path.startswith(("/v", "/healthz", "/readyz", "/metrics")) else PAGE_HEADERS
        headers = [*headers, (b"x-request-id", name)]
        status, plain, refused = 500, list[bool](), False
        route = path if path in _ROUTES else UNMATCHED
        beyond = BEYOND in scope.get("state", ())
        # HEAD is GET without the body, which the server leaves out by the scope that it made.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def reply(message: Message) -> None:
            nonlocal status
            if status == 413 and plain and message["type"] == "http.response.body":
                message = {**message, "body": _TOO_LARGE}
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 413 and _is_plain(message):  # FastAPI's own answer, in another form
                    plain.append(True)
                    message = {**message, "headers": _headers_of(413, _TOO_LARGE)}
                message["headers"] = [*message["headers"], *headers]
                if self.draining or beyond:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            if beyond and path != "/healthz":
                await _refuse(reply, 503, "Too many connections are open: try again in a second.")
            elif self._key and path.startswith(KEYED) and not self._has_key(given):
                await _refuse(reply, 401, "The API key is missing or wrong: send it as X-API-Key.")
            elif path in READS and self._batcher.full:
                refused = True
                await _refuse(reply, 503, str(problems.Full()), ends=False)
            else:
                await self._app(asked, receive, reply)
                route = getattr(asked.get("route"), "path", UNMATCHED)
        except BaseException:
            route = getattr(asked.get("route"), "path", UNMATCHED)
            raise
        finally:
            self.active -= 1
            self.answered += 1
            seconds = time.perf_counter() - began
            self._metrics.request(scope["method"], route, status, seconds)
            if access.isEnabledFor(logging.INFO):
                access.info("%s", _Line(name, scope, status, seconds))
        if refused:  # the client has its whole answer; only its next request waits
            await asyncio.sleep(random.uniform(*REST))  # not all at once
            await send({"type": "http.response.body", "body": b""})

    def _has_key(self, given: dict[bytes, bytes]) -> bool:
        assert self._key is not None
        scheme, _, token = given.get(b"authorization", b"").partition(b" ")
        key = given.get(b"x-api-key") or (token.strip() if scheme.lower() == b"bearer" else b"")
        return hmac.compare_digest(key, self._key)


class _Line:
    """A line of the access log, converted to text only when it is written."""

    def __init__(self, name: bytes, scope: Any, status: int, seconds: float) -> None:
        client = scope.get("client")
        self.fields = {
            "id": name.decode(),
            "client": client[0] if client else None,
            "method": scope["method"][:20],
            "path": scope["path"][:200],
            "status": status,
            "milliseconds": round(1000 * seconds, 3),
        }

    def __str__(self) -> str:
        return json.dumps(self.fields)


async def _refuse(send: Send, status: int, detail: str, ends: bool = True) -> None:
    body = problems.body_of(status, detail)
    await send({"type": "http.response.start", "status": status, "headers": _headers_of(status, body)})
    await send({"type": "http.response.body", "body": body, "more_body": not ends})


def _headers_of(status: int, body: bytes) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", str(problems.RETRY_SECONDS).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def _is_plain(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/plain") for name, value in message["headers"])


_TOO_LARGE = problems.body_of(413, "The body is too large.")
