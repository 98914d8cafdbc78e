"""The service as a process: what it imports, what it answers through a socket, how it ends."""

import asyncio
import contextlib
import http.client
import json
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace

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


@contextlib.contextmanager
def serving(*settings):
    """The host and port of a service with these settings, which is killed at the end."""
    server, address = start("log_requests=false", *settings)
    try:
        host, port = address.removeprefix("http://").rsplit(":", 1)
        yield host, int(port)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def asked(connection):
    """The answer to a request through a connection that is open."""
    connection.sendall(HEAD.encode() + BODY)
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer


def test_connections_that_send_no_request_make_room_for_those_that_do():
    with serving("serve.connections=500", "serve.seconds=1") as place, contextlib.ExitStack() as silent:
        for _ in range(600):
            silent.enter_context(socket.create_connection(place, 60))
        deadline = time.monotonic() + 60
        statuses = []
        while 200 not in statuses:
            with socket.create_connection(place, 60) as connection:
                statuses.append(asked(connection).status)
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert set(statuses) <= {200, 503}


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("head", ["GET / HTTP/1.1\r\nHost: " + "a" * 300, "\n" * 300])
def test_a_head_that_comes_byte_by_byte_is_not_waited_for(later, head):
    """Neither the first of a connection nor a later one, nor empty lines in its place."""
    with serving("serve.seconds=1") as place, socket.create_connection(place, 60) as slow:
        if later:
            assert asked(slow).status == 200
        slow.settimeout(0.1)
        began, rest = time.monotonic(), iter(head.encode())

        def step():
            """What one more byte is answered with: nothing yet, or nothing any more."""
            try:
                slow.sendall(bytes([next(rest)]))
                return slow.recv(65536)
            except OSError as error:
                return None if isinstance(error, TimeoutError) else b""

        while (received := step()) is None:
            pass
        assert received == b""
        assert time.monotonic() - began > 0.9


def test_a_connection_in_use_outlives_the_time_for_a_head():
    with serving("serve.seconds=1") as place, socket.create_connection(place, 60) as connection:
        for _ in range(4):
            assert asked(connection).status == 200
            time.sleep(0.6)


def test_a_head_without_end_is_refused():
    with serving() as place, socket.create_connection(place, 60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nLong: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 64 << 20:
                connection.sendall(b"x" * 65536)
                sent += 65536
        assert sent < 64 << 20  # what the system keeps on its way included


def test_one_connection_is_enough_and_a_second_is_refused():
    with serving("serve.connections=1") as place, socket.create_connection(place, 60) as first:
        assert asked(first).status == 200
        with socket.create_connection(place, 60) as second:
            answer = asked(second)
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
        assert answer.headers["content-type"] == "application/problem+json"
        assert asked(first).status == 200


def test_the_address_of_ipv6_is_one_that_a_browser_takes():
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("There is no IPv6 here.")
    server, address = start("host='::1'", "log_requests=false")
    try:
        assert address.startswith("http://[::1]:")
        assert ask(address)["number"] == "7"
    finally:
        server.kill()
        server.wait()


def test_at_the_second_sigterm_nobody_is_waited_for(within):
    server, address = start("serve.drain=0", "log_requests=false")
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as stalled:
        stalled.sendall(HEAD.encode())  # its body never comes
        while True:  # until it is being answered
            text = urllib.request.urlopen(address + "/metrics").read().decode()
            if "mnist_waiting_images 1.0" in text:
                break
        server.send_signal(signal.SIGTERM)
        json.loads(server.stdout.readline())  # it says that the socket closes
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        assert within(time.monotonic() - began, 5)


def test_a_sigterm_before_the_first_request_can_be_served_ends_it_too():
    import uvicorn

    from mnist_lightning.service.server import server_class

    service = SimpleNamespace(
        limits=SimpleNamespace(drain=0), guard=SimpleNamespace(draining=False, active=0, answered=0)
    )

    async def application(_scope, receive, send):
        assert (await receive())["type"] == "lifespan.startup"
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.sleep(0.1)  # by now it has found nothing to close
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def run():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            asyncio.get_running_loop().call_later(10, setattr, server, "should_exit", True)  # or it would run for ever
            await server.serve([listening])

    server = server_class()(uvicorn.Config(application, log_config=None, ws="none"), service)
    asyncio.run(run())
    assert server.started
    assert server._ending.exception() is None


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs a process that can be stopped")
def test_a_connection_is_accepted_while_others_ask_without_a_pause():
    """Counted, not timed: with one new connection per turn of the loop, the first ones get thousands of answers."""
    server, address = start("log_requests=false")
    place = urllib.parse.urlsplit(address)
    question = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    ready = selectors.DefaultSelector()
    with contextlib.ExitStack() as opened:
        opened.callback(server.wait)
        opened.callback(server.kill)
        server.send_signal(signal.SIGSTOP)
        for _ in range(200):
            client = opened.enter_context(socket.create_connection((place.hostname, place.port), timeout=60))
            ready.register(client, selectors.EVENT_READ)
            client.sendall(question)
        server.send_signal(signal.SIGCONT)
        answers = 0
        while client not in (asked := [key.fileobj for key, _ in ready.select(60)]):  # the one opened last
            for each in asked:
                if each.recv(65_536).endswith(b'{"status":"alive"}'):
                    each.sendall(question)
                    answers += 1
    assert 0 < answers < 4_000


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
    assert f"host=127.0.0.1 port={port} cannot be listened on: choose another port= or host=." in done.stderr
