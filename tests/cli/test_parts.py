"""Parts built from their `_target_`, the package's own and the user's."""

import json
import sys
from functools import partial

import pytest
import torch

from mnist_lightning.cli import parts
from mnist_lightning.errors import UserError

MINE = """
import json
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers.logger import Logger
from torch import nn

from mnist_lightning.data import Source
from mnist_lightning.errors import UserError


class Net(nn.Module):
    def __init__(self, num_classes: int, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, num_classes))

    def forward(self, images):
        return self.layers(images)


class Count(pl.Callback):
    def __init__(self, file: str, every: int = 1):
        self.file, self.every, self.steps = file, every, 0

    def on_train_batch_end(self, *arguments):
        self.steps += 1

    def on_fit_end(self, trainer, module):
        (Path(trainer.default_root_dir) / self.file).write_text(str(self.steps))


class Lines(Logger):
    def __init__(self, save_dir):
        super().__init__()
        self.file = Path(save_dir) / "lines.jsonl"

    name, version, experiment = "lines", "", None

    def log_hyperparams(self, params, *arguments, **more):
        pass

    def log_metrics(self, metrics, step=None):
        with self.file.open("a") as file:
            file.write(json.dumps(metrics) + chr(10))


def shapes(count: int = 100):
    labels = torch.arange(count) % 3
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    for label in range(3):
        images[labels == label, 3 + 8 * label : 9 + 8 * label] = 255
    return Source("shapes", images, labels, images[:30], labels[:30], ("top", "middle", "bottom"))


def refuse(number: int = 1):
    raise UserError(f"{number} is too many.")


def stumble():
    raise ValueError("a fault of its own")
"""
CONF = {
    "model/mine": "_target_: mine_own.Net\nwidth: 16 # units of the hidden layer\n",
    "data/mine": "defaults:\n  - _base\n  - _self_\nname: shapes\nsource:\n  _target_: mine_own.shapes\n"
    "  _partial_: true\n  count: 120\n",
    "optimizer/mine": "_target_: torch.optim.NAdam\n_partial_: true\nlr: 0.01\n",
    "scheduler/mine": "_target_: mnist_lightning.models.Schedule\nmake:\n"
    "  _target_: torch.optim.lr_scheduler.OneCycleLR"
    "\n  _partial_: true\n  max_lr: 0.02\ninterval: step\n",
    "callbacks/mine": "mine:\n  _target_: mine_own.Count\n  file: steps.txt\n",
    "logger/mine": "mine:\n  _target_: mine_own.Lines\n",
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of the user's own, with `mine_own.py` and `conf/`, as the current one."""
    (tmp_path / "mine_own.py").write_text(MINE)
    for name, text in CONF.items():
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Mine.\n{text}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mine_own", None)


def test_parts_of_ones_own_train_are_scored_and_come_back(own):
    import mnist_lightning as ml

    asked = [*(f"{group}=mine" for group in ("model", "data", "optimizer", "scheduler", "logger")),
             "callbacks=[default,mine]", "augment=none", "trainer.max_epochs=10", "averaging.decay=0.0",
             "data.batch_size=16",
             "runtime.threads=1"]  # fmt: skip
    record = ml.train(*asked)
    assert (record["status"], record["dataset"]["name"], record["dataset"]["train"]) == ("finished", "shapes", 110)
    assert record["test"]["accuracy"] == 1.0
    assert record["parameters"] == 784 * 16 + 16 + 16 * 3 + 3
    [run] = own.glob("outputs/train/*/*")
    assert (run / "steps.txt").read_text() == "70"
    lines = [json.loads(line) for line in (run / "lines.jsonl").read_text().splitlines()]
    assert len([line for line in lines if "val/loss" in line]) == 10
    kept = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert kept["mnist_lightning"]["network"] == {"_target_": "mine_own.Net", "width": 16}
    assert kept["mnist_lightning"]["class_names"] == ["top", "middle", "bottom"]
    assert kept["lr_schedulers"][0]["total_steps"] == 70  # OneCycleLR was given the length of the run
    with pytest.raises(UserError, match=r"allow it with allow=\[mine_own\]"):
        ml.load(run)
    predictor = ml.load(run, allow=["mine_own"])
    assert predictor.class_names == ("top", "middle", "bottom")
    for override, told in (
        ("model.widht=3", "There is no setting model.widht: did you mean model.width?"),
        ("model.width=wide", "model.width=wide is not allowed: model.width should be a whole number."),
        ("callbacks.mine.evry=3", "There is no setting callbacks.mine.evry: did you mean callbacks.mine.every?"),
    ):
        with pytest.raises(UserError) as error:
            ml.train(*asked, f"+{override}" if "widht" in override or "evry" in override else override)
        assert str(error.value) == told


def test_what_a_part_takes_is_offered_and_what_the_config_says_stays(own):
    net = parts.build("model", {"_target_": "mine_own.Net", "width": 4}, num_classes=3, image_size=28)
    assert net.layers[3].out_features == 3
    given = parts.build("model", {"_target_": "mine_own.Net", "num_classes": 7}, num_classes=3)
    assert given.layers[3].out_features == 7


def test_a_partial_is_a_function_that_is_still_to_be_called():
    made = parts.build("optimizer", {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    assert isinstance(made, partial)
    assert (made.func, made.keywords) == (torch.optim.SGD, {"lr": 0.5})


def test_an_empty_config_is_no_part():
    assert parts.build("scheduler", {}) is None
    assert parts.build("scheduler", None) is None


def test_a_part_that_says_that_it_is_not_active_is_left_out():
    configs = {
        "off": {"_target_": "mnist_lightning.callbacks.Averaging", "decay": 0.0},
        "on": {"_target_": "mnist_lightning.callbacks.Averaging", "decay": 0.5},
        "nothing": None,
    }
    [callback] = parts.build_all("callbacks", configs)
    assert callback.decay == 0.5


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"_target_": "mine_own.refuse", "number": 7}, r"^7 is too many\.$"),
        ({"_target_": "mine_own.stumble"}, r"^part cannot be built from mine_own\.stumble: .*a fault of its own"),
        (
            {"_target_": "mine_own.Nothing"},
            r"^part cannot be built from mine_own\.Nothing: mine_own has no Nothing\.$",
        ),
        (
            {"_target_": "nowhere_to_be_found.Part"},
            r"^part cannot be built from nowhere_to_be_found\.Part: No module named 'nowhere_to_be_found'\. Is .*\?$",
        ),
        ({"width": 3}, r"^part is not a part: it has no _target_, which names its class\.$"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_sentence(own, config, told, caplog):
    with pytest.raises(UserError, match=told) as error:
        parts.build("part", config)
    assert "\n" not in str(error.value)
    assert caplog.text == ""


def test_parts_of_other_packages_are_found_at_any_depth():
    ours = [{"_target_": name} for name in ("mnist_lightning.models.CNN", "torch.optim.NAdam", "checkpoint",
                                            "torch.optim.lr_scheduler.ExponentialLR")]  # fmt: skip
    theirs = {"a": {"b": [{"_target_": "own.nets.Net"}, {"_target_": "torch.hub.load"}]}}
    assert parts.foreign_targets([ours, theirs, {"x": {"_target_": ["no", "name"]}}]) == [
        "['no', 'name']", "own.nets.Net", "torch.hub.load"
    ]  # fmt: skip
