import re

import pytest
import yaml
from mnist_lightning.cli.rules import RULES
from mnist_lightning.cli.settings import check, dotted, nearest, without_effect

from mnist_lightning.errors import UserError


def nested(key, value):
    """("a.b", 1) -> {"a": {"b": 1}}."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize(
    ("key", "good", "bad", "wanted"),
    [
        ("seed", [0, 7], [-1, 1.5, True, "1", None], "a whole number, 0 or more"),
        ("data.batch_size", [1, 128], [0, 1.0, "ten", [1]], "a whole number, 1 or more"),
        ("data.val_size", [None, 1], [0, "null"], "a whole number, 1 or more, or null"),
        ("data.shuffle", [True, False], [1, 0, "true", None], "true or false"),
        ("data.folder", ["data"], ["", None, 3], "a text"),
        ("data.mirrors", [[], ["file:///a"]], ["file:///a", [""], [1]], "a list of entries, each a text"),
        ("optimizer.lr", [1, 1e-9], [0, -1, "fast", None, True], "a number above 0"),
        ("optimizer.weight_decay", [0, 0.5], [-0.1], "a number 0 or more"),
        ("model.dropout", [0, 0.99], [1, -0.1], "a number 0 or more and below 1"),
        ("scheduler.end", [0, 1, 0.5], [1.01, -1], "a number 0 or more and at most 1"),
        ("scheduler.factor", [0.5], [0, 1], "a number above 0 and below 1"),
        ("model.mean", [-1, 0.5], ["grey", None, False], "a number"),
        ("optimizer.betas", [[0, 0.9]], [[0.9], [0.9, 1], 0.9], "a list of 2 entries, each a number 0 or more and"),
        ("trainer.gradient_clip_val", [None, 0.5], [0], "a number above 0, or null"),
        ("trainer.limit_train_batches", [1.0, 0.1, 1, 30], [0, 0.0, 1.5, -3], "a share above 0 and at most 1.0, or a"),
        ("trainer.overfit_batches", [0, 0.0, 3, 0.5], [-1, 2.5], "0.0 (off), or a share above 0"),
        ("trainer.accelerator", ["auto", "mps"], ["tpu", None], "one of auto, cpu, gpu, mps"),
        ("trainer.devices", ["auto", 1, 8], [0, "all", None, [0, 1]], "auto, or a whole number, 1 or more"),
        ("logger", [None, {}], ["csv", 3], "a choice of conf/logger/"),
    ],
)
def test_each_kind_of_rule_tells_good_values_from_bad(key, good, bad, wanted):
    for value in good:
        check(nested(key, value))
    for value in bad:
        with pytest.raises(UserError, match=re.escape(f"does not do: it must be {wanted}")) as told:
            check(nested(key, value))
        assert str(told.value).startswith(f"{key}=")
        assert str(told.value).endswith(".")


def test_a_refused_value_is_shown_as_it_is_typed():
    for value, shown in ((None, "null"), (True, "true"), ("ten", "ten"), ([1, 2], "[1, 2]")):
        with pytest.raises(UserError, match=re.escape(f"data.batch_size={shown} does not do: ")):
            check(nested("data.batch_size", value))


def test_a_missing_value_is_asked_for():
    with pytest.raises(UserError, match=r"^image is not given: add image=\.\.\. to the command\.$"):
        check({"image": "???"})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"data": {"num_folds": 1, "fold": 0}},
            "data.num_folds=1 does not do: cross-validation needs 2 folds or more (0 for the plain split).",
        ),
        (
            {"data": {"num_folds": 5, "fold": 5}},
            "data.fold=5 does not do: with data.num_folds=5 it is 0 to 4.",
        ),
        (
            {"optimizer": {"momentum": 0, "nesterov": True}},
            "optimizer.nesterov=true needs optimizer.momentum above 0.",
        ),
        (
            {"scheduler": {"name": "plateau", "interval": "step"}},
            "scheduler.interval=step does not do with scheduler=plateau: metrics come once an epoch.",
        ),
        (
            {"ckpt": "latest", "ckpt_path": "last.ckpt"},
            "ckpt= starts anew from given weights, ckpt_path= resumes a run: give one of the two.",
        ),
        (
            {"trainer": {"accelerator": "mps", "devices": 2}},
            "trainer.devices=2 does not do with mps, of which there is one.",
        ),
        (
            {"trainer": {"accelerator": "mps", "devices": "auto", "strategy": "ddp"}},
            "trainer.strategy=ddp does not do with mps, of which there is one.",
        ),
        (
            {"trainer": {"accelerator": "cpu", "sync_batchnorm": True}},
            "trainer.sync_batchnorm=true works on GPUs only: leave it at false with trainer.accelerator=cpu.",
        ),
        (
            {"trainer": {"strategy": "fsdp", "precision": "16-mixed"}},
            "trainer.precision=16-mixed does not do with trainer.strategy=fsdp: take bf16-mixed or 32-true.",
        ),
        (
            {"augment": {"scale": [1.1, 0.9]}},
            "augment.scale=[1.1, 0.9] does not do: the smaller factor comes first.",
        ),
    ],
)
def test_values_are_held_against_each_other(given, told):
    with pytest.raises(UserError, match=f"^{re.escape(told)}$"):
        check(given)


@pytest.mark.parametrize(
    "given",
    [
        {"data": {"num_folds": 2, "fold": 1}},
        {"data": {"num_folds": 0, "fold": 0}},
        {"optimizer": {"momentum": 0, "nesterov": False}},
        {"optimizer": {"momentum": 0.9, "nesterov": True}},
        {"scheduler": {"name": "plateau", "interval": "epoch"}},
        {"scheduler": {"name": "cosine", "interval": "step"}},
        {"ckpt": "latest", "ckpt_path": None},
        {"trainer": {"accelerator": "mps", "devices": "auto", "strategy": "auto"}},
        {"trainer": {"accelerator": "gpu", "sync_batchnorm": True, "strategy": "fsdp", "precision": "bf16-mixed"}},
        {"augment": {"scale": [0.9, 0.9]}},
    ],
)
def test_values_that_fit_each_other_pass(given):
    check(given)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trainer.max_epoch", "trainer.max_epochs"),
        ("trainr.max_epochs", "trainer.max_epochs"),
        ("max_epochs", "trainer.max_epochs"),
        ("lr", "optimizer.lr"),
        ("learning.batch_size", "data.batch_size"),
        ("sed", "seed"),
        ("data.batchsize", "data.batch_size"),
    ],
)
def test_an_unknown_setting_brings_the_nearest_known_name(typed, meant):
    assert nearest(typed, list(RULES)) == meant
    with pytest.raises(UserError, match=re.escape(f"There is no setting {typed}: did you mean {meant}?")):
        check(nested(typed, 1))


def test_where_no_known_name_is_near_none_is_guessed():
    assert nearest("zzz.qqq", list(RULES)) is None
    with pytest.raises(UserError, match=r"^There is no setting zzz\.qqq\.$"):
        check({"zzz": {"qqq": 1}})


def test_dotted_keeps_empty_groups_as_values():
    assert list(dotted({"a": {"b": 1, "c": {"d": [2]}}, "e": {}})) == [("a.b", 1), ("a.c.d", [2]), ("e", {})]


WITHOUT_EFFECT = {
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
}


@pytest.mark.parametrize(("overrides", "said"), WITHOUT_EFFECT.items())
def test_a_setting_without_effect_is_said(compose, overrides, said):
    given = compose("train", *overrides.split())
    check(given)
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
    ],
)
def test_settings_that_do_something_are_not_called_idle(compose, overrides):
    assert without_effect(compose("train", *overrides.split())) == []


# The files of conf/, read as text, against the rules.


def own_lines(conf):
    """Every leaf of conf/ outside hydra/ and local/ as (file, dotted key, value, line of text, only overrides)."""
    for path in sorted(conf.rglob("*.yaml")):
        group = path.parent.relative_to(conf).as_posix()
        if group.split("/")[0] in ("hydra", "local"):
            continue
        content = path.read_text()
        lines = content.splitlines()
        is_global = lines[0].strip() == "# @package _global_"
        prefix = "" if group == "." or is_global else f"{group}."
        node = yaml.compose(content)
        pairs = [(key, value) for key, value in node.value if key.value not in ("defaults", "hydra")]
        inherits = any(key.value == "defaults" for key, _ in node.value) and group != "."
        while pairs:
            key, value = pairs.pop()
            if (
                isinstance(value, yaml.MappingNode) and key.value != "search.space"
            ):  # whose keys are settings themselves
                for inner, deeper in value.value:
                    inner.value = f"{key.value}.{inner.value}"
                    pairs.append((inner, deeper))
                continue
            given = yaml.safe_load(yaml.serialize(value))
            yield path.relative_to(conf), prefix + key.value, given, lines[key.start_mark.line], is_global or inherits


def has_comment(line):
    return re.search(r"\s# \S+", line) is not None


def test_every_line_of_conf_has_a_rule(conf):
    found = list(own_lines(conf))
    assert len(found) > 100
    assert [f"{path}: {key}" for path, key, *_ in found if key not in RULES] == []


def test_every_knob_of_conf_is_explained_on_its_line(conf):
    lines = list(own_lines(conf))
    explained = {key for _, key, _, line, _ in lines if has_comment(line)}
    # The name of a choice is explained by the first line of its file; a line that only overrides another file's
    # knob need not explain it again.
    silent = [
        f"{path}: {key}"
        for path, key, _, line, overrides in lines
        if not has_comment(line) and not key.endswith(".name") and not (overrides and key in explained)
    ]
    assert silent == []


def test_every_file_of_conf_begins_with_what_it_is(conf):
    for path in {path for path, *_ in own_lines(conf)}:
        first = next(line for line in (conf / path).read_text().splitlines() if line != "# @package _global_")
        assert re.fullmatch(r"# \S.*[.?]", first), path


def test_the_name_of_a_choice_is_the_name_of_its_file(conf):
    named = [(path, value) for path, key, value, *_ in own_lines(conf) if key.endswith(".name")]
    assert len(named) >= 18
    assert [str(path) for path, value in named if path.stem != "_base" and value != path.stem] == []


def test_every_rule_is_for_a_line_of_conf(conf):
    found = {key for _, key, *_ in own_lines(conf)} | {path.name for path in conf.iterdir() if path.is_dir()}
    assert sorted(set(RULES) - found) == []


def test_the_lines_of_conf_hold_the_rules(conf):
    for path, key, value, *_ in own_lines(conf):
        if value != "???" and not str(value).startswith("${"):
            assert RULES[key].holds(value), f"{path}: {key}={value} must be {RULES[key].wanted}"
