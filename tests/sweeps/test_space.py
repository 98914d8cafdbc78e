import json

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mnist_lightning.errors import UserError
from mnist_lightning.sweeps.space import Space, from_overrides


@pytest.mark.parametrize(
    ("key", "wanted", "drawn"),
    [
        ("optimizer.lr", {"low": 1e-4, "high": 1e-1, "log": True}, FloatDistribution(1e-4, 1e-1, log=True)),
        ("optimizer.lr", {"low": 1, "high": 3}, FloatDistribution(1.0, 3.0)),  # whole bounds of a number that is not
        ("model.dropout", {"low": 0, "high": 0.5, "step": 0.25}, FloatDistribution(0.0, 0.5, step=0.25)),
        ("data.batch_size", {"low": 8, "high": 512, "log": True}, IntDistribution(8, 512, log=True)),
        ("trainer.max_epochs", {"low": 1, "high": 8, "step": 3}, IntDistribution(1, 7, step=3)),
        ("model", ["cnn", "mlp"], CategoricalDistribution(["cnn", "mlp"])),
        ("scheduler", ["none"], CategoricalDistribution(["none"])),
        ("data.val_size", [None, 100], CategoricalDistribution([None, 100])),
        ("optimizer.nesterov", [True, False], CategoricalDistribution([True, False])),
        ("model.channels", [[4, 8], [16]], CategoricalDistribution(["[4, 8]", "[16]"])),
    ],
)
def test_each_kind_of_line_becomes_its_distribution(key, wanted, drawn):
    assert Space({key: wanted}).distributions == {key: drawn}


def test_settings_may_stand_below_their_group():
    space = Space({"optimizer": {"lr": {"low": 0.1, "high": 0.2}}, "model.dropout": [0.1]})
    assert list(space.distributions) == ["optimizer.lr", "model.dropout"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({}, "search.space is empty: name in it"),
        ({"optimizer.l": [1]}, "search.space: there is no setting optimizer.l: did you mean optimizer.lr?"),
        ({"modl": ["cnn"]}, "search.space: there is no setting modl: did you mean model?"),
        ({"search.n_trials": [1]}, "search.space: there is no setting search.n_trials"),
        ({"model": ["cnn", "mpl"]}, "search.space: there is no model=mpl: did you mean mlp? Known: checkpoint, cnn"),
        ({"model": {"low": 1, "high": 2}}, "search.space: model needs a list of choices in brackets."),
        ({"optimizer.lr": 0.1}, "search.space: optimizer.lr needs a list of choices in brackets."),
        ({"optimizer.lr": []}, "search.space: optimizer.lr has no choices."),
        (
            {"model.dropout": [0.1, -1]},
            "search.space: model.dropout=-1 is not allowed: expected a number from 0 to below 1.",
        ),
        (
            {"data.batch_size": {"low": 0, "high": 1}},
            "search.space: data.batch_size: low=0 is not allowed: expected a whole number",
        ),
        (
            {"model.dropout": {"low": 0, "high": 1}},
            "search.space: model.dropout: high=1 is not allowed: expected a num",
        ),
        (
            {"data.batch_size": {"low": 1.5, "high": 3}},
            "search.space: data.batch_size: low=1.5 is not allowed: expected",
        ),
        (
            {"optimizer.lr": {"low": 0.1}},
            "search.space: optimizer.lr: high=None is not allowed: expected a number",
        ),
        ({"optimizer.lr": {"low": 0.2, "high": 0.1}}, "search.space: optimizer.lr: low=0.2 must be below high=0.1."),
        ({"optimizer.lr": {"low": 0.1, "hihg": 1}}, "search.space: optimizer.lr has no hihg: did you mean high?"),
        ({"optimizer.lr": {"low": 0.1, "high": 1, "log": "yes"}}, "search.space: optimizer.lr: log=yes is not allowed"),
        (
            {"model.dropout": {"low": 0, "high": 0.5, "log": True}},
            "search.space: model.dropout: log=true needs low abo",
        ),
        (
            {"optimizer.lr": {"low": 0.1, "high": 1, "log": True, "step": 0.1}},
            "search.space: optimizer.lr: give log or",
        ),
        (
            {"optimizer.lr": {"low": 0.1, "high": 1, "step": 2}},
            "search.space: optimizer.lr: step=2 is not allowed: expected",
        ),
        (
            {"data.batch_size": {"low": 1, "high": 9, "step": 0.5}},
            "search.space: data.batch_size: step=0.5 is not allowed",
        ),
    ],
)
def test_what_does_not_do_is_said(wanted, told):
    with pytest.raises(UserError) as error:
        Space(wanted)
    assert str(error.value).startswith(told)


def test_a_grid_has_every_point():
    space = Space({"model.dropout": {"low": 0.0, "high": 0.3, "step": 0.1}, "data.batch_size": {"low": 8, "high": 10}})
    assert space.grid() == {"model.dropout": [0.0, 0.1, 0.2, 0.3], "data.batch_size": [8, 9, 10]}


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        1e-05,
        7,
        True,
        None,
        "cnn",
        "16-mixed",
        "a b",
        "it's",
        "1,2",
        "",
        r"C:\a\b c",
        "ends in \\",
        r"\\a 'b'",
        [4, 8],
        [0.5],
    ],
)
def test_a_value_reaches_the_job_as_it_was_drawn(value):
    space = Space({"model": ["cnn"]})
    space.distributions = {"key": CategoricalDistribution([json.dumps(value) if isinstance(value, list) else value])}
    (typed,) = space.overrides({"key": space.distributions["key"].choices[0]})
    (parsed,) = OverridesParser.create().parse_overrides([typed])
    read = parsed.value()
    assert getattr(read, "text", read) == value
    assert not parsed.is_sweep_override()


def test_the_command_line_changes_and_fixes_what_is_searched_over():
    typed = [
        "optimizer.lr=tag(log,interval(0.001,1))", "model=cnn,mlp", "data.batch_size=interval(8,64)",
        "trainer.max_epochs=range(1,6,2)", "loss.label_smoothing=0.1", "model.dropout=choice(0.0,0.1)", "seed=3",
    ]  # fmt: skip
    space, fixed = from_overrides(
        {"loss.label_smoothing": [0.0, 0.1], "optimizer.lr": [1.0], "augment.degrees": [1]},
        OverridesParser.create().parse_overrides(typed),
    )
    assert fixed == ["loss.label_smoothing=0.1", "seed=3"]
    assert space == {
        "optimizer.lr": {"low": 0.001, "high": 1, "log": True},
        "augment.degrees": [1],
        "model": ["cnn", "mlp"],
        "data.batch_size": {"low": 8, "high": 64, "log": False},
        "trainer.max_epochs": {"low": 1, "high": 5, "step": 2},
        "model.dropout": [0.0, 0.1],
    }
