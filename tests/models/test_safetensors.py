import json
import struct

import numpy as np
import pytest
import torch

from mnist_lightning.errors import UserError
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.models import checkpoint, safetensors


@pytest.fixture
def file(checkpoint_file, tmp_path):
    """The small network as a .safetensors file."""
    network, card = checkpoint.restore(checkpoint_file)
    path = tmp_path / "small.safetensors"
    path.write_bytes(safetensors.dump(network.state_dict(), card))
    return path


def change(path, **metadata):
    """Write other metadata into a file."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = metadata
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])


def test_a_network_comes_back_with_its_card(file, checkpoint_file):
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28)).astype(np.uint8)
    found, wanted = Predictor.load(file, "cpu"), Predictor.load(checkpoint_file, "cpu")
    assert torch.equal(found.logits(images), wanted.logits(images))
    assert found.card == json.loads(json.dumps(wanted.card))


def test_training_starts_from_it_as_from_a_checkpoint(file, checkpoint_file):
    found, wanted = checkpoint.read(file), checkpoint.read(checkpoint_file)
    assert found["state_dict"].keys() == wanted["state_dict"].keys()


def test_nothing_is_unpickled(file, monkeypatch):
    monkeypatch.setattr("pickle.Unpickler", None)
    monkeypatch.setattr("torch.load", None)
    assert Predictor.load(file, "cpu").class_names == tuple("0123456789")


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99])
def test_a_file_cut_off_is_said(file, share):
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"^.*small\.safetensors is not a (valid )?\.safetensors file "):
        checkpoint.read(file)


def test_a_file_of_somebody_elses_is_said(file):
    change(file, format="pt")
    with pytest.raises(UserError, match=r"small\.safetensors is not a file of this project: it does not say which"):
        checkpoint.read(file)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"format": 99}', '{"format": 1}'])
def test_a_card_that_makes_no_sense_is_said(file, text):
    change(file, mnist_lightning=text)
    with pytest.raises(UserError, match=r"small\.safetensors (is|was) "):
        checkpoint.read(file)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (17, r"The weights in .*small\.safetensors do not fit this network: they belong to "),
        (
            10**11,
            r"small\.safetensors is broken: network in its card has 'hidden_sizes'=100000000000, which is too",
        ),
    ],
)
def test_weights_of_another_network_are_said(file, size, told):
    card = checkpoint.read(file)["mnist_lightning"]
    change(file, mnist_lightning=json.dumps(card | {"network": {"name": "mlp", "hidden_sizes": [size]}}))
    with pytest.raises(UserError, match=told):
        Predictor.load(file, "cpu")


def test_a_missing_or_huge_file_is_said(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read: No such file"):
        checkpoint.read(tmp_path / "no.safetensors")
    with (tmp_path / "huge.safetensors").open("wb") as file:
        file.truncate(safetensors.LARGEST_FILE + 1)  # takes no room on the disk
    with pytest.raises(UserError, match=r"has 536,870,913 bytes: at most 536,870,912 are read"):
        checkpoint.read(tmp_path / "huge.safetensors")
