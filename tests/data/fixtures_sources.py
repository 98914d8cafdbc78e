"""Tiny data sets in the formats in which the real ones are published, and a local server to publish them from."""

import bz2
import gzip
import hashlib
import io
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

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
