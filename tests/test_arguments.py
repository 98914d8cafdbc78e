"""Signatures read from their source agree with those that importing would find, and import nothing."""

import inspect
import subprocess
import sys

import pytest

from mnist_lightning import arguments
from mnist_lightning.arguments import accepts, bound_arguments, parameters_of, read_signature, refusal
from mnist_lightning.types import PositiveInt


@pytest.mark.parametrize(
    "path",
    [
        "mnist_lightning.models.CNN", "mnist_lightning.models.MLP", "mnist_lightning.models.LeNet5",
        "mnist_lightning.models.Loss", "mnist_lightning.models.plateau", "mnist_lightning.data.DigitsDataModule",
        "mnist_lightning.data.Augment", "mnist_lightning.callbacks.Averaging", "mnist_lightning.callbacks.BestAndLast",
        "torch.optim.Adam", "torch.optim.SGD", "torch.optim.lr_scheduler.OneCycleLR",
        "lightning.pytorch.loggers.CSVLogger", "lightning.pytorch.callbacks.EarlyStopping",
    ],
)  # fmt: skip
def test_what_is_read_is_what_is_there(path):
    import importlib

    home, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(home), name)
    read = read_signature(path)
    there = {each.name: each for each in parameters_of(made).values() if each.kind is not each.VAR_KEYWORD}
    assert set(read.arguments) == set(there)
    required = {name for name, each in there.items() if each.default is inspect.Parameter.empty}
    assert {name for name, argument in read.arguments.items() if argument.required} == required
    assert not read.open


def test_arguments_that_a_class_hands_on_are_those_of_the_class_that_takes_them():
    trainer = read_signature("mnist_lightning.tasks.trainer.Trainer")
    assert {"max_epochs", "precision", "max_time", "min_epochs", "fast_dev_run", "barebones"} <= set(trainer.arguments)
    assert not trainer.open


def test_reading_imports_nothing():
    code = (
        "import sys; from mnist_lightning.arguments import read_signature\n"
        "for path in ('torch.optim.Adam', 'mnist_lightning.models.CNN', 'mnist_lightning.tasks.trainer.Trainer'):\n"
        "    assert read_signature(path).arguments\n"
        "print([name for name in ('torch', 'lightning', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("path", ["nowhere_at_all.Thing", "math.sqrt", "builtins.eval", "torch.optim.Nothing", "x", ""])
def test_what_has_no_source_has_no_signature(path):
    assert read_signature(path) is None


class Base:
    def __init__(self, size: PositiveInt = 3, *, name="b", **rest):
        pass


class Derived(Base):
    def __init__(self, width, size=(1, 2), **base):
        pass


def test_keyword_arguments_of_a_constructor_stand_for_those_of_its_bases():
    assert list(parameters_of(Derived)) == ["width", "size", "name", "rest"]
    assert bound_arguments(Derived, (7,), {"name": "d"}) == {"width": 7, "size": [1, 2], "name": "d"}
    assert accepts(Derived, name="d", nope=1) == {"name": "d"}


@pytest.mark.parametrize(
    ("value", "annotation", "place"),
    [
        (3, PositiveInt, None),
        (0, PositiveInt, ""),
        ([1, 0], list[PositiveInt], "[1]"),
        ("3", int, ""),
        (True, int, ""),
        (1, float, None),
        (1.0, int, ""),
        ("anything", None, None),
    ],
)
def test_a_value_is_refused_where_it_does_not_fit(value, annotation, place):
    refused = refusal(value, annotation)
    assert (refused if refused is None else refused[0]) == place


def test_an_annotation_is_evaluated_when_it_is_asked_for(monkeypatch):
    evaluated = []
    monkeypatch.setattr(arguments._Module, "evaluate", lambda module, written: evaluated.append(written))
    arguments.read_signature.cache_clear()
    try:
        found = arguments.read_signature("torch.optim.Adam").arguments
        assert (found["params"].required, found["lr"].required, evaluated) == (True, False, [])
        assert (found["lr"].annotation, found["lr"].annotation, len(evaluated)) == (None, None, 1)
    finally:
        arguments.read_signature.cache_clear()
