"""Training in the test process, on scikit-learn's digits."""

from unittest import mock

import hydra
import torch
from omegaconf import OmegaConf

from mnist_lightning.cli import multirun
from mnist_lightning.cli.check import check
from mnist_lightning.cli.commands import COMMANDS
from mnist_lightning.cli.config import CONF
from mnist_lightning.run import folder as runs
from mnist_lightning.tasks import train as training

SMALL = ["data=digits", "data.limit=320", "trainer.max_epochs=2", "model=mlp", "augment=none", "runtime.threads=1"]

# For trainings of which only the numbers are compared: nothing is drawn and no logger writes, which takes a second.
DRAWN = ("learning_curves", "network_graph", "loss_graph", "sample_prediction", "worst_mistakes", "confusion_matrix")
NO_PICTURES = ["logger=none", *(f"~callbacks.{name}" for name in DRAWN)]


def compose(config, *overrides):
    """The settings of a command, checked."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_container(hydra.compose(config, list(overrides)), resolve=True)
    check(settings, COMMANDS[config].function)
    return settings


def train(folder, *overrides, small=True, run=None):
    """Train in `folder`/run, with `folder` as outputs."""
    run = run or folder / "run"
    run.mkdir(parents=True)
    asked = [f"outputs={folder}", *(SMALL if small else ()), *overrides]
    settings = compose("train", *asked)
    with mock.patch.object(multirun, "asked_for", return_value={"overrides": asked}):
        return training.train(settings, run)


def weights(run, name=runs.LAST):
    """The weights in a checkpoint of a run."""
    return torch.load(run / name, weights_only=True)["state_dict"]
