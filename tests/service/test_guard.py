"""What the outermost layer does to a connection, as uvicorn sees it."""

import asyncio
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("prometheus_client")

from mnist_lightning.service.guard import BEYOND, REST, Guard
from mnist_lightning.service.metrics import Metrics

PREDICT = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}


async def unreached(*_):
    raise AssertionError("a request for which there is no room must not reach the application")


def test_a_refused_client_has_its_whole_answer_at_once_and_its_next_request_rests():
    sent = []

    async def send(message):
        sent.append((time.perf_counter(), message))

    async def answer():
        began = time.perf_counter()  # not before: to make an event loop takes its time too
        await guard(dict(PREDICT), None, send)
        return began

    metrics = Metrics(lambda: 0)
    guard = Guard(unreached, SimpleNamespace(full=True), metrics)
    began = asyncio.run(answer())

    (_, head), (answered, body), (ended, end) = sent
    assert head["status"] == 503
    assert dict(head["headers"])[b"content-length"] == str(len(body["body"])).encode()
    assert body["more_body"], "uvicorn reads the next request when the last part was sent"
    assert answered - began < REST[0]
    assert ended - answered >= REST[0]
    assert end == {"type": "http.response.body", "body": b""}
    assert 'http_request_duration_seconds_bucket{le="0.1",route="/v1/predict"} 1.0' in metrics.page()[0].decode()


def test_a_missing_key_is_answered_without_a_rest():
    sent = []

    async def send(message):
        sent.append(message)

    guard = Guard(unreached, SimpleNamespace(full=True), Metrics(lambda: 0), "secret")
    asyncio.run(guard(dict(PREDICT), None, send))
    assert [message.get("more_body") for message in sent] == [None, False]
    assert sent[0]["status"] == 401


def test_a_connection_too_many_is_told_so_and_closed():
    sent, reached = [], []

    async def send(message):
        sent.append(message)

    async def healthy(*given):
        reached.append(given[0]["path"])
        await given[2]({"type": "http.response.start", "status": 200, "headers": []})

    metrics = Metrics(lambda: 0)
    guard = Guard(healthy, SimpleNamespace(full=False), metrics)
    for path in ("/v1/predict", "/healthz"):
        asyncio.run(guard(PREDICT | {"path": path, "state": {BEYOND: True}}, None, send))
    refused, body, alive = sent
    assert (refused["status"], dict(refused["headers"])[b"retry-after"]) == (503, b"1")
    assert b"Too many connections are open" in body["body"]
    assert [dict(each["headers"])[b"connection"] for each in (refused, alive)] == [b"close", b"close"]
    assert reached == ["/healthz"]
    assert 'http_requests_total{method="POST",route="/v1/predict",status="503"} 1.0' in metrics.page()[0].decode()
