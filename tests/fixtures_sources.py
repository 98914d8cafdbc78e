"""Tiny data sets in the formats in which the real ones are published, and a local server to publish them from."""

import bz2
import gzip
import hashlib
import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_lightning.data import checksums, sources
from mnist_lightning.data.small import enlarge

FILE_SETS = ("mnist", "fashion_mnist", "kmnist", "qmnist", "emnist_digits", "usps")
PARTS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
TRAIN_SIZE, TEST_SIZE = 12, 7


@dataclass
class Tiny:
    """What a loader should make of a published set: uint8 images [N, 28, 28], labels [N]."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def tiny(seed: int = 0) -> Tiny:
    rng = np.random.default_rng(seed)
    sizes = (TRAIN_SIZE, TEST_SIZE)
    images = [rng.integers(0, 256, (n, 28, 28)).astype(np.uint8) for n in sizes]
    labels = [rng.permutation(np.arange(n) % 10).astype(np.uint8) for n in sizes]
    return Tiny(images[0], labels[0], images[1], labels[1])


def idx(values: np.ndarray) -> bytes:
    code, dtype = (0x08, ">u1") if values.dtype == np.uint8 else (0x0C, ">i4")
    header = bytes([0, 0, code, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.astype(dtype).tobytes()


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)  # the same bytes, and so the same MD5, whenever it is made


def mnist_files(data: Tiny) -> dict[str, bytes]:
    """The four files of MNIST, Fashion-MNIST and Kuzushiji-MNIST."""
    return {
        "train-images-idx3-ubyte.gz": gz(idx(data.train_images)),
        "train-labels-idx1-ubyte.gz": gz(idx(data.train_labels)),
        "t10k-images-idx3-ubyte.gz": gz(idx(data.test_images)),
        "t10k-labels-idx1-ubyte.gz": gz(idx(data.test_labels)),
    }


def qmnist_files(data: Tiny) -> dict[str, bytes]:
    """Labels are int32 rows: digit, NIST series, writer, number by writer, NIST class, NIST index, 0, 0."""

    def rows(labels: np.ndarray) -> np.ndarray:
        table = np.arange(len(labels) * 8, dtype=np.int32).reshape(-1, 8) + 1000
        table[:, 0] = labels
        return table

    return {
        "qmnist-train-images-idx3-ubyte.gz": gz(idx(data.train_images)),
        "qmnist-train-labels-idx2-int.gz": gz(idx(rows(data.train_labels))),
        "qmnist-test-images-idx3-ubyte.gz": gz(idx(data.test_images)),
        "qmnist-test-labels-idx2-int.gz": gz(idx(rows(data.test_labels))),
    }


def emnist_files(data: Tiny) -> dict[str, bytes]:
    """One zip of gzipped IDX files for all splits, every image transposed; only `digits` and a decoy here."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for split, images, labels in (
            ("train", data.train_images, data.train_labels),
            ("test", data.test_images, data.test_labels),
        ):
            for subset, shift in (("letters", 1), ("digits", 0)):
                name = f"gzip/emnist-{subset}-{split}"
                transposed = np.ascontiguousarray(images.transpose(0, 2, 1)) + np.uint8(shift)
                archive.writestr(f"{name}-images-idx3-ubyte.gz", gz(idx(transposed)))
                archive.writestr(f"{name}-labels-idx1-ubyte.gz", gz(idx(labels + np.uint8(shift))))
    return {"gzip.zip": content.getvalue()}


def usps_grey(seed: int, count: int) -> np.ndarray:
    """uint8 [count, 16, 16]: a bright bar, each at another place, that runs from edge to edge."""
    rng = np.random.default_rng(seed)
    grey = np.zeros((count, 16, 16), np.uint8)
    for image, left in zip(grey, rng.integers(0, 13, count), strict=True):
        image[:, left : left + 3] = 255
    return grey


def usps_files(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray):
    """LIBSVM text, bzip2: labels 1 to 10, pixel values from -1 to 1, one line an image, a blank at its end."""

    def text(grey: np.ndarray, labels: np.ndarray) -> bytes:
        lines = []
        for image, label in zip(grey.reshape(-1, 256), labels, strict=True):
            pixels = " ".join(f"{i}:{value / 127.5 - 1:.6g}" for i, value in enumerate(image, 1))
            lines.append(f"{label + 1} {pixels} \n")
        return bz2.compress("".join(lines).encode())

    return {"usps.bz2": text(train, train_labels), "usps.t.bz2": text(test, test_labels)}


@dataclass
class Server:
    """Serves `files` (path -> content) and keeps the paths it was asked for."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    stall_after: int | None = None  # bytes of each file after which it sends nothing more
    stalled: threading.Event = field(default_factory=threading.Event)  # set once that has happened
    release: threading.Event = field(default_factory=threading.Event)  # ends all stalling

    def url(self, folder: str) -> str:
        return f"{self.address}/{folder}/"

    def publish(self, folder: str, files: dict[str, bytes]) -> None:
        self.files.update({f"/{folder}/{name}": content for name, content in files.items()})


def start_server() -> tuple[Server, ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404, "Not Found")
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if state.stall_after is None:
                self.wfile.write(content)
                return
            self.wfile.write(content[: state.stall_after])
            self.wfile.flush()
            state.stalled.set()
            state.release.wait(20)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state = Server(f"http://127.0.0.1:{http.server_port}")
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return state, http


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def idx_files(data: Tiny) -> dict[str, bytes]:
    """The four files as they lie on disk, unpacked."""
    arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    return {part: idx(values) for part, values in zip(PARTS, arrays, strict=True)}


def digests(data: Tiny) -> dict[str, str]:
    """SHA-256 of the four files on disk."""
    return {part: hashlib.sha256(content).hexdigest() for part, content in idx_files(data).items()}


@pytest.fixture
def server():
    state, http = start_server()
    yield state
    state.release.set()
    http.shutdown()
    http.server_close()


@pytest.fixture
def official(monkeypatch, server: Server) -> dict[str, Tiny]:
    """Every set published in its true format at its official address, which is the local server."""
    from torchvision import datasets

    monkeypatch.delenv("MNIST_MIRROR", raising=False)
    expected = {name: tiny(seed) for seed, name in enumerate(FILE_SETS)}
    for name, published in (
        ("mnist", datasets.MNIST),
        ("fashion_mnist", datasets.FashionMNIST),
        ("kmnist", datasets.KMNIST),
    ):
        files = mnist_files(expected[name])
        server.publish(name, files)
        monkeypatch.setattr(published, "mirrors", [server.url(name)])
        monkeypatch.setattr(published, "resources", [(file, md5(content)) for file, content in files.items()])

    monkeypatch.setitem(checksums.PUBLISHED, "mnist", digests(expected["mnist"]))
    files = qmnist_files(expected["qmnist"])
    server.publish("qmnist", files)
    resources = [(server.url("qmnist") + file, md5(content)) for file, content in files.items()]
    monkeypatch.setattr(datasets.QMNIST, "resources", {"train": resources[:2], "test": resources[2:]})

    files = emnist_files(expected["emnist_digits"])
    server.publish("emnist_digits", files)
    monkeypatch.setattr(datasets.EMNIST, "url", server.url("emnist_digits") + "gzip.zip")
    monkeypatch.setattr(datasets.EMNIST, "md5", md5(files["gzip.zip"]))

    usps = expected["usps"]
    train, test = usps_grey(1, TRAIN_SIZE), usps_grey(2, TEST_SIZE)
    usps.train_images, usps.test_images = (np.stack([enlarge(image) for image in g]) for g in (train, test))
    files = usps_files(train, usps.train_labels, test, usps.test_labels)
    server.publish("usps", files)
    monkeypatch.setattr(
        datasets.USPS,
        "split_list",
        {
            split: [server.url("usps") + file, file, md5(files[file])]
            for split, file in (("train", "usps.bz2"), ("test", "usps.t.bz2"))
        },
    )
    return expected


@pytest.fixture
def no_network(monkeypatch) -> Iterator[str]:
    """MNIST's official address refuses connections; its name as an error shows it."""
    from torchvision import datasets

    with socket.socket() as deaf:  # kept, or another process could be given its port
        deaf.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
        yield address


def assert_same(source: sources.Source, expected: Tiny) -> None:
    for images in (source.train_images, source.test_images):
        assert images.dtype == torch.uint8
    for labels in (source.train_labels, source.test_labels):
        assert labels.dtype == torch.int64
    np.testing.assert_array_equal(source.train_images.numpy(), expected.train_images)
    np.testing.assert_array_equal(source.train_labels.numpy(), expected.train_labels)
    np.testing.assert_array_equal(source.test_images.numpy(), expected.test_images)
    np.testing.assert_array_equal(source.test_labels.numpy(), expected.test_labels)


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())
