"""Mirrors that are slow, endless, lying or hostile: the next address is taken, or one sentence says what was wrong."""

import gzip
import os
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from fixtures_sources import TRAIN_SIZE, assert_same, files_below, idx, mnist_files, write_files

from mnist_lightning.data import checksums, published, sources
from mnist_lightning.data import download as download_module
from mnist_lightning.errors import UserError

pytestmark = pytest.mark.usefixtures("official")

IMAGES = "train-images-idx3-ubyte.gz"
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@contextmanager
def raw_server(answer):
    """A server that takes each request and lets `answer(connection, stop)` say the rest; yields its base address."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                asked.append(connection.recv(65536))
                answer(connection, stop)
            except OSError:  # the other end has had enough
                pass

    def accept() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mnist/", asked
    finally:
        stop.set()
        listener.close()


def endless(connection, stop):
    connection.sendall(OK + b"\r\n")
    while not stop.is_set():
        connection.sendall(bytes(1 << 20))


def endless_chunks(connection, stop):
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while not stop.is_set():
        connection.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")


def drip(connection, stop):
    connection.sendall(OK + b"Content-Length: 1000000\r\n\r\n")
    while not stop.wait(0.02):
        connection.sendall(b"\x1f")


def drip_of_headers(connection, stop):
    connection.sendall(OK)
    while not stop.wait(0.02):
        connection.sendall(b"X: y\r\n")


def drip_of_a_status(connection, stop):
    while not stop.wait(0.02):
        connection.sendall(b"H")


def endless_header(connection, stop):
    connection.sendall(OK + b"X: ")
    while not stop.is_set():
        connection.sendall(b"y" * 65536)


def endless_headers(connection, stop):
    connection.sendall(OK)
    while not stop.is_set():
        connection.sendall(b"X: y\r\n" * 1000)


def saying(*parts):
    def answer(connection, stop):
        for part in parts:
            connection.sendall(part)

    return answer


def _redirect(target: str, code: str = "302 Found"):
    return saying(f"HTTP/1.1 {code}\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


PAGE = b"<!doctype html><title>Log in</title>"
BOMB = gzip.compress(bytes(50_000_000))
MIRRORS = {
    "endless": (endless, "larger than the 100,000,000 bytes that the file can have"),
    "endless chunks": (endless_chunks, "larger than the 100,000,000 bytes"),
    "a byte at a time": (drip, "too slow"),
    "headers a byte at a time": (drip_of_headers, "no answer in 0.5 s"),
    "a status line a byte at a time": (drip_of_a_status, "no answer in 0.5 s"),
    "an endless header": (endless_header, "header"),
    "endless headers": (endless_headers, "header"),
    "announces too much": (saying(OK, b"Content-Length: 1000\r\n\r\n", b"abc"), "damaged or cut short"),
    "announces too little": (saying(OK, b"Content-Length: 1\r\n\r\n", b"abc"), "damaged or cut short"),
    "a negative length": (saying(OK, b"Content-Length: -5\r\n\r\n", b"abc"), "damaged or cut short"),
    "a length of nonsense": (saying(OK, b"Content-Length: many\r\n\r\n", b"abc"), "damaged or cut short"),
    "a broken chunk": (saying(OK, b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nabc"), "IncompleteRead"),
    "a web page": (saying(OK, b"\r\n", PAGE), "a web page instead of the file"),
    "nothing": (saying(OK, b"Content-Length: 0\r\n\r\n"), "an empty file"),
    "hangs up": (saying(), "closed connection without response|Connection reset"),
    "no HTTP": (saying(b"SSH-2.0-OpenSSH_9.6\r\n"), "SSH-2.0"),
    "a gzip bomb": (saying(OK, b"\r\n", BOMB), "damaged or cut short"),
    "escape codes": (saying(b"HTTP/1.1 404 \x1b[2J\x1b]0;mine\x07\r\n\r\n"), "HTTP 404"),
    "an error": (saying(b"HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n"), "HTTP 503 Busy"),
    "redirects to a file": (_redirect("file:///etc/passwd"), "Redirection to url 'file:///etc/passwd' is not allowed"),
    "redirects to ftp": (_redirect("ftp://127.0.0.1/x"), "redirects to ftp://127.0.0.1/x, which is not a web"),
    "redirects to data": (_redirect("data:,abc"), "Redirection to url 'data:,abc' is not allowed"),
    "redirects to itself": (_redirect("/mnist/x"), "infinite loop|HTTP 302"),
    "redirects nowhere": (_redirect(""), "."),
    "redirects to nonsense": (_redirect("http://[::1"), "."),
}


@pytest.fixture
def impatient(monkeypatch, kind):
    """Where a mirror is waited for, that is short; elsewhere not, or a server that is only busy would be given up."""
    if MIRRORS[kind][1] == "no answer in 0.5 s":
        monkeypatch.setattr(download_module, "PATIENCE", 0.5)
    if MIRRORS[kind][1] == "too slow":
        monkeypatch.setattr(download_module, "SLOWEST", ((0.3, 1_000),))


@pytest.mark.parametrize("kind", MIRRORS)
def test_a_bad_mirror_is_passed_over_and_asked_no_more_than_needed(kind, tmp_path, official, impatient):
    answer, _ = MIRRORS[kind]
    with raw_server(answer) as (address, asked):
        began = time.monotonic()
        assert_same(sources.load("mnist", tmp_path, [address]), official["mnist"])
        assert time.monotonic() - began < 8  # seconds: less than the patience outside of tests
    if answer in (endless, endless_chunks, drip, drip_of_headers, drip_of_a_status):
        assert len(asked) == 1  # not waited for again, file after file
    assert checksums.FILE in files_below(tmp_path)
    assert len(files_below(tmp_path)) == 5


@pytest.mark.parametrize("kind", MIRRORS)
def test_a_bad_mirror_alone_is_one_sentence(kind, tmp_path, server, impatient):
    answer, reason = MIRRORS[kind]
    server.files.clear()
    began = time.monotonic()
    with raw_server(answer) as (address, _), pytest.raises(UserError, match=reason) as caught:
        sources.load("mnist", tmp_path, [address])
    assert time.monotonic() - began < 2
    assert str(caught.value).isprintable()
    assert files_below(tmp_path) == []


def test_the_patience_that_ships_gives_a_drip_up_in_two_seconds(tmp_path, official):
    with raw_server(drip) as (address, _):
        began = time.monotonic()
        assert_same(sources.load("mnist", tmp_path, [address]), official["mnist"])
        assert time.monotonic() - began < 8  # seconds: less than the patience outside of tests


def test_a_slow_honest_mirror_is_waited_for(tmp_path, official, monkeypatch):
    monkeypatch.setattr(download_module, "SLOWEST", ((0.3, 1_000), (1.0, 2_000)))
    files = mnist_files(official["mnist"])

    def slow(connection, stop):
        content = files[IMAGES]
        connection.sendall(OK + f"Content-Length: {len(content)}\r\n\r\n".encode())
        for start in range(0, len(content), 1460):
            if stop.wait(0.1 if start else 0.4):
                return
            connection.sendall(content[start : start + 1460])

    with raw_server(slow) as (address, asked):
        published.fetch(
            "mnist", ["train-images-idx3-ubyte"], tmp_path, [address], checksums.Checksums(tmp_path, "mnist")
        )
    assert len(asked) == 1
    raw = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    assert raw.read_bytes() == idx(official["mnist"].train_images)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_a_mirror_of_pipes_and_devices_is_passed_over(tmp_path, official):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / IMAGES).symlink_to("/dev/zero")
    os.mkfifo(mirror / "t10k-labels-idx1-ubyte.gz")
    (mirror / "train-labels-idx1-ubyte.gz").mkdir()
    (mirror / "t10k-images-idx3-ubyte.gz").symlink_to("t10k-images-idx3-ubyte.gz")
    assert_same(sources.load("mnist", tmp_path / "data", [str(mirror)]), official["mnist"])


@pytest.mark.parametrize("mirror", ["http://[::1", "file://elsewhere/share", "http://", "http://127.0.0.1:99999"])
def test_a_mirror_that_cannot_be_an_address_is_one_sentence(mirror, tmp_path, server):
    server.files.clear()
    with pytest.raises(UserError) as caught:
        sources.load("mnist", tmp_path, [mirror])
    assert mirror in str(caught.value)


def test_a_published_file_is_unpacked_only_after_its_md5_was_checked(tmp_path, official):
    packed = idx(np.zeros((TRAIN_SIZE, 28, 28), np.uint8))
    files = mnist_files(official["mnist"]) | {IMAGES: gzip.compress(packed)}
    mirror = write_files(tmp_path / "mirror", files)
    assert_same(sources.load("mnist", tmp_path / "data", [str(mirror)]), official["mnist"])
