"""Every data set, damaged on disk in every way that we could think of: it is repaired, or one sentence says why not.

The bar: what is trained on is what was published, or there is no training.
"""

import gzip
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures_sources import (
    FILE_SETS,
    PARTS,
    TRAIN_SIZE,
    assert_same,
    files_below,
    idx,
    idx_files,
    mnist_files,
    write_files,
)

from mnist_lightning.data import checksums, sources
from mnist_lightning.data.archives import TORCHVISION
from mnist_lightning.errors import UserError

pytestmark = pytest.mark.usefixtures("official")

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = PARTS


def _swap(raw: Path, first: str, second: str) -> None:
    (raw / first).rename(raw / "aside")
    (raw / second).rename(raw / first)
    (raw / "aside").rename(raw / second)


def _edit(raw: Path, part: str, change) -> None:
    path = raw / part
    path.write_bytes(change(path.read_bytes()))


def _shuffle_labels(content: bytes) -> bytes:
    values = np.frombuffer(content[8:], np.uint8)
    return content[:8] + np.roll(values, 1).tobytes()


def _same_times(raw: Path) -> None:
    """A changed byte under the size and the modification time of the file that was checked."""
    path = raw / TRAIN_LABELS
    before = path.stat()
    _edit(raw, TRAIN_LABELS, _shuffle_labels)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _link(raw: Path) -> None:
    (raw / TEST_LABELS).unlink()
    (raw / TEST_LABELS).symlink_to(raw / TEST_IMAGES)


DAMAGES = {
    "train and test swapped": lambda raw: [
        _swap(raw, TRAIN_IMAGES, TEST_IMAGES), _swap(raw, TRAIN_LABELS, TEST_LABELS),
    ],
    "train and test images swapped": lambda raw: _swap(raw, TRAIN_IMAGES, TEST_IMAGES),
    "images and labels swapped": lambda raw: _swap(raw, TRAIN_IMAGES, TRAIN_LABELS),
    "test images as training images": lambda raw: [
        shutil.copy(raw / TEST_IMAGES, raw / TRAIN_IMAGES), shutil.copy(raw / TEST_LABELS, raw / TRAIN_LABELS),
    ],
    "labels shuffled": lambda raw: _edit(raw, TRAIN_LABELS, _shuffle_labels),
    "labels shuffled, same times": _same_times,
    "images reversed": lambda raw: _edit(raw, TRAIN_IMAGES, lambda all_: all_[:16] + all_[16:][::-1]),
    "one bit": lambda raw: _edit(raw, TEST_IMAGES, lambda all_: all_[:99] + bytes([all_[99] ^ 1]) + all_[100:]),
    "last byte": lambda raw: _edit(raw, TEST_LABELS, lambda all_: all_[:-1] + bytes([(all_[-1] + 1) % 10])),
    "zeros": lambda raw: _edit(raw, TRAIN_IMAGES, lambda all_: all_[:16] + bytes(len(all_) - 16)),
    "half": lambda raw: _edit(raw, TRAIN_IMAGES, lambda all_: all_[: len(all_) // 2]),
    "empty": lambda raw: _edit(raw, TRAIN_LABELS, lambda _: b""),
    "longer": lambda raw: _edit(raw, TRAIN_LABELS, lambda all_: all_ + b"\0"),
    "fewer images": lambda raw: _edit(raw, TRAIN_IMAGES, lambda _: idx(np.zeros((3, 28, 28), np.uint8))),
    "all shorter": lambda raw: [
        _edit(raw, TRAIN_IMAGES, lambda _: idx(np.zeros((3, 28, 28), np.uint8))),
        _edit(raw, TRAIN_LABELS, lambda _: idx(np.zeros(3, np.uint8))),
    ],
    "another shape": lambda raw: _edit(raw, TRAIN_IMAGES, lambda _: idx(np.zeros((TRAIN_SIZE, 14, 56), np.uint8))),
    "huge header": lambda raw: _edit(raw, TRAIN_IMAGES, lambda _: bytes([0, 0, 8, 3]) + b"\xff" * 12),
    "still gzipped": lambda raw: _edit(raw, TRAIN_IMAGES, gzip.compress),
    "a web page": lambda raw: _edit(raw, TRAIN_IMAGES, lambda _: b"<!doctype html><title>Log in</title>"),
    "missing": lambda raw: (raw / TEST_IMAGES).unlink(),
    "a link to another": _link,
    "no record": lambda raw: (raw / checksums.FILE).unlink(),
    "a record of nonsense": lambda raw: (raw / checksums.FILE).write_text("[[[["),
    "a record of wrong types": lambda raw: (raw / checksums.FILE).write_text(
        json.dumps({TRAIN_IMAGES: 3, TRAIN_LABELS: {"sha256": 4}, TEST_IMAGES: {"sha256": "no"}})
    ),
    "a deep record": lambda raw: (raw / checksums.FILE).write_text("[" * 60_000),
}  # fmt: skip

if os.name == "nt":  # where a link needs rights that few have
    del DAMAGES["a link to another"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILE_SETS)
def test_a_damaged_set_is_repaired_before_anything_is_trained_on_it(name, damage, tmp_path, official):
    sources.load(name, tmp_path)
    raw = tmp_path / TORCHVISION[name] / "raw"
    DAMAGES[damage](raw)
    assert_same(sources.load(name, tmp_path), official[name])
    assert [path.name for path in raw.glob(".*")] == []
    for part, content in idx_files(official[name]).items():
        assert (raw / part).read_bytes() == content


@pytest.mark.parametrize("damage", [each for each in DAMAGES if "record" not in each])
def test_a_damaged_set_without_network_is_one_sentence_and_no_training(damage, tmp_path, official, no_network):
    raw = write_files(tmp_path / "MNIST/raw", idx_files(official["mnist"]))
    assert_same(sources.load("mnist", tmp_path), official["mnist"])
    DAMAGES[damage](raw)
    before = {path.name: path.read_bytes() for path in raw.iterdir() if path.name != checksums.FILE}
    with pytest.raises(UserError) as caught:
        sources.load("mnist", tmp_path)
    assert "MNIST cannot be fetched (" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in raw.iterdir() if path.name != checksums.FILE} == before


def test_swapped_files_are_named_for_what_they_are(tmp_path, official, no_network):
    raw = write_files(tmp_path / "MNIST/raw", idx_files(official["mnist"]))
    DAMAGES["train and test swapped"](raw)
    with pytest.raises(UserError, match=rf"{TRAIN_IMAGES} holds the content of {TEST_IMAGES}, and MNIST cannot be"):
        sources.load("mnist", tmp_path)


def test_a_file_is_hashed_once_until_it_changes(tmp_path, official, monkeypatch):
    raw = write_files(tmp_path / "MNIST/raw", idx_files(official["mnist"]))
    hashed = []
    real = checksums.sha256
    monkeypatch.setattr(checksums, "sha256", lambda values: hashed.append(values.shape) or real(values))
    for _ in range(3):
        sources.load("mnist", tmp_path)
    assert len(hashed) == 4
    later = time.time_ns() + 10**9
    os.utime(raw / TEST_LABELS, ns=(later, later))
    sources.load("mnist", tmp_path)
    assert len(hashed) == 5
    recorded = json.loads((raw / checksums.FILE).read_text())
    assert {part: entry["sha256"] for part, entry in recorded.items()} == checksums.PUBLISHED["mnist"]


def test_a_copied_folder_is_checked_again(tmp_path, official, no_network):
    write_files(tmp_path / "old/MNIST/raw", idx_files(official["mnist"]))
    sources.load("mnist", tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")  # with its times and its record
    _edit(tmp_path / "new/MNIST/raw", TRAIN_LABELS, _shuffle_labels)
    with pytest.raises(UserError, match=rf"{TRAIN_LABELS} is not the published file \(wrong SHA-256\), and MNIST"):
        sources.load("mnist", tmp_path / "new")


def test_a_set_of_unknown_origin_is_fetched_before_it_is_trusted(tmp_path, official, server):
    raw = write_files(tmp_path / "KMNIST/raw", idx_files(official["kmnist"]))
    assert_same(sources.load("kmnist", tmp_path), official["kmnist"])
    assert len(server.requests) == 4
    assert files_below(raw) == sorted([*PARTS, checksums.FILE])  # the content was right: nothing to set aside
    sources.load("kmnist", tmp_path)
    assert len(server.requests) == 4


def test_torchvisions_unpacked_files_are_compared_with_its_archives(tmp_path, official, server):
    raw = write_files(tmp_path / "KMNIST/raw", mnist_files(official["kmnist"]) | idx_files(official["kmnist"]))
    DAMAGES["labels shuffled"](raw)
    assert_same(sources.load("kmnist", tmp_path), official["kmnist"])
    assert server.requests == []


def test_an_own_set_in_the_place_of_mnist_is_set_aside_and_not_lost(tmp_path, caplog):
    own = idx(np.full((TRAIN_SIZE, 28, 28), 9, np.uint8))
    raw = write_files(tmp_path / "MNIST/raw", {TRAIN_IMAGES: own})
    sources.load("mnist", tmp_path)
    assert (raw / f"{TRAIN_IMAGES}.replaced").read_bytes() == own
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert f"{TRAIN_IMAGES} is not the published file (wrong SHA-256): it was replaced, and is now" in record.message


def test_a_folder_that_cannot_be_written_is_checked_each_time(tmp_path, official, monkeypatch):
    raw = write_files(tmp_path / "MNIST/raw", idx_files(official["mnist"]))

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "write_text", refuse)
    assert_same(sources.load("mnist", tmp_path), official["mnist"])
    assert files_below(raw) == sorted(PARTS)


def test_two_processes_that_start_at_once_both_get_the_whole_set(tmp_path, official, server):
    mirror = write_files(tmp_path / "mirror", mnist_files(official["kmnist"]))
    code = (
        "import sys, pathlib; from torchvision import datasets; from mnist_lightning.data import sources;"
        "datasets.KMNIST.resources = eval(sys.argv[3]);"
        "print(sources.load('kmnist', pathlib.Path(sys.argv[1]), [sys.argv[2]]).train_images.sum().item())"
    )
    from torchvision import datasets

    command = [sys.executable, "-c", code, str(tmp_path / "data"), str(mirror), repr(datasets.KMNIST.resources)]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [job.communicate(timeout=120)[0].strip() for job in jobs]
    assert told == [str(official["kmnist"].train_images.sum(dtype=int))] * 2
    assert files_below(tmp_path / "data") == sorted([*PARTS, checksums.FILE])
