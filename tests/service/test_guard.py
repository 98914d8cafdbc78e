"""What the outermost layer does to a connection, as uvicorn sees it."""

import asyncio
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("prometheus_client")

from mnist_lightning.service.guard import REST, Guard
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
