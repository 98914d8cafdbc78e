"""Every file in conf/ composes as the choice that it is, and what comes out passes the check."""

import inspect
from pathlib import Path

import pytest

from mnist_lightning.cli import settings

CONF = Path(__file__).parent.parent / "conf"
GROUPS = {
    "train": [
        "augment",
        "data",
        "debug",
        "experiment",
        "tta",
        "logger",
        "model",
        "optimizer",
        "scheduler",
        "search",
        "trainer",
    ],
    "eval": ["data", "tta"],
    "evaluate_suite": ["data", "tta"],
}


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
    settings.check(composed)
    group, name = choice.split("=")
    if group in ("data", "model", "optimizer", "scheduler"):
        assert composed[group]["name"] == name
    elif group == "logger":
        assert composed[group] == {} if name == "none" else list(composed[group]) == [name]


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_script_composes(compose, path):
    required = {"predict": ["image=a.png"], "replay": ["strokes=a.jsonl"]}
    composed = compose(path.stem, *required.get(path.stem, []))
    settings.check(composed)
    assert composed["runs" if path.stem == "results" else "outputs"] == "outputs"


def test_loggers_combine(compose):
    composed = compose("train", "logger=[tensorboard,csv]")
    settings.check(composed)
    assert composed["logger"] == {"tensorboard": {"graph": True}, "csv": {"flush_every_n_steps": 100}}


def test_the_defaults_are_the_ones_that_conf_train_promises(compose):
    composed = compose("train")
    assert composed["data"]["name"] == "auto"
    assert composed["model"]["name"] == "cnn"
    assert (composed["ckpt"], composed["ckpt_path"], composed["seed"]) == (None, None, 0)
    assert list(composed["logger"]) == ["tensorboard"]


def test_the_tutorial_is_the_original_recipe(compose):
    composed = compose("train", "experiment=tutorial")
    assert (composed["optimizer"]["name"], composed["optimizer"]["lr"]) == ("adam", 0.005)
    assert (composed["data"]["batch_size"], composed["trainer"]["max_epochs"]) == (64, 40)
    assert (composed["scheduler"], composed["loss"]["label_smoothing"]) == ({"name": "none"}, 0.0)
    assert (composed["augment"]["degrees"], composed["averaging"]["decay"]) == (0.0, 0.0)


def test_the_command_line_has_the_last_word_over_an_experiment(compose):
    composed = compose("train", "experiment=tutorial", "model=mlp", "trainer.max_epochs=3", "optimizer.lr=0.1")
    assert composed["model"]["name"] == "mlp"
    assert (composed["trainer"]["max_epochs"], composed["optimizer"]["lr"]) == (3, 0.1)


def test_every_knob_of_a_network_is_in_conf(compose):
    """The file and the class agree, so that a checkpoint's card holds whatever makes the network."""
    from mnist_lightning.models.networks import NETWORKS, knobs_of

    assert sorted([*NETWORKS, "checkpoint"]) == choices("model")
    for name in NETWORKS:
        assert set.union(*knobs_of(name)) == set(compose("train", f"model={name}")["model"]) - {"name"}


def test_every_data_set_optimiser_schedule_and_augmentation_is_in_conf(compose):
    from mnist_lightning.models.optim import OPTIMIZERS

    from mnist_lightning.data import sources
    from mnist_lightning.data.augment import Augment

    assert choices("data") == sorted([*sources.NAMES, "auto"])
    assert choices("optimizer") == sorted(OPTIMIZERS)
    assert set(inspect.signature(Augment).parameters) - {"generator"} == set(compose("train")["augment"])


@pytest.mark.parametrize(("recipe", "most"), [("tiny_10k", 10_000), ("tiny_50k", 50_000)])
def test_a_tiny_recipe_has_as_few_parameters_as_its_name_says(compose, recipe, most):
    from mnist_lightning.models import networks

    network = networks.build(compose("train", f"experiment={recipe}")["model"], num_classes=10)
    assert 0.9 * most < sum(weight.numel() for weight in network.parameters()) <= most
