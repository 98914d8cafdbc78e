"""The service as a process: what it imports, what it answers through a socket, how it ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("prometheus_client")

from mnist_lightning.run import folder as runs

SHIPPED = runs.PRETRAINED.with_name("mnist.int8.onnx")
SCRIPT = Path(__file__).parents[2] / "scripts/serve.py"
BODY = json.dumps({"strokes": [[[30, 40], [100, 38], [170, 40], [120, 120], [90, 200]]]}).encode()

HEAD = f"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"


def start(*settings):
    """The process, its address and what it printed."""
    server = subprocess.Popen(
        [sys.executable, SCRIPT, f"ckpt={SHIPPED}", "port=0", *settings], stdout=subprocess.PIPE, text=True
    )
    line = json.loads(server.stdout.readline())
    return server, line["message"].split(" at ")[1].split()[0]


def ask(address, path="/v1/predict", body=BODY):
    head = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(address + path, body, head)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def address():
    server, address = start("log_requests=false")
    yield address
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0


def test_it_reads_without_torch(address):
    assert ask(address)["number"] == "7"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of loaded libraries")
def test_torch_is_not_in_the_process():
    server, address = start()
    ask(address)
    ask(address, "/v1/explain")
    libraries = Path(f"/proc/{server.pid}/maps").read_text()
    server.kill()
    server.wait()
    assert "onnxruntime" in libraries
    assert "libtorch" not in libraries


def test_the_description_holds_for_whatever_is_sent(address):
    schemathesis = pytest.importorskip("schemathesis")
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--max-examples", "5", "--phases",
        "examples,coverage,fuzzing", "--request-timeout", "60", "--exclude-checks", "positive_data_acceptance",
        "--seed", "1", "--no-color",
    ]  # fmt: skip
    assert schemathesis
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def test_at_sigterm_what_was_accepted_is_answered_and_then_it_ends():
    server, address = start("serve.drain=0.5", "log_requests=false")
    answers, wrong = [], []
    host, port = address.removeprefix("http://").split(":")

    def load():
        while True:
            try:
                connection = socket.create_connection((host, int(port)), 60)
            except OSError:
                return  # the socket is closed: not accepted
            try:
                with connection:
                    connection.sendall(HEAD.encode() + BODY)
                    got = connection.recv(65536)
            except OSError as error:  # in a thread it would end this thread alone, and say nothing
                got = repr(error).encode()
            (answers if got.startswith(b"HTTP/1.1 200") else wrong).append(got)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(answers) < 20:
        time.sleep(0.01)
    server.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    assert server.wait(60) == 0
    assert wrong == []
    assert b"connection: close" in answers[-1].lower()


def test_a_model_that_does_not_load_ends_the_process(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    done = subprocess.run(
        [sys.executable, SCRIPT, f"ckpt={tmp_path / 'bad.onnx'}", "port=0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "bad.onnx is broken or not an ONNX file" in done.stderr


def test_a_port_in_use_is_said(address):
    port = address.rsplit(":", 1)[1]
    done = subprocess.run(
        [sys.executable, SCRIPT, f"ckpt={SHIPPED}", f"port={port}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"host=127.0.0.1 port={port} cannot be listened on: choose another port=." in done.stderr
