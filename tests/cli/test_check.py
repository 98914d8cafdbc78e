"""Settings held against the signatures that they belong to: what is refused, and in which words."""

import re

import pytest

from mnist_lightning.cli.check import check, dotted, nearest
from mnist_lightning.errors import UserError
from mnist_lightning.tasks.settings import check_together, without_effect

TRAIN = "mnist_lightning.tasks.train.train"
PARTS = {
    "data": {"_target_": "mnist_lightning.data.DigitsDataModule"},
    "augment": {"_target_": "mnist_lightning.data.Augment"},
    "model": {"_target_": "mnist_lightning.models.CNN"},
    "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True},
    "scheduler": {"_target_": "mnist_lightning.models.onecycle"},
    "trainer": {"_target_": "mnist_lightning.tasks.trainer.Trainer"},
    "loss": {"_target_": "mnist_lightning.models.Loss"},
    "averaging": {"_target_": "mnist_lightning.callbacks.Averaging"},
}


def nested(key, value):
    """("data.limit", 1) -> {"data": {"_target_": ..., "limit": 1}}."""
    section, _, name = key.rpartition(".")
    return {section: PARTS.get(section, {}) | {name: value}} if section else {name: value}


@pytest.mark.parametrize(
    ("key", "good", "bad", "wanted"),
    [
        ("seed", [0, 7, None], [-1, 1.5, True, "1", 2**32], "a whole number from 0 to below 4294967296, or null."),
        ("data.batch_size", [1, 128], [0, 1.0, "ten", [1]], "a whole number, 1 or more."),
        ("data.val_size", [None, 1], [0, "null", {"a": 1}], "a whole number, 1 or more, or null."),
        ("data.shuffle", [True, False], [1, 0, "true", None], "true or false."),
        ("data.folder", ["data"], ["", None, 3], "a text that is not empty."),
        ("data.mirrors", [[], ["file:///a"]], ["file:///a", [""], [1]], "a list, each a text that is not empty."),
        ("optimizer.lr", [1, 1e-9], ["fast", None, True, [1]], "a number"),
        ("model.dropout", [0, 0.99], [1, -0.1], "a number from 0 to below 1."),
        ("model.channels", [[8], [8, 9]], [[0], [1.5], 8], "a list, each a whole number, 1 or more."),
        ("model.inputs", [["image"], ["deslanted"]], [["picture"], "image"], "a list, each one of image, deslanted."),
        ("scheduler.end", [0, 1, 0.5], [1.01, -1], "a number from 0 to 1."),
        ("model.mean", [-1, 0.5], ["grey", None, False], "a number."),
        ("augment.scale", [[0.9, 1.1]], [[0.9], [0, 1], 0.9], "a list of 2 entries, each a number above 0."),
        ("augment.erase_with", ["black", "grey"], ["white", None], "one of black, grey, image."),
        ("trainer.gradient_clip_val", [None, 0.5], [0], "a number above 0, or null."),
        ("trainer.limit_train_batches", [1.0, 0.1, 1, 30], [0, 0.0, 1.5, -3], "a whole number, 1 or more, or a number "
         "above 0 and at most 1."),
        ("trainer.overfit_batches", [0, 0.0, 3, 0.5], [-1, 2.5], "a whole number, 1 or more, or a number above 0 and "
         "at most 1, or 0."),
        ("trainer.accelerator", ["auto", "mps"], ["quantum", None], "one of auto, cpu, gpu, mps."),
        ("trainer.devices", ["auto", 1, 8], [0, "all", None, [0, 1]], "a whole number, 1 or more, or auto."),
        ("distill.weight", [0.5, 1], [0, 1.5], "a number above 0 and at most 1."),
        ("averaging.decay", [0, 0.99], [1, -0.1], "a number from 0 to below 1."),
        ("loss.label_smoothing", [0, 0.5], [1, "much"], "a number from 0 to below 1."),
        ("runtime.threads", [None, 2], [0, "all"], "a whole number from 1 to 4096, or null."),
        ("search.trial", [None, 0], [-1], "a whole number, 0 or more, or null."),
        ("logger", [None, {}], ["csv", 3], "a mapping, or null."),
        ("model", [PARTS["model"]], [3, "cnn"], "a mapping."),
        ("outputs", ["here"], ["", None, 3], "a text that is not empty."),
        ("allow", [[], ["my.nets"]], ["my.nets", [3]], "a list, each a text that is not empty."),
    ],
)  # fmt: skip
def test_each_kind_of_annotation_tells_good_values_from_bad(key, good, bad, wanted):
    for value in good:
        check(nested(key, value), TRAIN)
    for value in bad:
        with pytest.raises(UserError, match=re.escape(f"is not allowed: {key} should be {wanted}")) as told:
            check(nested(key, value), TRAIN)
        assert str(told.value).startswith(f"{key}=")
        assert str(told.value).endswith(".")


def test_a_refused_value_is_shown_as_it_is_typed():
    for value, shown in ((None, "null"), (True, "true"), ("ten", "ten"), ([1, 2], "[1, 2]")):
        with pytest.raises(UserError, match=re.escape(f"data.batch_size={shown} is not allowed: ")):
            check(nested("data.batch_size", value), TRAIN)


def test_a_misspelt_choice_is_answered_with_the_nearest_one():
    for key, typed, meant in (("trainer.accelerator", "cpuu", "cpu"), ("search.sampler", "tpi", "tpe")):
        with pytest.raises(UserError, match=rf"{key}={typed} is not allowed: .* Did you mean {meant}\?$"):
            check(nested(key, typed), TRAIN)


def test_a_missing_value_is_asked_for():
    with pytest.raises(UserError, match=r"^image is not given: add image=\.\.\. to the command\.$"):
        check({"image": "???"}, "mnist_lightning.inference.files.predict_files")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trainer.max_epoch", "trainer.max_epochs"),
        ("trainer.max_tme", "trainer.max_time"),  # of Lightning's Trainer, which ours passes on
        ("data.batchsize", "data.batch_size"),
        ("optimizer.momentun", "optimizer.momentum"),
        ("search.n_trial", "search.n_trials"),
        ("runtime.thread", "runtime.threads"),
        ("sed", "seed"),
    ],
)
def test_an_unknown_setting_brings_the_nearest_known_name(typed, meant):
    with pytest.raises(UserError, match=re.escape(f"There is no setting {typed}: did you mean {meant}?")):
        check(nested(typed, 1), TRAIN)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trainr.max_epochs", "trainer.max_epochs"),
        ("max_epochs", "trainer.max_epochs"),
        ("lr", "optimizer.lr"),
        ("learning.batch_size", "data.batch_size"),
    ],
)
def test_the_nearest_name_is_found_in_another_section_too(typed, meant):
    from mnist_lightning.cli.config import known_settings

    assert nearest(typed, known_settings("train")) == meant


def test_where_no_known_name_is_near_none_is_guessed():
    assert nearest("zzz.qqq", ["data.limit", "seed"]) is None
    with pytest.raises(UserError, match=r"^There is no setting zzz\.$"):
        check({"zzz": {"qqq": 1}}, TRAIN)


def test_dotted_keeps_empty_groups_as_values():
    assert list(dotted({"a": {"b": 1, "c": {"d": [2]}}, "e": {}})) == [("a.b", 1), ("a.c.d", [2]), ("e", {})]


# ---- parts of the user's own


MINE = """
import torch  # never imported by the check
from torch import nn

open(__file__ + ".imported", "w").close()


class Net(nn.Module):
    def __init__(self, num_classes: int, width: int = 8, depth: "int" = 2):
        super().__init__()


class Deeper(Net):
    def __init__(self, *, blocks: int = 3, **rest):
        super().__init__(**rest)


def network(num_classes, size: float = 1.0):
    return Net(num_classes)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "parts_of_mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert not (tmp_path / "parts_of_mine.py.imported").exists()  # it was read, not run


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"_target_": "parts_of_mine.Net", "widht": 3}, "There is no setting model.widht: did you mean model.width?"),
        ({"_target_": "parts_of_mine.Net", "widht": 3, "wdith": 3}, "There is no setting model.widht: did you mean mo"),
        (
            {"_target_": "parts_of_mine.Net", "width": "x"},
            "model.width=x is not allowed: model.width should be a whole ",
        ),
        ({"_target_": "parts_of_mine.Deeper", "dept": 3}, "There is no setting model.dept: did you mean model.depth?"),
        ({"_target_": "parts_of_mine.Deeper", "depth": "x"}, "model.depth=x is not allowed: model.depth should be a "),
        ({"_target_": "parts_of_mine.network", "sice": 3}, "There is no setting model.sice: did you mean model.size?"),
    ],
)
def test_arguments_of_ones_own_class_are_checked_against_its_signature(mine, model, told):
    with pytest.raises(UserError) as error:
        check({"model": model}, TRAIN)
    assert str(error.value).startswith(told)


def test_what_is_left_of_a_class_that_the_command_line_has_replaced_is_named(mine):
    model = {"_target_": "parts_of_mine.Net", "channels": [3]}
    with pytest.raises(UserError, match=r"^parts_of_mine\.Net has no channels: these belong to the class that"):
        check({"model": model}, TRAIN, ["seed=1", "model._target_=parts_of_mine.Net"])
    with pytest.raises(UserError, match=r"^There is no setting model\.channels"):
        check({"model": model}, TRAIN, ["model=mine"])


@pytest.mark.parametrize(
    "model",
    [
        {"_target_": "parts_of_mine.Net"},  # num_classes comes from the program
        {"_target_": "parts_of_mine.Deeper", "blocks": 2, "width": 3},
        {"_target_": "parts_of_mine.network", "size": 2},
        {"_target_": "nowhere_at_all.Net", "anything": 3},  # building it says so
    ],
)
def test_what_fits_the_signature_of_ones_own_class_passes(mine, model):
    check({"model": model}, TRAIN)


def test_a_required_argument_that_nobody_gives_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "needy.py").write_text("class Shout:\n    def __init__(self, loudness):\n        pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"^callbacks\.mine\.loudness is not given: needy\.Shout needs it\.$"):
        check({"callbacks": {"mine": {"_target_": "needy.Shout"}}}, TRAIN)


def test_a_misspelt_argument_of_a_callback_is_answered_with_the_nearest_name():
    part = {"_target_": "mnist_lightning.callbacks.WorstMistakes", "cuont": 3}
    with pytest.raises(
        UserError, match=r"^There is no setting callbacks\.mine\.cuont: did you mean callbacks\.mine\.c"
    ):
        check({"callbacks": {"mine": part}}, TRAIN)


def test_a_new_argument_of_a_class_needs_no_second_place(tmp_path, monkeypatch):
    """A new setting touches its class and its YAML line: the check, the message and the nearest name follow."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "grown.py").write_text(
        "from mnist_lightning.models import CNN\nfrom mnist_lightning.types import PositiveInt\n\n\n"
        "class Grown(CNN):\n    def __init__(self, growth: PositiveInt = 2, **rest):\n        pass\n"
    )
    grown = {"_target_": "grown.Grown", "growth": 3, "dropout": 0.5, "crop": 20}
    check({"model": grown}, TRAIN)
    for changed, told in (
        ({"growth": 0}, "model.growth=0 is not allowed: model.growth should be a whole number, 1 or more."),
        ({"grwth": 1}, "There is no setting model.grwth: did you mean model.growth?"),
        ({"dropout": 1}, "model.dropout=1 is not allowed: model.dropout should be a number from 0 to below 1."),
        ({"crop": 0}, "model.crop=0 is not allowed: model.crop should be a whole number, 1 or more, or null."),
    ):
        with pytest.raises(UserError, match=f"^{re.escape(told)}$"):
            check({"model": grown | changed}, TRAIN)


# ---- settings against each other

TOGETHER = {
    "data.num_folds=1": "data.num_folds=1 is not allowed: cross-validation needs 2 or more (0: the plain split).",
    "data.num_folds=5 data.fold=5": "data.fold=5 is not allowed: with data.num_folds=5 it is 0 to 4.",
    "optimizer=sgd optimizer.momentum=0": "optimizer.nesterov=true needs optimizer.momentum above 0.",
    "scheduler=plateau scheduler.interval=step": "scheduler.interval=step cannot be combined with scheduler=plateau: "
    "it looks once per epoch.",
    "ckpt=latest ckpt_path=last.ckpt": "ckpt= starts anew from given weights, ckpt_path= resumes a run: give one of "
    "the two.",
    "trainer=mps trainer.devices=2": "trainer.devices=2 cannot be combined with mps, of which there is one.",
    "trainer=mps trainer.devices=auto trainer.strategy=ddp": "trainer.strategy=ddp cannot be combined with mps, of "
    "which there is one.",
    "trainer=cpu trainer.sync_batchnorm=true": "trainer.sync_batchnorm=true works on GPUs only: leave it out with "
    "trainer.accelerator=cpu.",
    "trainer=fsdp trainer.precision=16-mixed": "trainer.precision=16-mixed cannot be combined with "
    "trainer.strategy=fsdp: take bf16-mixed or 32-true.",
    "augment.scale=[1.1,0.9]": "augment.scale=[1.1, 0.9] is not allowed: the smaller factor comes first.",
    "model=checkpoint": "model=checkpoint takes the network from a checkpoint: add ckpt=pretrained or another one.",
    "train=false": "train=false scores a network that is there already: name it with ckpt=.",
    "distill.teacher=pretrained data.outlier_drawings=5": "distill.teacher cannot be combined with "
    "data.outlier_drawings: a teacher has no answer to outliers.",
    "data.suspects=drop": "data.suspects=drop needs data.suspects_file=...: a sweep over all folds writes it, as "
    "`python scripts/train.py -m data.num_folds=5 'data.fold=range(5)'` does.",
    "data.suspects=soften data.suspects_file=a.json data.num_folds=5": "data.suspects=soften cannot be combined with "
    "data.num_folds: its soft labels come from networks that were trained on the fold held out, and carry its labels "
    "over. Measure data.suspects=drop out of fold.",
    "data.suspects=drop data.suspects_file=a.json data.num_folds=5": "There is no a.json: a sweep over all folds "
    "writes it, as `python scripts/train.py -m data.num_folds=5 'data.fold=range(5)'` does.",
}


@pytest.mark.parametrize(("overrides", "told"), TOGETHER.items())
def test_settings_that_exclude_each_other_are_said(compose, overrides, told):
    given = compose("train", *overrides.split())
    check(given, TRAIN)
    with pytest.raises(UserError, match=f"^{re.escape(told)}$"):
        check_together(given)


@pytest.mark.parametrize(
    "overrides",
    [
        "data.num_folds=2 data.fold=1",
        "data.num_folds=0 data.fold=0",
        "optimizer=sgd optimizer.momentum=0 optimizer.nesterov=false",
        "optimizer=sgd",
        "scheduler=plateau",
        "scheduler=cosine scheduler.interval=step",
        "ckpt=latest",
        "train=false ckpt=latest",
        "trainer=mps trainer.devices=auto",
        "trainer=gpu trainer.sync_batchnorm=true trainer.strategy=fsdp trainer.precision=bf16-mixed",
        "augment.scale=[0.9,0.9]",
        "model=checkpoint ckpt=pretrained",
    ],
)
def test_settings_that_fit_each_other_pass(compose, overrides):
    given = compose("train", *overrides.split())
    check(given, TRAIN)
    check_together(given)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            "search.objectives=[]",
            "search.objectives=[] is not allowed: search.objectives should be a list of 1 or more ",
        ),
        (
            "search.objectives=[val_loss,val_loss]",
            "search.objectives=['val_loss', 'val_loss'] is not allowed: give one, ",
        ),
        (
            "search.objectives=[val_loss,parameters] search.sampler=cmaes",
            "search.sampler=cmaes takes one objective only",
        ),
        (
            "search.objectives=[parameters] search.pruner=median",
            "search.pruner=median needs search.objectives=[val_acc",
        ),
        ("search.study=a/b", "search.study=a/b is not allowed: it should be of letters, digits, dots, - and _."),
        (
            "search.sampler=dice",
            "search.sampler=dice is not allowed: search.sampler should be one of tpe, gp, random, ",
        ),
        ("search.n_trials=0", "search.n_trials=0 is not allowed: search.n_trials should be a whole number, 1 or more."),
    ],
)
def test_a_search_that_cannot_be_done_is_said(compose, overrides, told):
    given = compose("train", "search=lr", "search.study=s", *overrides.split())
    with pytest.raises(UserError) as error:  # noqa: PT012
        check(given, TRAIN)
        check_together(given)
    assert str(error.value).startswith(told)


WITHOUT_EFFECT = {
    "data.suspects_file=a.json": "data.suspects_file has no effect with data.suspects=keep.",
    "data.fold=1": "data.fold has no effect without data.num_folds.",
    "data.num_folds=5 data.val_size=100": "data.val_size has no effect with data.num_folds: the fold is the "
    "validation set.",
    "averaging.decay=0 averaging.every_n_steps=7": "averaging.every_n_steps has no effect with averaging.decay=0.",
    "early_stopping.min_delta=0.1": "early_stopping.min_delta has no effect without early_stopping.patience.",
    "early_stopping.patience=3 checkpoint.monitor=last": "early_stopping.patience watches val_loss, since "
    "checkpoint.monitor=last compares nothing.",
    "augment.elastic=0 augment.elastic_cells=5": "augment.elastic_cells has no effect with augment.elastic=0.",
    "augment.erase=0 augment.erase_size=[0.2,0.3]": "augment.erase_size has no effect with augment.erase=0.",
    "augment.erase_with=grey": "augment.erase_with has no effect with augment.erase=0.",
    "model.standardize=true model.std=0.5": "model.std has no effect with model.standardize=true.",
    "trainer=fsdp": "averaging.decay has no effect with trainer.strategy=fsdp: sharded weights are not averaged.",
    "data=digits data.mirrors=[file:///a]": "data.mirrors has no effect with data=digits: nothing is downloaded.",
    "distill.weight=0.5": "distill.weight has no effect without distill.teacher.",
    "data.drawings_share=0.5": "data.drawings_share has no effect without data.drawings.",
    "~callbacks.early_stopping early_stopping.patience=3": "early_stopping.patience has no effect: there is no "
    "callbacks.early_stopping.",
    "callbacks=none averaging.decay=0.5": "averaging.decay has no effect: there is no callbacks.averaging.",
}


@pytest.mark.parametrize(("overrides", "said"), WITHOUT_EFFECT.items())
def test_a_setting_without_effect_is_said(compose, overrides, said):
    given = compose("train", *overrides.split())
    check(given, TRAIN)
    assert said in without_effect(given)


@pytest.mark.parametrize(
    "overrides",
    [
        "",
        "data=digits",
        "data=digits data.num_folds=5 data.fold=4",
        "data.num_folds=5 data.fold=1",
        "averaging.decay=0",
        "early_stopping.patience=3 early_stopping.min_delta=0.1",
        "augment.elastic=1 augment.elastic_cells=5 augment.erase=0.5 augment.erase_size=[0.2,0.3]",
        "augment.erase=0.5 augment.erase_with=grey model.standardize=true",
        "experiment=tutorial",
        "callbacks=none",
    ],
)
def test_settings_that_do_something_are_not_called_idle(compose, overrides):
    assert without_effect(compose("train", *overrides.split())) == []
