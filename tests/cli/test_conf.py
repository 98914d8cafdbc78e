"""Every file in conf/ composes as the choice that it is, what comes out passes the check, and agrees with its class."""

import inspect
import re
from pathlib import Path

import pytest
import yaml

from mnist_lightning.cli.check import check
from mnist_lightning.cli.commands import COMMANDS
from mnist_lightning.cli.config import CONF

GROUPS = {
    "train": [
        "augment", "callbacks", "data", "debug", "experiment", "logger", "model", "optimizer", "scheduler", "search",
        "trainer", "tta",
    ],
    "eval": ["data", "tta"],
    "evaluate_suite": ["data", "tta"],
}  # fmt: skip
PARTS = ("data", "model", "optimizer", "scheduler", "augment", "trainer")


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if not path.stem.startswith("_"))


CASES = [
    (config, f"{group}={choice}") for config, groups in GROUPS.items() for group in groups for choice in choices(group)
]


def test_every_folder_of_conf_is_covered():
    folders = {path.name for path in CONF.iterdir() if path.is_dir()} - {"hydra", "local"}
    assert folders == set(GROUPS["train"])
    assert {path.stem for path in CONF.glob("*.yaml")} >= {"train", "eval", "predict"}


@pytest.mark.parametrize(("config", "choice"), CASES)
def test_every_choice_composes_and_passes_the_check(compose, config, choice):
    from_a_checkpoint = choice in ("model=checkpoint", "experiment=my_hand")
    composed = compose(config, choice, *["ckpt=pretrained"] * from_a_checkpoint)
    check(composed, COMMANDS[config].function)
    group, name = choice.split("=")
    if group == "data":
        assert composed["data"]["name"] == name
    elif group in PARTS and composed[group]:
        assert composed[group]["_target_"] == yaml.safe_load((CONF / group / f"{name}.yaml").read_text()).get(
            "_target_", composed[group]["_target_"]
        )
    elif group == "logger":
        assert composed["logger"] == {} if name == "none" else list(composed["logger"]) == [name]
    elif group == "callbacks" and name not in ("default", "none"):
        assert list(composed["callbacks"]) == [name]


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_command_composes(compose, path):
    required = {"predict": ["image=a.png"], "replay": ["strokes=a.jsonl"], "repeat": ["run=latest"]}
    composed = compose(path.stem, *required.get(path.stem, []))
    if path.stem in COMMANDS:
        check(composed, COMMANDS[path.stem].function)
    assert composed["runs" if path.stem == "results" else "outputs"] == "outputs"


def test_every_command_has_a_config():
    assert set(COMMANDS) <= {path.stem for path in CONF.glob("*.yaml")}


def test_loggers_combine(compose):
    composed = compose("train", "logger=[tensorboard,csv]")
    check(composed, COMMANDS["train"].function)
    assert list(composed["logger"]) == ["tensorboard", "csv"]
    assert composed["logger"]["csv"]["flush_logs_every_n_steps"] == 100


def test_callbacks_are_added_left_out_and_combined(compose):
    default = list(compose("train")["callbacks"])
    assert default == [
        "seeding", "metrics_json", "checkpoint", "averaging", "early_stopping", "interruption", "progress",
        "learning_curves", "network_graph", "loss_graph", "sample_prediction", "worst_mistakes", "confusion_matrix",
    ]  # fmt: skip
    assert compose("train", "callbacks=none")["callbacks"] == {}
    without = compose("train", "~callbacks.loss_graph")["callbacks"]
    assert list(without) == [name for name in default if name != "loss_graph"]
    mine = compose("train", "+callbacks.mine._target_=my_project.Mine", "+callbacks.mine.size=3")["callbacks"]["mine"]
    assert mine == {"_target_": "my_project.Mine", "size": 3}
    assert list(compose("train", "callbacks=[checkpoint,progress]")["callbacks"]) == ["checkpoint", "progress"]


def test_the_defaults_are_the_ones_that_conf_train_promises(compose):
    composed = compose("train")
    assert composed["data"]["name"] == "auto"
    assert composed["model"]["_target_"] == "mnist_lightning.models.CNN"
    assert (composed["ckpt"], composed["ckpt_path"], composed["seed"]) == (None, None, 0)
    assert list(composed["logger"]) == ["tensorboard"]


def test_the_tutorial_is_the_original_recipe(compose):
    composed = compose("train", "experiment=tutorial")
    assert (composed["optimizer"]["_target_"], composed["optimizer"]["lr"]) == ("torch.optim.Adam", 0.005)
    assert (composed["data"]["batch_size"], composed["trainer"]["max_epochs"]) == (64, 40)
    assert (composed["scheduler"], composed["loss"]["label_smoothing"]) == ({}, 0.0)
    assert (composed["augment"]["degrees"], composed["averaging"]["decay"]) == (0.0, 0.0)
    assert composed["callbacks"]["averaging"]["decay"] == 0.0


def test_the_command_line_has_the_last_word_over_an_experiment(compose):
    composed = compose("train", "experiment=tutorial", "model=mlp", "trainer.max_epochs=3", "optimizer.lr=0.1")
    assert composed["model"]["_target_"] == "mnist_lightning.models.MLP"
    assert (composed["trainer"]["max_epochs"], composed["optimizer"]["lr"]) == (3, 0.1)


@pytest.mark.parametrize(("recipe", "most"), [("tiny_10k", 10_000), ("tiny_50k", 50_000)])
def test_a_tiny_recipe_has_as_few_parameters_as_its_name_says(compose, recipe, most):
    from mnist_lightning.models.build import build

    network = build(compose("train", f"experiment={recipe}")["model"], num_classes=10)
    assert 0.9 * most < sum(weight.numel() for weight in network.parameters()) <= most


# ---- conf/ and the classes


OURS = [
    ("model", "cnn"), ("model", "mlp"), ("model", "lenet5"), ("augment", "none"), ("scheduler", "onecycle"),
    ("scheduler", "cosine"), ("scheduler", "step"), ("scheduler", "plateau"), ("trainer", "auto"), ("data", "auto"),
    ("loss", None), ("averaging", None), ("checkpoint", None), ("early_stopping", None),
]  # fmt: skip
GIVEN = {"num_classes", "image_size", "augment", "seed", "source", "generator", "outliers", "fallback_batch_size"}
"""Arguments that the program gives, or that one choice alone has."""


def loaded(target):
    import importlib

    home, _, name = target.rpartition(".")
    return getattr(importlib.import_module(home), name)


@pytest.mark.parametrize(("group", "choice"), OURS)
def test_the_defaults_of_a_class_are_those_of_its_yaml(compose, group, choice):
    """So that a class used from Python does what the command does."""
    from mnist_lightning.arguments import parameters_of

    part = compose("train", *[f"{group}={choice}"] * bool(choice))[group]
    taken = parameters_of(loaded(part["_target_"]))
    if group == "trainer":  # which hands further arguments on to Lightning's, whose None often means 1.0
        taken = inspect.signature(loaded(part["_target_"]).__init__).parameters
    for name, value in part.items():
        if name.startswith("_") or name not in taken:
            continue
        default = taken[name].default
        default = list(default) if isinstance(default, tuple) else default
        if (group, name) == ("data", "val_size"):
            continue
        assert value == default, f"{group}.{name} is {value} in conf/ and {default} in {part['_target_']}"


@pytest.mark.parametrize(("group", "choice"), [each for each in OURS if each[0] != "trainer"])
def test_every_argument_of_a_class_is_in_its_yaml(compose, group, choice):
    """The file and the class agree, so that a checkpoint's card holds whatever makes the network."""
    from mnist_lightning.arguments import parameters_of

    part = compose("train", *[f"{group}={choice}"] * bool(choice))[group]
    assert set(parameters_of(loaded(part["_target_"]))) - GIVEN == set(part) - {"_target_", "_partial_"} - GIVEN


def test_every_network_set_and_callback_of_the_package_is_in_conf():
    import mnist_lightning.callbacks
    from mnist_lightning.data import published
    from mnist_lightning.models.build import OFFERED

    def targets(group):
        contents = [yaml.safe_load((CONF / group / f"{name}.yaml").read_text()) for name in choices(group)]
        return {each.get("_target_") for each in contents if each}

    assert targets("model") == {*OFFERED, "checkpoint"} - {"mnist_lightning.models.Ensemble"}
    assert choices("data") == sorted([*published.NAMES, "auto", "trained"])
    text = "".join(path.read_text() for path in [CONF / "train.yaml", *CONF.glob("*/*.yaml")])
    missing = {name for name in mnist_lightning.callbacks.__all__ if f"callbacks.{name}\n" not in text}
    assert missing == set()


# ---- the files of conf/, read as text


def own_lines():
    """Every leaf of conf/ outside hydra/ and local/ as (file, dotted key, value, line of text, only overrides)."""
    for path in sorted(CONF.rglob("*.yaml")):
        group = path.parent.relative_to(CONF).as_posix()
        if group.split("/")[0] in ("hydra", "local"):
            continue
        content = path.read_text(encoding="utf-8")
        lines = content.splitlines()
        is_global = lines[0].strip() == "# @package _global_"
        prefix = "" if group == "." or is_global else f"{group}."
        node = yaml.compose(content)
        pairs = [(key, value) for key, value in node.value if key.value not in ("defaults", "hydra")]
        inherits = any(key.value == "defaults" for key, _ in node.value) and group != "."
        while pairs:
            key, value = pairs.pop()
            # The keys of search.space are settings themselves.
            if isinstance(value, yaml.MappingNode) and value.value and key.value != "search.space":
                for inner, deeper in value.value:
                    inner.value = f"{key.value}.{inner.value}"
                    pairs.append((inner, deeper))
                continue
            given = yaml.safe_load(yaml.serialize(value))
            yield path.relative_to(CONF), prefix + key.value, given, lines[key.start_mark.line], is_global or inherits


def test_every_setting_of_conf_is_explained_on_its_line():
    lines = list(own_lines())
    assert len(lines) > 100
    has_comment = {line for *_, line, _ in lines if re.search(r"\s# \S+", line)}
    explained = {key for _, key, _, line, _ in lines if line in has_comment}
    # What a file offers is explained by its first line; a line that only overrides another file's setting need not
    # explain it again.
    silent = [
        f"{path}: {key}"
        for path, key, value, line, overrides in lines
        if line not in has_comment
        and key.rsplit(".", 1)[-1] not in ("name", "_target_", "_partial_")
        and not str(value).startswith("${")
        and not (overrides and key in explained)
    ]
    assert silent == []


def test_every_file_of_conf_begins_with_what_it_is():
    for path in sorted({CONF / path for path, *_ in own_lines()}):
        first = next(line for line in path.read_text().splitlines() if line != "# @package _global_")
        assert re.fullmatch(r"# \S.*\S", first), path


def test_the_name_of_a_data_set_is_the_name_of_its_file():
    named = [(path, value) for path, key, value, *_ in own_lines() if key == "data.name"]
    assert len(named) >= 9
    assert [str(path) for path, value in named if path.stem != "_base" and value != path.stem] == []


def test_every_experiment_says_a_command_or_is_one_by_name():
    assert all(Path(CONF / "experiment" / f"{name}.yaml").read_text().startswith("# @package _global_\n# ")
               for name in choices("experiment"))  # fmt: skip
