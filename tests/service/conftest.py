"""A service with the shipped network of 8 bits, and a client that talks to it without a socket."""

from pathlib import Path

import pytest

from mnist_lightning.run import folder as runs

SHIPPED = runs.PRETRAINED.with_name("mnist.int8.onnx")
PENS = Path(__file__).parent.parent / "ink/pen_digits.jsonl"


@pytest.fixture
def make_client():
    """`make_client(queue=3)`: a client of a service with these limits; `key=` for an API key."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("prometheus_client")
    from starlette.testclient import TestClient

    from mnist_lightning.inference.onnx_predictor import OnnxPredictor
    from mnist_lightning.service.app import Service
    from mnist_lightning.service.limits import Limits

    opened = []

    def make(key=None, **limits):
        predictor = OnnxPredictor.open(SHIPPED, threads=1)
        service = Service(
            predictor, {"name": "mnist", "version": "test", "precision": "int8"}, 0.5, Limits(**limits), key
        )
        client = TestClient(service.guard, raise_server_exceptions=False)
        client.__enter__()
        client.service = service
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture(scope="session")
def pens():
    """Strokes by label, as JSON has them."""
    from mnist_lightning.ink.strokes import read_digits

    found = {}
    for digit in read_digits(PENS):
        found.setdefault(digit.label, [[list(point) for point in stroke.points] for stroke in digit.strokes])
    return found
