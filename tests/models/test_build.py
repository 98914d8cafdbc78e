"""A card describes a network; what it names is built only if the package offers it or the user allows it by name."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from mnist_lightning.errors import UserError
from mnist_lightning.models import CNN, MLP, Ensemble, LeNet5
from mnist_lightning.models.build import OFFERED, build, describe_class

MINE = """
import logging  # whose module `os` is what a malicious card may try to reach
import os
from torch import nn
from torch.nn import Linear

open(__file__ + ".imported", "w").close()


class Net(nn.Module):
    def __init__(self, num_classes, width=3):
        super().__init__()
        self.width = width
        self.head = nn.Linear(28 * 28, num_classes)

    def forward(self, images):
        return self.head(images.flatten(1))


def make():
    raise RuntimeError("called")


class NotANetwork:
    pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's own, `nets_of_mine`; its value says whether it was imported."""
    (tmp_path / "nets_of_mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda: (tmp_path / "nets_of_mine.py.imported").exists()
    sys.modules.pop("nets_of_mine", None)


@pytest.mark.parametrize("made", [CNN, MLP, LeNet5])
def test_each_network_is_built_by_the_name_that_describes_it(made):
    network = build({"_target_": describe_class(made), "crop": 24}, num_classes=4, image_size=26)
    assert type(network) is made
    assert (network.arguments["num_classes"], network.arguments["image_size"]) == (4, 26)
    assert network.arguments["crop"] == 24


@pytest.mark.parametrize(("name", "made"), [("cnn", CNN), ("mlp", MLP), ("lenet5", LeNet5)])
def test_cards_written_before_the_change_still_build(name, made):
    network = build({"name": name, "crop": 24}, num_classes=3)
    assert (type(network), network.arguments["num_classes"]) == (made, 3)


def test_the_members_of_an_ensemble_are_built_each_from_its_description():
    members = [{"_target_": "mnist_lightning.models.MLP", "hidden_sizes": [8]}, {"name": "lenet5"}]
    for description in (
        {"_target_": "mnist_lightning.models.Ensemble", "members": members},
        {"name": "ensemble", "members": members},
    ):
        network = build(description, num_classes=5)
        assert type(network) is Ensemble
        assert [type(member) for member in network.members] == [MLP, LeNet5]
        assert network(torch.rand(2, 1, 28, 28)).shape == (2, 5)
    with pytest.raises(UserError, match="experiment=ensemble"):
        build({"name": "ensemble"})


@pytest.mark.parametrize(
    ("description", "named"),
    [
        ({"name": "cnm"}, r"'cnm' is not one of this package \(cnn, ensemble, lenet5, mlp\)"),
        ({"channels": [8]}, "None"),
        ({"name": "mlp", "channels": [8]}, "'channels'.*hidden_sizes"),
        ({"_target_": "mnist_lightning.models.CNN", "hidden_sizes": [8]}, "CNN has no argument 'hidden_sizes'"),
    ],
)
def test_descriptions_that_make_no_network_are_the_users_mistake(description, named):
    with pytest.raises(UserError, match=named):
        build(description, num_classes=10)


MALICIOUS = [
    "os.system",
    "builtins.eval",
    "__import__",
    "logging.os.system",  # an alias of a module that is harmless by itself
    "torch.nn.Linear",
    "mnist_lightning.models.build.importlib.import_module",
    "mnist_lightning.models.network.Network",
    "nets_of_mine.Net",
    ["os.system"],
    {"_target_": "os.system"},
    7,
    "",
]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("key", ["_target_", "name"])
@pytest.mark.parametrize("target", MALICIOUS, ids=str)
def test_a_strangers_card_imports_and_calls_nothing(mine, target, key, nested, monkeypatch):
    description = {key: target, "command": "touch /tmp/pwned", "expression": "1"}
    if nested:
        description = {"_target_": "mnist_lightning.models.Ensemble", "members": [{"name": "mlp"}, description]}
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"imported {name}"))
    with pytest.raises(UserError) as told:
        build(description)
    assert "is not one of this package (cnn, ensemble, lenet5, mlp)" in str(told.value)
    assert "\n" not in str(told.value)
    assert not mine()


def test_nothing_of_a_strangers_card_is_imported_in_a_process_of_its_own(tmp_path, mine):
    program = (
        "import sys; from mnist_lightning.errors import UserError; from mnist_lightning.models.build import build\n"
        "before = set(sys.modules)\n"
        f"for target in {json.dumps([each for each in MALICIOUS if isinstance(each, str)])}:\n"
        "    try: build({'_target_': target}); print('built', target)\n"
        "    except UserError: pass\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "[]\n"
    assert not mine()


def test_what_the_user_allows_by_name_is_built(mine):
    for allow in (["nets_of_mine"], ["nets_of_mine.Net"], ["other", "nets_of_mine"]):
        network = build({"_target_": "nets_of_mine.Net", "width": 5}, num_classes=4, allow=allow)
        assert (type(network).__name__, network.width, network.head.out_features) == ("Net", 5, 4)
    members = [{"_target_": "nets_of_mine.Net"}, {"name": "mlp"}]
    joined = build({"_target_": "mnist_lightning.models.Ensemble", "members": members}, allow=["nets_of_mine"])
    assert [type(each).__name__ for each in joined.members] == ["Net", "MLP"]


@pytest.mark.parametrize(
    "target",
    ["nets_of_mine.os.system", "nets_of_mine.logging.os.system", "nets_of_mine.make", "nets_of_mine.NotANetwork",
     "nets_of_mine.Linear", "nets_of_mine.nn", "nets_of_mine.Missing"],
)  # fmt: skip
def test_allowing_a_module_allows_its_own_networks_and_nothing_that_it_imports(mine, target):
    with pytest.raises(UserError, match=r"is not a network that nets_of_mine|cannot be imported") as told:
        build({"_target_": target, "command": "true"}, allow=["nets_of_mine"])
    assert "\n" not in str(told.value)


def test_allowing_one_module_allows_no_other_whose_name_begins_alike(mine):
    for allow in (["nets_of"], ["nets_of_mine.N"], ["nets"], [""]):
        with pytest.raises(UserError, match=r"allow it with allow=\[nets_of_mine\]"):
            build({"_target_": "nets_of_mine.Net"}, allow=allow)
    assert not mine()


def test_what_is_offered_are_the_networks_of_the_package():
    assert set(OFFERED) == {f"mnist_lightning.models.{name}" for name in ("CNN", "MLP", "LeNet5", "Ensemble")}
    assert all(issubclass(made, nn.Module) for made in OFFERED.values())
    assert describe_class(nn.Linear) == "torch.nn.modules.linear.Linear"
