"""Damaged and hostile checkpoints and cards: one sentence each, no traceback, in under 2 s and 512 MiB."""

import json
import pickle
import random
import struct
import sys
import time
import zipfile

import pytest
import torch
from fixtures_memory import measured

from mnist_lightning.errors import UserError
from mnist_lightning.models import checkpoint, limits
from mnist_lightning.models.card import CARD, check_card, dump_card, parse_card

MLP = {"name": "mlp", "hidden_sizes": [16]}


@pytest.fixture
def file(checkpoint_file, tmp_path):
    """A checkpoint that a test may spoil."""
    path = tmp_path / "some.ckpt"
    path.write_bytes(checkpoint_file.read_bytes())
    return path


@pytest.fixture
def content(checkpoint_file):
    return torch.load(checkpoint_file, weights_only=True)


def sentence_of(path) -> str | None:
    """What `restore` says of a file; None where it takes it. Anything but a UserError fails the test."""
    for _ in range(3):  # of the processor, which is shared at times
        began = time.process_time()
        try:
            checkpoint.restore(path)
            told = None
        except UserError as error:
            told = str(error)
            assert told.isprintable()
            assert told.endswith(".")
            assert len(told) < 2 * len(str(path)) + 400
        if (seconds := time.process_time() - began) < 2:
            break
    assert seconds < 2
    return told


def changed(content, **card):
    return {**content, CARD: {**content[CARD], **card}}


def deep(levels):
    data = []
    for _ in range(levels):
        data = [data]
    return data


def itself():
    data = []
    data.append(data)
    return data


def doubled(times):
    """A list that is written in a few bytes and stands for 2 ** times values."""
    data = [0]
    for _ in range(times):
        data = [data, data]
    return data


CARDS = {
    "no card": None,
    "a list": [],
    "empty": {},
    "a later format": {"format": 2},
    "a format of text": {"format": "1"},
    "format true": {"format": True},
    "a negative format": {"format": -1},
    "two hidden layers of 30,000": {"network": {"name": "mlp", "hidden_sizes": [30_000, 30_000]}},
    "one of a billion": {"network": {"name": "mlp", "hidden_sizes": [1_000_000_000]}},
    "one of 10 ** 30": {"network": {"name": "mlp", "hidden_sizes": [10**30]}},
    "a negative layer": {"network": {"name": "mlp", "hidden_sizes": [-16]}},
    "a layer of none": {"network": {"name": "mlp", "hidden_sizes": [0]}},
    "a layer of text": {"network": {"name": "mlp", "hidden_sizes": ["16"]}},
    "a fraction of a layer": {"network": {"name": "mlp", "hidden_sizes": [16.5]}},
    "a layer in a list": {"network": {"name": "mlp", "hidden_sizes": [[16]]}},
    "layers in a text": {"network": {"name": "mlp", "hidden_sizes": "16"}},
    "layers of null": {"network": {"name": "mlp", "hidden_sizes": None}},
    "a thousand layers": {"network": {"name": "mlp", "hidden_sizes": [1] * 1_000}},
    "a million channels": {"network": {"name": "cnn", "channels": [1_000_000], "kernels": [1], "pools": [1]}},
    "a kernel of a million": {"network": {"name": "cnn", "channels": [1], "kernels": [1_000_000], "pools": [1]}},
    "a padded kernel of a million": {
        "network": {"name": "cnn", "channels": [1], "kernels": [1_000_001], "pools": [1], "padding": True}
    },
    "a kernel of 0": {"network": {"name": "cnn", "channels": [1], "kernels": [0], "pools": [1]}},
    "a pool of 0": {"network": {"name": "cnn", "channels": [1], "kernels": [3], "pools": [0]}},
    "a negative pool": {"network": {"name": "cnn", "channels": [1], "kernels": [3], "pools": [-2]}},
    "no blocks": {"network": {"name": "cnn", "channels": [], "kernels": [], "pools": []}},
    "lists of different lengths": {"network": {"name": "cnn", "channels": [1, 2], "kernels": [3], "pools": [1]}},
    "a dropout of 7": {"network": {**MLP, "dropout": 7.0}},
    "a dropout of NaN": {"network": {**MLP, "dropout": float("nan")}},
    "a dropout of text": {"network": {**MLP, "dropout": "much"}},
    "an infinite mean": {"network": {**MLP, "mean": float("inf")}},
    "a std of 0": {"network": {**MLP, "std": 0}},
    "a std of text": {"network": {**MLP, "std": "1"}},
    "a crop of 10 ** 9": {"network": {**MLP, "crop": 10**9}},
    "a negative crop": {"network": {**MLP, "crop": -1}},
    "a crop of text": {"network": {**MLP, "crop": "all"}},
    "inputs of text": {"network": {**MLP, "inputs": "image"}},
    "unknown inputs": {"network": {**MLP, "inputs": ["photo"]}},
    "a hundred thousand inputs": {"network": {**MLP, "inputs": ["image"] * 100_000}},
    "an unknown argument": {"network": {**MLP, "depth": 3}},
    "an argument that is no text": {"network": {**MLP, 3: 3}},
    "no name": {"network": {"hidden_sizes": [16]}},
    "an empty name": {"network": {"name": ""}},
    "a number as name": {"network": {"name": 3}},
    "a list as name": {"network": {"name": ["mlp"]}},
    "a shell as name": {"network": {"name": "os.system"}},
    "code as name": {"network": {"name": "__import__('os').system('id')"}},
    "a name of a million letters": {"network": {"name": "x" * 1_000_000}},
    "a target": {"network": {"_target_": "os.system", "command": "id"}},
    "a network of text": {"network": "mlp"},
    "a network of null": {"network": None},
    "an empty network": {"network": {}},
    "an ensemble of none": {"network": {"name": "ensemble", "members": []}},
    "an ensemble of nothing": {"network": {"name": "ensemble"}},
    "an ensemble of text": {"network": {"name": "ensemble", "members": ["mlp"]}},
    "an ensemble of a number": {"network": {"name": "ensemble", "members": 3}},
    "an ensemble of 10,000": {"network": {"name": "ensemble", "members": [MLP] * 10_000}},
    "an ensemble of itself": {"network": {"name": "ensemble", "members": itself()}},
    "an ensemble with a shell": {"network": {"name": "ensemble", "members": [{"name": "os.system"}]}},
    "a deep network": {"network": {"name": "mlp", "hidden_sizes": deep(1_500)}},
    "a network of 2 ** 60 values": {"network": {"name": "mlp", "hidden_sizes": doubled(60)}},
    "deep settings": {"settings": deep(1_500)},
    "settings that hold themselves": {"settings": {"a": itself()}},
    "settings of 2 ** 60 values": {"settings": {"a": doubled(60)}},
    "settings of text": {"settings": "seed=0"},
    "a tensor in the settings": {"settings": {"a": torch.zeros(3)}},
    "bytes in the settings": {"settings": {"a": bytearray(3)}},
    "a set in the settings": {"settings": {"a": {1, 2}}},
    "half a surrogate pair in the settings": {"settings": {"a": "\ud800"}},
    "data of text": {"data": "mnist"},
    "no class names": {"class_names": []},
    "one class": {"class_names": ["0"]},
    "class names of null": {"class_names": None},
    "class names in a text": {"class_names": "0123456789"},
    "class names of numbers": {"class_names": list(range(10))},
    "a class named twice": {"class_names": ["0"] * 10},
    "an empty class name": {"class_names": ["", *"123456789"]},
    "too few classes": {"class_names": list("012")},
    "a million classes": {"class_names": [str(number) for number in range(1_000_000)]},
    "half a surrogate pair as a class": {"class_names": ["\ud800", *"123456789"]},
    "an escape sequence as a class": {"class_names": ["\x1b[2J", *"123456789"]},
    "a class name of a megabyte": {"class_names": ["x" * 1_000_000, *"123456789"]},
    "images of 10 ** 9 pixels": {"image_size": 10**9},
    "images of 512": {"image_size": 512},
    "images of 0": {"image_size": 0},
    "images of -28": {"image_size": -28},
    "images of 28.0": {"image_size": 28.0},
    "images of text": {"image_size": "28"},
    "images of true": {"image_size": True},
    "a data set of null": {"dataset": None},
    "a data set of a number": {"dataset": 3},
    "an escape sequence as a data set": {"dataset": "\x1b]0;mine\x07"},
    "a temperature of 0": {"temperature": 0.0},
    "a temperature of NaN": {"temperature": float("nan")},
    "a temperature of text": {"temperature": "warm"},
    "sure above 1": {"sure": 1.5},
    "a key that is a number": {7: 7},
    "a key that is a tuple": {(1, 2): 7},
    "a thousand keys": {f"key {number}": 0 for number in range(1_000)},
}  # fmt: skip


@pytest.mark.parametrize("kind", CARDS)
def test_a_damaged_card_is_one_sentence(file, content, kind):
    card = CARDS[kind]
    whole = {**content, CARD: card} if card in (None, [], {}) else changed(content, **{})
    if isinstance(card, dict) and card:
        whole[CARD] = {**content[CARD], **card}
    sys.setrecursionlimit(10_000)
    try:
        torch.save(whole, file)
    except RecursionError:
        pytest.skip("Python cannot write such a file either")
    finally:
        sys.setrecursionlimit(1_000)
    assert "some.ckpt" in (sentence_of(file) or "it was taken")


def test_there_are_as_many_damaged_cards_as_were_once_tracebacks():
    assert len(CARDS) + len(WEIGHTS) >= 96


WEIGHTS = {
    "none": lambda weights: {},
    "null": lambda weights: None,
    "a list": lambda weights: list(weights.items()),
    "text": lambda weights: dict.fromkeys(weights, "0"),
    "numbers": lambda weights: dict.fromkeys(weights, 0.0),
    "keys that are numbers": lambda weights: dict(enumerate(weights.values())),
    "one is missing": lambda weights: dict(list(weights.items())[1:]),
    "one too many": lambda weights: weights | {"network.more": torch.zeros(1)},
    "other shapes": lambda weights: {name: value[None] for name, value in weights.items()},
    "a giant without memory": lambda weights: {
        name: torch.zeros(()).expand(value.shape) for name, value in weights.items()
    },
    "a giant of 10 ** 12": lambda weights: weights | {"network.head.bias": torch.zeros(1).expand(10**12)},
    "sparse": lambda weights: {name: value.to_sparse() for name, value in weights.items()},
    "complex": lambda weights: {name: value.to(torch.complex64) for name, value in weights.items()},
    "whole numbers": lambda weights: {name: value.to(torch.int64) for name, value in weights.items()},
    "NaN": lambda weights: {name: value / 0 if value.is_floating_point() else value for name, value in weights.items()},
    "infinite": lambda weights: weights | {"network.head.bias": torch.full((10,), torch.inf)},
    "on no device": lambda weights: {name: value.to("meta") for name, value in weights.items()},
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_damaged_weights_are_one_sentence(file, content, kind):
    torch.save({**content, "state_dict": WEIGHTS[kind](content["state_dict"])}, file)
    assert "some.ckpt" in (sentence_of(file) or "it was taken")


def test_weights_that_share_their_memory_are_read(file, content):
    """A slice of a larger tensor, as `torch.save` writes it, is no giant."""
    big = torch.zeros(1_000)
    weights = content["state_dict"] | {"network.head.bias": big[:10]}
    torch.save({**content, "state_dict": weights}, file)
    assert sentence_of(file) is None


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_anywhere_are_one_sentence_or_harmless(file, seed):
    whole, draw = file.read_bytes(), random.Random(seed)
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 8, 64])):
            damaged[draw.randrange(len(whole))] = draw.randrange(256)
        file.write_bytes(damaged)
        sentence_of(file)


@pytest.mark.parametrize("seed", range(4))
def test_damage_inside_the_pickle_is_one_sentence_or_harmless(file, seed):
    """Rewritten with a right checksum, so that the zip is whole and torch's unpickler meets the damage."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    draw = random.Random(seed)
    for _ in range(60):
        damaged = bytearray(entries[name])
        for _ in range(draw.choice([1, 2, 4])):
            at = draw.randrange(len(damaged))
            what = draw.random()
            if what < 0.6:
                damaged[at] = draw.randrange(256)
            elif what < 0.8:
                del damaged[at : at + draw.randrange(8)]
            else:
                damaged[at:at] = draw.randbytes(draw.randrange(8))
        with zipfile.ZipFile(file, "w") as archive:
            for each, value in {**entries, name: bytes(damaged)}.items():
                archive.writestr(each, value)
        sentence_of(file)


def write_zip(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in entries:
            archive.writestr(name, value)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(file):
    with zipfile.ZipFile(file) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    write_zip(file, [*entries, ("archive/data/99", bytes(200_000_000))], zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 1_000_000
    assert sentence_of(file) == f"{file} is not a checkpoint as torch writes it, and is not loaded."


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_a_name_twice_or_no_pickle_is_refused(file):
    with zipfile.ZipFile(file) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    write_zip(file, [*entries, entries[0]])
    assert sentence_of(file) == f"{file} is not a checkpoint as torch writes it, and is not loaded."
    write_zip(file, [entry for entry in entries if not entry[0].endswith("data.pkl")])
    assert "is broken or cut off" in (sentence_of(file) or "")
    write_zip(file, [])
    assert "is broken or cut off" in (sentence_of(file) or "")


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_bare_pickle_is_refused_whatever_its_protocol(file, content, protocol):
    file.write_bytes(pickle.dumps({CARD: content[CARD]}, protocol=protocol))
    assert "is not a checkpoint of this project" in (sentence_of(file) or "")


@pytest.mark.parametrize("kind", ["a safetensors file", "a torchscript file", "an old torch file"])
def test_files_of_other_kinds_are_one_sentence(file, content, kind):
    if kind == "an old torch file":
        torch.save(content, file, _use_new_zipfile_serialization=False)
    elif kind == "a torchscript file":
        write_zip(file, [(f"archive/{name}.pkl", b"\x80\x02).") for name in ("constants", "data")])
    else:
        header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "some.ckpt" in (sentence_of(file) or "it was taken")


MEASURE = """
import sys, time
from fixtures_memory import peak
from pathlib import Path
from mnist_lightning.errors import UserError
from mnist_lightning.models import checkpoint
import torch.nn.functional
checkpoint.restore(Path(sys.argv[1]))
before = peak()
for path in sys.argv[2:]:
    began = time.process_time()
    try:
        checkpoint.restore(Path(path))
    except UserError as error:
        print(time.process_time() - began, peak() - before)
"""


def test_no_card_costs_memory_before_it_is_refused(checkpoint_file, content, tmp_path, within):
    paths = []
    for number, kind in enumerate(["two hidden layers of 30,000", "a million channels", "images of 512", "one class",
                                   "a padded kernel of a million", "a network of 2 ** 60 values"]):  # fmt: skip
        paths.append(tmp_path / f"{number}.ckpt")
        torch.save(changed(content, **CARDS[kind]), paths[-1])
    done = measured(MEASURE, checkpoint_file, *paths)
    lines = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert len(lines) == len(paths), done.stderr
    assert within(max(seconds for seconds, _ in lines), 2)
    assert max(memory for _, memory in lines) < 512


def test_a_network_with_maps_that_are_too_large_is_refused(tmp_path, content):
    from mnist_lightning.models import build as networks

    wide = {"name": "cnn", "channels": [2_000], "kernels": [3], "pools": [1]}
    network = networks.build(wide, num_classes=10)
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    path = tmp_path / "wide.ckpt"
    torch.save({"state_dict": weights, CARD: {**content[CARD], "network": wide}}, path)
    assert "computes up to 1,352,000 values per image in one layer: at most 500,000" in (sentence_of(path) or "")


# --- the card as text, in a .safetensors or .onnx file ------------------------------------------


def test_a_card_survives_its_way_through_text(content):
    assert parse_card(dump_card(content[CARD]), "here") == content[CARD] | {
        "class_names": list(content[CARD]["class_names"])
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "here is not a file of this project: it does not say which network it holds."),
        ("", "The card of here is not valid JSON"),
        ("[" * 100_000, "The card of here is not valid: its lists are nested too deeply."),
        ("{", "The card of here is not valid JSON"),
        ("null", "here is not a file of this project"),
        ("{}", "here is broken: network in its card is missing"),
        (" " * 1_000_001, "here is broken: its card has more than 1,000,000 letters."),
        ("9" * 5_000, "The card of here is not valid JSON (Exceeds the limit"),
    ],
)
def test_a_card_that_is_no_card_is_one_sentence(text, told):
    with pytest.raises(UserError) as caught:
        parse_card(text, "here")
    assert str(caught.value).startswith(told)


def test_a_card_with_more_entries_than_we_know_is_taken(content):
    card = content[CARD] | {"temperature": 1.3, "sure": 0.6, "data": {"split_seed": 0}, "license": "MIT"}
    assert check_card(card, "here") is card


@pytest.mark.parametrize("header", [2**63, 10**9, 1000, 0])
def test_a_safetensors_file_with_a_giant_header_is_refused(tmp_path, header):
    path = tmp_path / "some.safetensors"
    path.write_bytes(struct.pack("<Q", header) + b"{}")
    if header == 0:
        limits.check_safetensors(path)  # the library says what is wrong with an empty one
    else:
        with pytest.raises(UserError, match=r"some\.safetensors is not a \.safetensors file of a network"):
            limits.check_safetensors(path)
