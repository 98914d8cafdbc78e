"""Damaged pictures, strokes and bodies: an error in a sentence, never a fault. FUZZ=5000 sends so many of each."""

import json
import os
import random

import cv2
import numpy as np
import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("onnxruntime")

COUNT = int(os.environ.get("FUZZ", "150"))
ODD = [None, True, -1, 0, 1e308, 1e-320, 10**40, "", "7", [], {}, [[]], [[[1]]], "\u0000", 3.5, [1, 2]]


def mutated(data, draw):
    """A few bytes changed, doubled or cut out."""
    data = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        at = draw.randrange(len(data))
        what = draw.randrange(4)
        if what == 0:
            data[at] = draw.randrange(256)
        elif what == 1:
            data[at : at + draw.randint(1, 20)] = b""
        elif what == 2:
            data[at:at] = data[: draw.randint(1, 50)]
        else:
            data[at:at] = draw.randbytes(draw.randint(1, 8))
        data = data or bytearray(b"x")
    return bytes(data)


def spoilt(value, draw):
    """A JSON value with something else in one place."""
    if draw.random() < 0.15 or not isinstance(value, list | dict) or not value:
        return draw.choice(ODD)
    value = dict(value) if isinstance(value, dict) else list(value)
    key = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
    value[key] = spoilt(value[key], draw)
    return value


def fine(answer):
    assert answer.status_code < 500 or answer.status_code == 503, (answer.status_code, answer.text)
    assert "Traceback" not in answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


def test_damaged_pictures(client):
    draw, numbers = random.Random(0), np.random.default_rng(0)
    paper = np.full((60, 90, 3), 240, np.uint8)
    cv2.putText(paper, "27", (10, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (20, 20, 20), 3)
    deep = (paper.astype(np.uint16) * 257)[:, :, 0]
    sources = [
        (cv2.imencode(ending, image)[1].tobytes(), kind)
        for ending, kind, image in (
            (".png", "image/png", paper), (".jpg", "image/jpeg", paper), (".png", "image/png", deep),
            (".png", "image/png", numbers.integers(0, 256, (40, 40, 4)).astype(np.uint8)),
        )
    ]  # fmt: skip
    for data, kind in sources:
        fine(client.post("/v1/predict", content=data, headers={"Content-Type": kind}))
    for _ in range(COUNT):
        data, kind = draw.choice(sources)
        fine(client.post("/v1/predict", content=mutated(data, draw), headers={"Content-Type": kind}))


def test_spoilt_values(client, pens):
    draw = random.Random(1)
    tensor = {"name": "images", "shape": [1, 784], "datatype": "FP32", "data": [0.5] * 784}
    sources = [
        ("/v1/predict", {"strokes": [stroke[:6] for stroke in pens[4]], "widths": [3.0] * len(pens[4])}),
        ("/v1/predict", {"image": [[0] * 10 + [200] * 8 + [0] * 10] * 28}),
        ("/v1/predict/batch", {"items": [{"strokes": pens[1]}, {"image": [[0] * 28] * 28}]}),
        ("/v2/models/mnist/infer", {"id": "a", "inputs": [tensor], "parameters": {}, "outputs": [{}]}),
        ("/v1/drawings", {"strokes": pens[1], "label": 1}),
    ]
    for _ in range(COUNT):
        path, body = draw.choice(sources)
        fine(client.post(path, content=json.dumps(spoilt(body, draw)), headers={"Content-Type": "application/json"}))


def test_damaged_bodies(client, pens):
    draw = random.Random(2)
    sources = [
        ("application/json", json.dumps({"strokes": pens[2]}).encode()),
        ("application/octet-stream", bytes(784)),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--a--',
        ),
        ("multipart/form-data", b"--a--"),
    ]  # fmt: skip
    paths = ("/v1/predict", "/v1/predict/batch", "/v2/models/mnist/infer", "/v1/drawings")
    for _ in range(COUNT):
        kind, body = draw.choice(sources)
        fine(client.post(draw.choice(paths), content=mutated(body, draw), headers={"Content-Type": kind}))
