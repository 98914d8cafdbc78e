import gzip
import logging
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_sources import (
    FILE_SETS,
    PARTS,
    TEST_SIZE,
    TRAIN_SIZE,
    assert_same,
    files_below,
    idx,
    mnist_files,
    start_server,
    write_files,
)
from torchvision import datasets

from mnist_lightning.data import checksums, published, sources
from mnist_lightning.data import download as download_module
from mnist_lightning.data.idx import BrokenFile, decode_idx, read_idx, write_idx
from mnist_lightning.data.small import enlarge
from mnist_lightning.errors import UserError

pytestmark = pytest.mark.usefixtures("official")


# --- every set ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILE_SETS)
def test_set_comes_from_its_official_address_and_then_from_disk(name, tmp_path, official, server):
    assert_same(sources.load(name, tmp_path), official[name])
    assert files_below(tmp_path) == sorted([*PARTS, checksums.FILE])  # no archive, no part file
    asked = len(server.requests)
    assert asked == {"emnist_digits": 1, "usps": 2}.get(name, 4)

    again = sources.load(name, tmp_path)
    assert_same(again, official[name])
    assert again.name == name
    assert len(server.requests) == asked


@pytest.mark.parametrize("name", FILE_SETS)
def test_set_comes_from_a_mirror_before_its_official_address(name, tmp_path, official, server):
    server.publish("elsewhere", {Path(path).name: c for path, c in server.files.items() if f"/{name}/" in path})
    assert_same(sources.load(name, tmp_path, [f"{server.address}/elsewhere"]), official[name])
    assert {str(Path(path).parent) for path in server.requests} == {"/elsewhere"}


@pytest.mark.parametrize("name", FILE_SETS)
def test_the_test_images_alone_need_no_file_of_the_training_images(name, tmp_path, official, server):
    archives = {"emnist_digits": ["gzip.zip"], "usps": ["usps.t.bz2"]}
    wanted = archives.get(name) or [each for each in (Path(path).name for path in server.files if f"/{name}/" in path)
                                    if each.startswith(("t10k", "qmnist-test"))]  # fmt: skip
    for path in [path for path in server.files if Path(path).name not in wanted]:
        del server.files[path]
    found = published.load(name, tmp_path, only_test=True)
    np.testing.assert_array_equal(found.test.images, official[name].test_images)
    np.testing.assert_array_equal(found.test.labels, official[name].test_labels)
    assert found.train.images.shape == (0, 28, 28)
    assert set(found.digests) == {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}
    if name != "emnist_digits":  # whose one file holds both
        with pytest.raises(UserError, match="cannot be fetched"):
            published.load(name, tmp_path)


def test_a_training_file_of_ones_own_survives_the_fetch_of_the_test_images(tmp_path, official):
    raw = tmp_path / "EMNIST/raw"
    raw.mkdir(parents=True)
    (raw / "train-labels-idx1-ubyte").write_bytes(b"my own")
    assert len(published.load("emnist_digits", tmp_path, only_test=True).test.labels)
    assert (raw / "train-labels-idx1-ubyte").read_bytes() == b"my own"


@pytest.mark.parametrize(
    ("name", "place"), [("mnist", "MNIST/raw"), ("qmnist", "QMNIST/raw"), ("emnist_digits", "EMNIST/raw"), ("usps", "")]
)
def test_what_torchvision_downloaded_is_used_without_network(name, place, tmp_path, official, server):
    published = {Path(path).name: c for path, c in server.files.items() if f"/{name}/" in path}
    write_files(tmp_path / place, published)
    assert_same(sources.load(name, tmp_path), official[name])
    assert server.requests == []
    assert set(published) <= set(files_below(tmp_path))  # the user's own files stay


def test_torchvision_reads_what_was_fetched(tmp_path, official):
    sources.load("mnist", tmp_path)
    theirs = datasets.MNIST(tmp_path, train=False)
    np.testing.assert_array_equal(theirs.data.numpy(), official["mnist"].test_images)
    assert theirs.targets.tolist() == official["mnist"].test_labels.tolist()


def test_classes_are_named_for_every_set(tmp_path):
    named = {name: sources.load(name, tmp_path).class_names for name in published.NAMES}
    digits = tuple("0123456789")
    fashion = tuple(datasets.FashionMNIST.classes)
    kana = tuple(datasets.KMNIST.classes)
    assert named == dict.fromkeys(published.NAMES, digits) | {"fashion_mnist": fashion, "kmnist": kana}
    assert sources.load("digits", tmp_path).num_classes == 10


def test_unknown_set_is_answered_with_the_nearest_name(tmp_path):
    with pytest.raises(UserError, match=r"no data set 'fashion-mnist'; did you mean 'fashion_mnist'"):
        sources.load("fashion-mnist", tmp_path)
    with pytest.raises(UserError, match=r"there are mnist, fashion_mnist, .*, digits"):
        sources.load("cifar", tmp_path)


# --- digits -------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_in_its_order(tmp_path):
    from sklearn.datasets import load_digits

    theirs = load_digits()
    source = sources.load("digits", tmp_path)
    assert source.train_images.shape == (1500, 28, 28)
    assert source.test_images.shape == (297, 28, 28)
    assert torch.cat([source.train_labels, source.test_labels]).tolist() == theirs.target.tolist()
    grey = np.rint(theirs.images * (255 / 16)).astype(np.uint8)
    for ours, place in ((source.train_images[0], 0), (source.train_images[-1], 1499), (source.test_images[-1], 1796)):
        np.testing.assert_array_equal(ours.numpy(), enlarge(grey[place]))


def test_digits_are_converted_once_and_may_be_changed_by_whoever_loads_them(tmp_path, monkeypatch):
    first, names = sources.load("digits", tmp_path), ("train_images", "train_labels", "test_images", "test_labels")
    monkeypatch.setattr("mnist_lightning.data.small.load_sklearn_digits", lambda: pytest.fail("converted again"))
    expected = first.fingerprint()
    for name in names:
        getattr(first, name).zero_()
    assert first.fingerprint() != expected
    assert sources.load("digits", tmp_path).fingerprint() == expected


def test_a_small_digit_that_fills_its_image_keeps_its_shape():
    small = np.zeros((16, 16), np.uint8)
    small[:, :3] = small[13:, :] = 255  # an L from edge to edge
    inked = enlarge(small) > 127
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    assert (len(rows), len(columns)) == (20, 20)
    assert inked[rows[0] : rows[-3], columns[1:3]].all()
    assert inked[rows[-3:-1], columns[0] + 3 : columns[-3]].all()
    assert not inked[: rows[-6], columns[6] :].any()
    assert 0.3 < inked[rows[0] : rows[-1], columns[0] : columns[-1]].mean() < 0.45  # 87 / 256 of the square


def test_small_digits_have_edges_about_as_steep_as_mnists(tmp_path):
    images = sources.load("digits", tmp_path).train_images
    ink = images > 25
    grey_share = (ink & (images < 230)).sum() / ink.sum()
    assert 0.45 < grey_share < 0.65  # MNIST's training set: 0.50; enlarged and no more: 0.84


def test_digits_lie_in_their_field_as_mnist_does(tmp_path):
    images = sources.load("digits", tmp_path).train_images.double()
    assert images[:, 0].max() == 0  # a dark rim
    assert images.amax((1, 2)).min() > 200  # bright ink
    weights = images / images.sum((1, 2), keepdim=True)
    rows = (weights.sum(2) * torch.arange(28.0)).sum(1)
    columns = (weights.sum(1) * torch.arange(28.0)).sum(1)
    assert (rows - 14).abs().max() < 0.6
    assert (columns - 14).abs().max() < 0.6
    inked = (images.amax(2) > 0).sum(1)
    assert inked.max() == 20


# --- mirrors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["file://", "folder", "file:// without slash"])
def test_a_folder_is_a_mirror(form, tmp_path, official, server):
    folder = write_files(tmp_path / "my mirror", mnist_files(official["mnist"]))
    mirror = {"file://": f"{folder.as_uri()}/", "folder": str(folder)}.get(form, folder.as_uri())
    assert_same(sources.load("mnist", tmp_path / "data", [mirror]), official["mnist"])
    assert server.requests == []


def test_mnist_mirror_names_several_and_is_asked_after_data_mirrors(tmp_path, monkeypatch, official, server):
    folder = write_files(tmp_path / "whole", mnist_files(official["mnist"]))
    monkeypatch.setenv("MNIST_MIRROR", f"{server.url('second')}, {folder}")
    assert_same(sources.load("mnist", tmp_path, [server.url("first")]), official["mnist"])
    assert server.requests[:2] == ["/first/train-images-idx3-ubyte.gz", "/second/train-images-idx3-ubyte.gz"]
    assert len(server.requests) == 8  # the folder gave all four files


def test_mnist_mirror_is_for_mnist_only(tmp_path, monkeypatch, official, server):
    monkeypatch.setenv("MNIST_MIRROR", server.url("mnist"))
    sources.load("kmnist", tmp_path)
    assert not any("/mnist/" in path for path in server.requests)


def test_a_mirror_of_another_set_is_passed_over(tmp_path, official, server):
    assert_same(sources.load("kmnist", tmp_path, [server.url("fashion_mnist")]), official["kmnist"])


def test_a_mirror_that_is_no_address_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"Mirror 'ftp://host/mnist' must be a folder or start with https://"):
        sources.load("mnist", tmp_path, ["ftp://host/mnist"])


# --- damage on the way --------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "login page", "empty"])
def test_a_damaged_copy_is_replaced_by_the_next_mirrors(damage, tmp_path, official, server):
    files = mnist_files(official["mnist"])
    name = "t10k-images-idx3-ubyte.gz"
    whole = files[name]
    files[name] = {
        "truncated": whole[:-100],
        "flipped bit": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        "login page": b"<html>Please log in</html>",
        "empty": b"",
    }[damage]
    server.publish("bad", files)
    assert_same(sources.load("mnist", tmp_path, [server.url("bad")]), official["mnist"])
    assert [path for path in server.requests if "/mnist/" in path] == [f"/mnist/{name}"]


def test_a_connection_that_breaks_off_is_replaced_by_the_next_mirrors(tmp_path, official, server, monkeypatch):
    monkeypatch.setattr(download_module, "PATIENCE", 0.3)
    state, http = start_server()
    state.publish("stalls", mnist_files(official["mnist"]))
    state.stall_after = 1000
    assert_same(sources.load("mnist", tmp_path, [state.url("stalls")]), official["mnist"])
    assert len(state.requests) == 1  # not waited for again, file after file
    state.release.set()
    http.shutdown()
    http.server_close()


def test_only_damaged_copies_end_in_one_sentence(tmp_path, official, server):
    server.files["/mnist/train-labels-idx1-ubyte.gz"] = b"damaged"
    with pytest.raises(UserError) as caught:
        sources.load("mnist", tmp_path)
    assert f"{server.url('mnist')}train-labels-idx1-ubyte.gz: damaged or cut short (wrong MD5)" in str(caught.value)
    assert str(caught.value).startswith("MNIST cannot be fetched (")
    assert files_below(tmp_path) == [
        checksums.FILE,
        "train-images-idx3-ubyte",
    ]  # a rerun continues from there


def test_no_network_ends_in_one_sentence_with_the_way_out(tmp_path, no_network):
    with pytest.raises(UserError) as caught:
        sources.load("mnist", tmp_path)
    text = str(caught.value)
    assert f"{no_network}train-images-idx3-ubyte.gz: Connection refused" in text
    assert "set MNIST_MIRROR to a folder or address" in text
    assert "data=digits, which needs no network." in text
    assert "\n" not in text
    assert files_below(tmp_path) == []


def test_an_http_error_is_named_and_the_setting_is_the_sets_own(tmp_path, server):
    server.files.clear()
    with pytest.raises(UserError, match=r"USPS cannot be fetched \(.*usps.bz2: HTTP 404 Not Found\); set data.mirrors"):
        sources.load("usps", tmp_path)


def test_a_host_that_is_not_known_is_named(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: Name or service not known"):
        sources.load("mnist", tmp_path)


def test_a_server_that_says_nothing_is_given_up_soon_and_once(tmp_path, monkeypatch, official):
    monkeypatch.setattr(download_module, "PATIENCE", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # the system takes connections, nobody answers
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        for attempt in range(3):  # the machine may be busy with other things
            start = time.monotonic()
            assert_same(sources.load("mnist", tmp_path / str(attempt), [mirror]), official["mnist"])
            taken = time.monotonic() - start
            assert taken >= 0.3
            if taken < 1.2:
                break
        assert taken < 1.2  # one wait, not one a file
        monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror])
        with pytest.raises(UserError, match=r"no answer in 0.3 s|timed out"):
            sources.load("mnist", tmp_path / "other")


def test_a_name_look_up_that_hangs_is_given_up(tmp_path, monkeypatch):
    hang = threading.Event()
    monkeypatch.setattr(download_module, "PATIENCE", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hang.wait(20))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"no answer in 0.2 s"):
        sources.load("mnist", tmp_path)
    assert time.monotonic() - start < 2
    hang.set()


# --- damage on disk -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", ["half", "too long", "header only", "empty", "wrong magic", "not 28x28", "no images", "int32"]
)
def test_a_broken_image_file_on_disk_is_fetched_anew_alone(damage, tmp_path, official, server):
    sources.load("mnist", tmp_path)
    server.requests.clear()
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "half": whole[: len(whole) // 2],
            "too long": whole + b"\0",
            "header only": whole[:10],
            "empty": b"",
            "wrong magic": b"\x1f\x8b" + whole[2:],
            "not 28x28": idx(np.zeros((TRAIN_SIZE, 27, 28), np.uint8)),
            "no images": idx(np.zeros((0, 28, 28), np.uint8)),
            "int32": idx(np.zeros((TRAIN_SIZE, 28, 28), np.int32)),
        }[damage]
    )
    assert_same(sources.load("mnist", tmp_path), official["mnist"])
    assert server.requests == ["/mnist/train-images-idx3-ubyte.gz"]
    assert path.read_bytes() == whole


def test_labels_out_of_range_are_fetched_anew(tmp_path, official, server):
    sources.load("mnist", tmp_path)
    server.requests.clear()
    write_idx(tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte", np.full(TEST_SIZE, 10, np.uint8))
    assert_same(sources.load("mnist", tmp_path), official["mnist"])
    assert server.requests == ["/mnist/t10k-labels-idx1-ubyte.gz"]


def test_images_and_labels_of_different_lengths_are_both_fetched_anew(tmp_path, official, server):
    sources.load("mnist", tmp_path)
    server.requests.clear()
    write_idx(tmp_path / "MNIST/raw/train-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8))
    assert_same(sources.load("mnist", tmp_path), official["mnist"])
    assert server.requests == ["/mnist/train-images-idx3-ubyte.gz", "/mnist/train-labels-idx1-ubyte.gz"]


def test_a_broken_file_that_cannot_be_fetched_anew_is_named(tmp_path, no_network, official):
    raw = write_files(
        tmp_path / "MNIST/raw",
        {
            name.removesuffix(".gz"): gzip.decompress(content)
            for name, content in mnist_files(official["mnist"]).items()
        },
    )
    path = raw / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError) as caught:
        sources.load("mnist", tmp_path)
    assert f"{path} has 100 bytes instead of the 5,504 that its header announces" in str(caught.value)
    assert path.stat().st_size == 100  # not made worse


def test_a_file_that_stays_broken_is_not_fetched_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "fetch", lambda *_: None)
    with pytest.raises(UserError, match="train-images-idx3-ubyte is missing even after a fresh download"):
        sources.load("mnist", tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, server):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"Cannot read or write .*data.*; put that right or choose another data.folder"):
        sources.load("mnist", tmp_path / "data")
    assert server.requests == []  # known before anything was downloaded


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"Cannot read or write .*MNIST/raw \(No space left on device\)"):
        sources.load("mnist", tmp_path)
    assert files_below(tmp_path) == []


# --- killed, and two at once --------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the patched tables reach a child process by fork only")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_killed_download_leaves_no_final_file_and_a_rerun_completes_it(tmp_path, official, server):
    server.stall_after = 2000  # the image files stop in the middle
    process = multiprocessing.get_context("fork").Process(target=sources.load, args=("mnist", tmp_path))
    process.start()
    assert server.stalled.wait(10)
    raw = tmp_path / "MNIST/raw"
    deadline = time.monotonic() + 10
    while not list(raw.glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    [part] = files_below(tmp_path)
    assert part.endswith(".part")

    server.stall_after = None
    assert_same(sources.load("mnist", tmp_path), official["mnist"])
    assert part in files_below(tmp_path)  # so young that its process might be alive
    os.utime(raw / part, (time.time() - 7200,) * 2)
    (raw / "t10k-labels-idx1-ubyte").unlink()
    sources.load("mnist", tmp_path)
    assert files_below(tmp_path) == sorted([*PARTS, checksums.FILE])


def test_several_loads_at_once_into_one_empty_folder_are_all_whole(tmp_path, official):
    start = threading.Barrier(4)

    def load(_: int) -> sources.Source:
        start.wait()
        return sources.load("emnist_digits", tmp_path)

    with ThreadPoolExecutor(4) as pool:
        for source in pool.map(load, range(4)):
            assert_same(source, official["emnist_digits"])
    assert files_below(tmp_path) == sorted([*PARTS, checksums.FILE])


# --- auto ---------------------------------------------------------------------------------------


def test_auto_is_mnist_where_an_address_answers(tmp_path, official, caplog):
    source = sources.load("auto", tmp_path)
    assert source.name == "mnist"
    assert_same(source, official["mnist"])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_auto_is_mnist_on_disk_without_network(tmp_path, no_network, official):
    sources.load("mnist", tmp_path, [str(write_files(tmp_path / "mirror", mnist_files(official["mnist"])))])
    assert sources.load("auto", tmp_path).name == "mnist"


def test_auto_without_network_is_digits_and_says_so_once(tmp_path, no_network, caplog):
    source = sources.load("auto", tmp_path)
    assert source.name == "digits"
    assert len(source.train_images) == 1500
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.name == "mnist_lightning"
    assert record.getMessage().startswith("NOT MNIST: this run takes scikit-learn's 1,797 small digits")
    assert "Connection refused" in record.getMessage()


def test_auto_does_not_hide_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="Cannot read or write"):
        sources.load("auto", tmp_path / "data")


# --- IDX and what a start costs -----------------------------------------------------------------


def test_idx_keeps_values_and_shape(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).swapaxes(1, 2)  # not contiguous
    write_idx(tmp_path / "values", values)
    np.testing.assert_array_equal(read_idx(tmp_path / "values"), values)
    assert (tmp_path / "values").read_bytes() == idx(values)
    table = np.array([[7, -1], [70_000, 0]], np.int32)
    np.testing.assert_array_equal(decode_idx(idx(table)), table)


def test_idx_with_a_huge_announced_size_is_refused_before_memory_is_taken():
    with pytest.raises(BrokenFile, match="has 16 bytes instead of the 79,228,"):
        decode_idx(bytes([0, 0, 8, 3]) + b"\xff" * 12)


def test_a_set_on_disk_is_loaded_without_torchvision_opencv_and_scikit_learn(tmp_path):
    sources.load("kmnist", tmp_path)
    code = (
        "import sys, pathlib; from mnist_lightning.data.sources import load;"
        "print(load('kmnist', pathlib.Path(sys.argv[1])).name,"
        "[m for m in ('torchvision', 'cv2', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "kmnist []"


def test_what_one_process_noted_is_not_lost_when_another_writes_the_file(tmp_path):
    known = checksums.Checksums(tmp_path, "emnist_digits")
    known.note(PARTS[0], "a" * 64, (1, 2, 3))
    (tmp_path / checksums.FILE).write_text("{}")
    known.note(PARTS[1], "b" * 64, (1, 2, 3))
    again = checksums.Checksums(tmp_path, "emnist_digits")
    for each in (known, again):
        assert [each.expected(part) for part in PARTS[:2]] == ["a" * 64, "b" * 64]
