"""What is fuzzed: one function per kind of file, from bytes to nothing. Each may raise UserError and nothing else.

`run.py` feeds them with atheris; `tests/reliability/test_files_fuzzed.py` with hypothesis, and with what was found.
"""

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mnist_lightning.data import checksums
from mnist_lightning.data.idx import BrokenFile, decode_idx, read_idx
from mnist_lightning.errors import UserError
from mnist_lightning.inference.onnx_predictor import OnnxPredictor
from mnist_lightning.ink.strokes import Drawing, read_digit, read_digits
from mnist_lightning.models import card, limits
from mnist_lightning.models import checkpoint as checkpoints
from mnist_lightning.run.record_check import read_record, read_records
from mnist_lightning.run.untrusted import read_yaml

_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))


def _file(name: str, content: bytes) -> Path:
    path = _FOLDER / name
    path.write_bytes(content)
    return path


def strokes(data: bytes) -> None:
    """A stroke file."""
    for digit in read_digits(_file("some.jsonl", data)):
        assert 0 <= digit.label <= 9
        digit.writer.encode()


def strokes_gz(data: bytes) -> None:
    """A compressed stroke file."""
    list(read_digits(_file("some.jsonl.gz", data)))


def stroke_line(data: bytes) -> None:
    """A line of a stroke file, drawn and written again."""
    digit = read_digit(data, "here")
    again = Drawing.from_data(Drawing(digit.strokes).to_data())
    assert len(again.strokes) == len(digit.strokes)


def card_text(data: bytes) -> None:
    """The card of a `.safetensors` or `.onnx` file."""
    found = card.parse_card(data.decode("utf-8", "surrogateescape"), "here")
    card.check_card(card.parse_card(card.dump_card(found), "here"), "here")


def record(data: bytes) -> None:
    """A `training_metrics.json`."""
    read_record(_file("training_metrics.json", data))


def records(data: bytes) -> None:
    """A `results.json`."""
    read_records(_file("results.json", data))


def yaml(data: bytes) -> None:
    """A YAML file."""
    read_yaml(_file("some.yaml", data))


def checkpoint(data: bytes) -> None:
    """A checkpoint, whole."""
    limits.load_plain(_file("some.ckpt", data))


def pickle(data: bytes) -> None:
    """The pickle in a checkpoint, in an archive that is in order."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        archive.writestr("archive/data/0", bytes(64))
    found = limits.load_plain(_file("some.ckpt", content.getvalue()))
    if isinstance(found, dict):
        limits.check_weights(found.get("state_dict"), Path("some.ckpt"))
        card.check_card(found.get(card.CARD), "some.ckpt")


def safetensors(data: bytes) -> None:
    """A `.safetensors` file, whose network is built."""
    network, found = checkpoints.restore(_file("some.safetensors", data))
    assert len(found["class_names"]) >= 2
    assert sum(weight.numel() for weight in network.parameters()) < limits.MOST_PARAMETERS


def onnx(data: bytes) -> None:
    """An ONNX file, which reads an image."""
    predictor = OnnxPredictor.open(_file("some.onnx", data), threads=1)
    side = predictor.card["image_size"]
    assert predictor.logits(np.zeros((2, side, side), np.uint8)).shape == (2, len(predictor.class_names))


def idx(data: bytes) -> None:
    """An IDX file."""
    try:
        assert decode_idx(data).nbytes <= len(data)
        assert read_idx(_file("some-idx", data)).nbytes <= len(data)
    except BrokenFile:
        pass


def checksum_file(data: bytes) -> None:
    """The record of checksums beside the data."""
    _file(checksums.FILE, data)
    checksums.Checksums(_FOLDER, "kmnist").expected("train-images-idx3-ubyte")


_ALL = (
    strokes,
    strokes_gz,
    stroke_line,
    card_text,
    record,
    records,
    yaml,
    checkpoint,
    pickle,
    safetensors,
    onnx,
    idx,
    checksum_file,
)
TARGETS: dict[str, Callable[[bytes], None]] = {target.__name__: target for target in _ALL}


def one(name: str, data: bytes) -> None:
    """Feed a target; a UserError is what a bad file should end in, if it is one printable sentence."""
    told = ""
    try:
        TARGETS[name](data)
    except UserError as error:
        told = str(error)
    assert not told or told.isprintable(), repr(told)
    assert len(told) < 1_000
