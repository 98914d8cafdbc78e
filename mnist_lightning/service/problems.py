"""Answers to what a client got wrong: problem details of RFC 9457, one sentence each."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1


class Problem(Exception):
    """A request that is answered with an error status.

    Attributes:
        status: HTTP status, 4xx or 503.
        detail: one sentence: what is wrong, and what is expected.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Full(Problem):
    """The queue is full."""

    def __init__(self) -> None:
        super().__init__(503, "The queue is full: try again in a second.")


def body_of(status: int, detail: str) -> bytes:
    """A problem as JSON."""
    return json.dumps({"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status,
                       "detail": detail}).encode()  # fmt: skip


def answer(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A problem as an answer; with 503 it says when to try again."""
    if status == 503:
        headers = {**(headers or {}), "Retry-After": str(RETRY_SECONDS)}
    return Response(body_of(status, detail), status, headers, MEDIA_TYPE)
