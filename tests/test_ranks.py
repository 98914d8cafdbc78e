"""Several ranks train one network: the same as one process does, every image once, one set of artefacts."""

import csv
import json
import signal

import pytest
import torch
from fixtures_ranks import together

from mnist_lightning import ranks, runs, settings, training
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.inference.predictor import Predictor

SMALL = [
    *("data=digits", "model=lenet5", "augment=none", "runtime.threads=1", "trainer.precision=32-true"),
    *("trainer.accelerator=cpu", "trainer.devices=auto", "logger=csv", "trainer.log_every_n_steps=1"),
]


@pytest.fixture
def train(compose, tmp_path):
    """`train("name", 2, ...)`: train with so many ranks in `tmp_path / name`; the record of each rank."""

    def train(name, count, *overrides, expect=None):
        composed = compose("train", f"outputs={tmp_path}", *SMALL, *overrides)
        settings.check(composed)
        run = tmp_path / name
        run.mkdir()

        def task(rank):
            return training.train(composed, ranks.NOWHERE if rank else run)

        return together(count, task) if count > 1 else [task(0)]

    return train


def step_losses(run):
    with (run / "csv" / "metrics.csv").open() as file:
        return [float(row["train_loss_step"]) for row in csv.DictReader(file) if row["train_loss_step"]]


def test_two_ranks_train_as_one_process_does(train, tmp_path):
    knobs = ["trainer.max_epochs=3", "data.val_size=299", "data.eval_batch_size=100", "data.limit=1001"]
    [alone] = train("alone", 1, *knobs)
    first, second = train("both", 2, *knobs)
    losses = step_losses(tmp_path / "alone"), step_losses(tmp_path / "both")
    print(len(losses[0]), max(abs(a - b) for a, b in zip(*losses)))
    print(alone["history"], first["history"], alone["test"]["accuracy"], first["test"]["accuracy"])
    print(sorted(p.name for p in tmp_path.iterdir()))
