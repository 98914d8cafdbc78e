import os
import pickle
import random

import pytest
import torch
from torch import nn

from mnist_lightning.errors import UserError
from mnist_lightning.models import CNN, MLP, LeNet5, checkpoint


def write(path, **changes):
    """A copy of a checkpoint with other entries in it."""
    kept = torch.load(path, weights_only=True) | changes
    torch.save(kept, path)
    return kept


@pytest.fixture
def file(checkpoint_file, tmp_path):
    """A checkpoint that a test may spoil."""
    path = tmp_path / "some.ckpt"
    path.write_bytes(checkpoint_file.read_bytes())
    return path


def card_of(path):
    return torch.load(path, weights_only=True)[checkpoint.CARD]


def save(path, network, description, **card):
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights, checkpoint.CARD: checkpoint.make_card(description, **card)}, path)


@pytest.mark.parametrize(
    ("made", "knobs"),
    [(MLP, {"hidden_sizes": [5], "crop": 20}), (CNN, {"channels": [3], "kernels": [5], "pools": [4]}), (LeNet5, {})],
)
@pytest.mark.parametrize("form", ["_target_", "name"])
def test_a_network_comes_back_as_it_was(tmp_path, made, knobs, form):
    """By the card of today, and by that of a checkpoint written before networks were named by their class."""
    knobs = {"mean": 0.2, **knobs}
    name = {"_target_": f"mnist_lightning.models.{made.__name__}", "name": made.__name__.lower()}[form]
    description = {form: name, **knobs}
    torch.manual_seed(0)
    network = made(num_classes=4, **knobs)
    images = torch.rand(6, 1, 28, 28)
    network.train()(images)  # moves the batch norm's averages
    more = {"settings": {"seed": 3, "model": description}}
    classes = ["o", "ki", "su", "tsu"]
    save(tmp_path / "some.ckpt", network, description, image_size=28, dataset="kmnist", class_names=classes, **more)
    restored, read = checkpoint.restore(tmp_path / "some.ckpt")
    assert type(restored) is type(network)
    assert not restored.training
    assert torch.equal(restored(images), network.eval()(images))
    assert read == {
        "format": 1, "network": description, "image_size": 28, "dataset": "kmnist", "class_names": classes, **more,
    }  # fmt: skip


def test_other_entries_of_a_lightning_checkpoint_are_no_weights(file):
    kept = torch.load(file, weights_only=True)
    write(file, state_dict=kept["state_dict"] | {"loss.weight": torch.zeros(3)}, loops={}, epoch=3)
    restored, _ = checkpoint.restore(file)
    assert torch.equal(restored.head.bias, kept["state_dict"]["network.head.bias"])


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(UserError, match=r"^The checkpoint .*some\.ckpt cannot be read: No such file or directory\.$"):
        checkpoint.read(tmp_path / "some.ckpt")
    with pytest.raises(UserError, match=r"^The checkpoint .* cannot be read: it is not a file\.$"):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize("share", [0, 1e-9, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1])
def test_a_file_cut_off_anywhere_is_said(file, share):
    whole = file.read_bytes()
    file.write_bytes(whole[: min(len(whole) - 1, int(share * len(whole) + 0.999))])
    with pytest.raises(UserError, match=r"^The checkpoint .*some\.ckpt is broken( or cut off)?: train it again or"):
        checkpoint.read(file)


def test_damage_in_the_middle_is_said_or_harmless(file):
    whole = file.read_bytes()
    draw = random.Random(0)
    for _ in range(30):
        start = draw.randrange(len(whole) - 64)
        file.write_bytes(whole[:start] + draw.randbytes(64) + whole[start + 64 :])
        try:
            network, _ = checkpoint.restore(file)
        except UserError as error:
            assert "some.ckpt" in str(error)  # noqa: PT017
        else:  # it hit the weights
            assert isinstance(network, MLP)


@pytest.mark.parametrize("content", [b"", b"\x00", b"PK\x03\x04", b"\x80\x02", b"hello, I am a checkpoint\n"])
def test_other_bytes_are_said(file, content):
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"some\.ckpt is (broken|not a checkpoint of this project)"):
        checkpoint.read(file)


def test_random_bytes_are_said(file):
    draw = random.Random(0)
    for length in (1, 2, 10, 100, 1000, 10000):
        for _ in range(5):
            file.write_bytes(draw.randbytes(length))
            with pytest.raises(UserError, match=r"some\.ckpt (is (broken|not a checkpoint)|holds)"):
                checkpoint.read(file)


@pytest.mark.parametrize("foreign", [{}, {"state_dict": {}}, [1], torch.zeros(3), {checkpoint.CARD: "cnn"}])
def test_plain_data_that_is_none_of_ours_is_said(file, foreign):
    torch.save(foreign, file)
    with pytest.raises(
        UserError, match=r"some\.ckpt is not a checkpoint of this project: it does not say which network"
    ):
        checkpoint.read(file)


def test_a_pickled_network_is_not_loaded(file):
    torch.save(nn.Linear(2, 2), file)
    with pytest.raises(
        UserError, match=r"some\.ckpt is not a checkpoint of this project, or holds more than plain data"
    ):
        checkpoint.read(file)


class Malice:
    """Unpickling it runs a command."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("form", ["torch", "torch legacy", "pickle"])
@pytest.mark.parametrize("place", ["whole", "card", "weights"])
def test_nothing_of_a_strangers_runs(file, tmp_path, form, place):
    trace = tmp_path / "it ran"
    kept = torch.load(file, weights_only=True)
    content = {
        "whole": Malice(trace),
        "card": kept | {checkpoint.CARD: kept[checkpoint.CARD] | {"dataset": Malice(trace)}},
        "weights": kept | {"state_dict": {"network.head.bias": Malice(trace)}},
    }[place]
    if form == "pickle":
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(UserError, match=r"holds more than plain data, and is not loaded|is broken"):
        checkpoint.read(file)
    assert not trace.exists()
    if form != "pickle":
        torch.load(file, weights_only=False)  # the trap is a real one
        assert trace.exists()


@pytest.mark.parametrize("place", ["network", "member"])
@pytest.mark.parametrize("key", ["_target_", "name"])
@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "logging.os.system", "torch.nn.Linear", "__import__"])
def test_a_card_cannot_name_code_to_build(file, name, key, place):
    network = {key: name, "command": "true"}
    if place == "member":
        network = {"_target_": "mnist_lightning.models.Ensemble", "members": [card_of(file)["network"], network]}
    write(file, **{checkpoint.CARD: card_of(file) | {"network": network}})
    told = rf"some\.ckpt: The network '{name}' is not one of this package \(cnn, ensemble, lenet5, mlp\)\. If you "
    with pytest.raises(UserError, match=told) as error:
        checkpoint.restore(file)
    assert "\n" not in str(error.value)


def test_a_network_of_the_users_own_comes_back_where_the_user_allows_its_module(tmp_path, monkeypatch):
    (tmp_path / "shapes_of_mine.py").write_text("from mnist_lightning import MLP\n\n\nclass Wide(MLP):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import shapes_of_mine

    network = shapes_of_mine.Wide(hidden_sizes=[7])
    save(
        tmp_path / "some.ckpt", network, {"_target_": "shapes_of_mine.Wide", "hidden_sizes": [7]}, image_size=28,
        dataset="mnist", class_names=list("0123456789"),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"allow it with allow=\[shapes_of_mine\]\.$"):
        checkpoint.restore(tmp_path / "some.ckpt")
    restored, _ = checkpoint.restore(tmp_path / "some.ckpt", allow=["shapes_of_mine"])
    assert type(restored) is shapes_of_mine.Wide


def test_weights_of_another_architecture_are_said(file):
    weights = torch.load(file, weights_only=True)["state_dict"]
    write(file, **{checkpoint.CARD: card_of(file) | {"network": card_of(file)["network"] | {"hidden_sizes": [17]}}})
    told = r"^The weights in .*some\.ckpt do not fit this network: they belong to model=mlp model\.hidden_sizes=\[17\]"
    with pytest.raises(UserError, match=told):
        checkpoint.restore(file)
    other = CNN()
    with pytest.raises(UserError, match=r"Choose the same settings of model= and data=\.$"):
        checkpoint.load_weights(other, torch.load(file, weights_only=True), file)
    for spoilt in ({}, dict(list(weights.items())[1:]), weights | {"network.more": torch.zeros(1)}):
        write(file, state_dict=spoilt)
        with pytest.raises(UserError, match="do not fit this network"):
            checkpoint.restore(file)


@pytest.mark.parametrize("named", [{"name": "cnn"}, {"_target_": "mnist_lightning.models.CNN"}])
def test_a_network_is_described_as_one_would_type_it(named):
    card = {"network": {**named, "channels": [8], "crop": None}, "class_names": ["a", "b"]}
    assert checkpoint.describe(card) == "model=cnn model.channels=[8] model.crop=null with 2 classes"


def test_a_later_format_asks_for_an_update(file):
    write(file, **{checkpoint.CARD: card_of(file) | {"format": checkpoint.FORMAT + 1}})
    with pytest.raises(UserError, match=r"some\.ckpt was written by a later version of this project: update to"):
        checkpoint.read(file)


@pytest.mark.parametrize("lost", ["network", "class_names", "image_size"])
def test_a_garbled_card_is_said(file, lost):
    whole = card_of(file)
    for value in ("gone", None):
        card = {name: each for name, each in card_of(file).items() if name != lost or value is None}
        write(file, **{checkpoint.CARD: card | ({lost: None} if value is None else {})})
        with pytest.raises(UserError, match=rf"some\.ckpt is broken: {lost} in its card (is missing|must be)"):
            checkpoint.restore(file)
        write(file, **{checkpoint.CARD: whole})


def test_stripping_keeps_weights_and_card_and_drops_the_rest(file, tmp_path):
    kept = torch.load(file, weights_only=True)
    moments = {name: [value.clone(), value.clone()] for name, value in kept["state_dict"].items()}
    write(file, optimizer_states=[moments], loops={"epoch": 3})
    target = tmp_path / "small.ckpt"
    checkpoint.strip(file, target)
    stripped = torch.load(target, weights_only=True)
    assert set(stripped) == {"state_dict", checkpoint.CARD}
    assert stripped[checkpoint.CARD] == kept[checkpoint.CARD]
    assert all(torch.equal(stripped["state_dict"][name], value) for name, value in kept["state_dict"].items())
    assert target.stat().st_size < 0.4 * file.stat().st_size
    weights = sum(value.nbytes for value in kept["state_dict"].values())
    assert target.stat().st_size < weights + 8000


def test_joining_keeps_the_members_weights_and_names_their_networks(file, tmp_path):
    parts = [checkpoint.read(file), checkpoint.read(file)]
    torch.save(checkpoint.join(parts), tmp_path / "joined.ckpt")
    joined, card = checkpoint.restore(tmp_path / "joined.ckpt")
    alone, _ = checkpoint.restore(file)
    images = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(joined(images).softmax(1), alone(images).softmax(1))
    assert card["network"] == {
        "_target_": "mnist_lightning.models.Ensemble", "members": [card_of(file)["network"]] * 2,
    }  # fmt: skip
