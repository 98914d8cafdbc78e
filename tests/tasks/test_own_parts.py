"""Parts of the user's own, in a module that the package does not know, through every command that meets them."""

import json
from pathlib import Path

import pytest
from fixtures_training import compose, train

from mnist_lightning.apps.replay import replay
from mnist_lightning.apps.window import load_reader
from mnist_lightning.errors import UserError
from mnist_lightning.export.command import export
from mnist_lightning.ink import drawings
from mnist_lightning.ink.strokes import Stroke
from mnist_lightning.run import folder as runs
from mnist_lightning.service import network
from mnist_lightning.tasks.suite import suite

MODULE = '''
import lightning.pytorch as pl
from torch import nn
from torch.utils.data import DataLoader

from mnist_lightning.callbacks import BestAndLast
from mnist_lightning.data import DigitsDataModule, Source, sources


class Net(nn.Sequential):
    def __init__(self, num_classes=10):
        super().__init__(nn.Flatten(), nn.Linear(784, num_classes))


class Digits:
    """scikit-learn's, under another name."""

    def __call__(self):
        found = sources.load("digits", None, ())
        images = found.train_images[:1000], found.train_labels[:1000], found.test_images, found.test_labels
        return Source("mine", *images, found.class_names)


class KeepAll(BestAndLast):
    """A checkpoint callback of one's own."""


class Module(pl.LightningDataModule):
    """The least that is asked of a DataModule."""

    name, class_names, batch_size = "mine", tuple("0123456789"), 32

    def setup(self, stage):
        whole = DigitsDataModule("digits", limit=320)
        whole.setup()
        self.train, self.val, self.test = whole.train, whole.val, whole.test

    def _loader(self, data):
        pairs = [(image[None].float() / 255, label) for image, label in zip(*data[:], strict=True)]
        return DataLoader(pairs, self.batch_size)

    def train_dataloader(self):
        return self._loader(self.train)

    def val_dataloader(self):
        return self._loader(self.val)

    def test_dataloader(self):
        return self._loader(self.test)
'''
SHORT = ["data=digits", "data.limit=320", "runtime.threads=1", "trainer.max_epochs=1", "augment=none", "logger=none"]
HAND = Path(__file__).parents[1] / "apps/hand_digits.jsonl"
NET = ["~model", "+model._target_=mine_of_a_user.Net"]


@pytest.fixture(autouse=True, scope="module")
def mine(tmp_path_factory):
    """The folder of the module, which is on the path."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "mine_of_a_user.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The checkpoint of a network of the user's own."""
    folder = tmp_path_factory.mktemp("own")
    train(folder, *SHORT, *NET, small=False)
    return folder / "run" / runs.BEST


def test_drawings_are_read_by_a_network_of_ones_own(tmp_path):
    for number, label in enumerate([0, 1, 7, 8, 1] * 2):
        strokes = [Stroke([(0, label * 9), (30 + label, 50), (label * 9, 90)])]
        drawings.append(tmp_path, strokes, label, identity=f"a{number}")
    metrics = train(tmp_path, *SHORT, *NET, f"data.drawings={tmp_path}", small=False)
    assert (metrics["status"], metrics["drawings"]["aside"]) == ("finished", 2)


def test_a_checkpoint_callback_of_ones_own_ends_with_the_training(tmp_path):
    own = ["callbacks=[metrics_json]", "+callbacks.mine._target_=mine_of_a_user.KeepAll"]
    metrics = train(tmp_path, *SHORT, "model=mlp", *own, small=False)
    assert (metrics["status"], metrics["test"] is not None) == ("finished", True)


def test_a_data_module_of_ones_own_needs_no_more_than_its_page_says(tmp_path):
    own = ["~data", "+data._target_=mine_of_a_user.Module"]
    metrics = train(tmp_path, *(word for word in SHORT if not word.startswith("data")), "model=mlp", *own, small=False)
    assert (metrics["status"], metrics["dataset"]["name"]) == ("finished", "mine")


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_a_network_of_ones_own_is_exported_and_checked_on_ones_own_images(trained, tmp_path, quantize):
    data = compose("export", "data=digits", "+data.source._target_=mine_of_a_user.Digits")["data"]
    given = {"ckpt": str(trained), "output": str(tmp_path / "mine.onnx"), "quantize": quantize, "data": data}
    with pytest.raises(UserError, match=r"allow it with allow=\[mine_of_a_user\]"):
        export(**given)
    assert export(**given, allow=["mine_of_a_user"]).stat().st_size > 1000


def test_the_suite_measures_a_network_of_ones_own_on_images_of_ones_own(trained, tmp_path):
    asked = ["data=digits", "+data.source._target_=mine_of_a_user.Digits", "outliers=[noise]", "outlier_images=20"]
    settings = compose("evaluate_suite", *asked, "speed_seconds=0", f"ckpt={trained}", f"outputs={tmp_path}")
    with pytest.raises(UserError, match=r"allow it with allow=\[mine_of_a_user\]"):
        suite(tmp_path, **settings)
    report = suite(tmp_path, **{**settings, "allow": ["mine_of_a_user"]})
    assert report["dataset"]["name"] == json.loads((tmp_path / "report.json").read_text())["dataset"]["name"] == "mine"


def test_a_command_that_needs_a_set_says_so_of_another_data_module(trained, tmp_path):
    data = {"_target_": "mine_of_a_user.Module"}
    with pytest.raises(UserError, match=r"^data= names mine_of_a_user\.Module, a DataModule of its own, which this"):
        export(ckpt=str(trained), output=str(tmp_path / "mine.onnx"), data=data, allow=["mine_of_a_user"])


def test_it_is_drawn_on_replayed_and_served_where_it_is_allowed(trained, mine, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(mine))
    given = {"ckpt": str(trained), "strokes": str(HAND), "limit": 2}
    ways = [
        lambda allow: load_reader(trained, "cpu", None, allow),
        lambda allow: replay(tmp_path, **given, allow=allow),
        lambda allow: network.find(str(trained), tmp_path, "float32", allow),
    ]
    for way in ways:
        with pytest.raises(UserError, match=r"allow it with allow=\[mine_of_a_user\]\.$"):
            way([])
        assert way(["mine_of_a_user"])
