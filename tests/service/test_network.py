"""Which file the service reads with."""

import shutil

import pytest

pytest.importorskip("onnxruntime")

from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.service import network

SHIPPED = runs.PRETRAINED


def test_the_shipped_network_has_its_files_beside_it(tmp_path):
    for precision, name in (("int8", "mnist.int8.onnx"), ("float32", "mnist.onnx")):
        path, _ = network.find("pretrained", tmp_path, precision)
        assert path == SHIPPED.with_name(name)


def test_auto_takes_eight_bits_where_the_processor_is_fast_at_them(tmp_path, monkeypatch):
    for fast, name in ((True, "mnist.int8.onnx"), (False, "mnist.onnx")):
        monkeypatch.setattr(network, "fast_int8", lambda fast=fast: fast)
        assert network.find("pretrained", tmp_path, "auto")[0].name == name


def test_an_onnx_file_is_taken_as_it_is(tmp_path):
    path = SHIPPED.with_name("mnist.onnx")
    assert network.find(str(path), tmp_path, "int8")[0] == path


def test_a_checkpoint_is_exported_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other = tmp_path / "other.ckpt"
    shutil.copy(SHIPPED, other)
    calls = []

    def export(path, target, quantize, allow):
        calls.append((path, quantize))
        target.parent.mkdir(parents=True)
        shutil.copy(SHIPPED.with_name("mnist.int8.onnx"), target)  # of the same weights

    monkeypatch.setattr(network, "_export", export)
    first, second = (network.find(str(other), tmp_path, "int8")[0] for _ in range(2))
    assert first == second
    assert first.is_relative_to(tmp_path / "cache/mnist_lightning")
    assert calls == [(other, "int8")]


def test_a_file_of_other_weights_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "other.ckpt").write_bytes(SHIPPED.read_bytes() + b" ")
    shutil.copy(SHIPPED.with_name("mnist.onnx"), tmp_path / "other.onnx")
    monkeypatch.setattr(network, "_export", lambda *_: None)
    path, _ = network.find(str(tmp_path / "other.ckpt"), tmp_path, "float32")
    assert path.is_relative_to(tmp_path / "cache")


def test_a_checkpoint_that_cannot_be_exported_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bad.ckpt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"bad\.ckpt cannot be exported to ONNX: .*bad\.ckpt is [^(]*$"):
        network.find(str(tmp_path / "bad.ckpt"), tmp_path, "float32")


def test_what_has_to_be_installed_for_an_export_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "other.ckpt").write_bytes(SHIPPED.read_bytes() + b" ")
    (tmp_path / "onnxscript.py").write_text("raise ModuleNotFoundError('No module named onnxscript')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        UserError, match=r"cannot be exported to ONNX here \(.*onnxscript.*\): install the extra `export`"
    ):
        network.find(str(tmp_path / "other.ckpt"), tmp_path, "float32")
