"""The bar on a terminal, and the line per epoch everywhere."""

import io
import logging
import re
import sys

import lightning.pytorch as pl
import pytest
import torch

from mnist_lightning.callbacks import Progress, progress
from mnist_lightning.models import MLP, Classifier

STEPS = 6


class Terminal(io.StringIO):
    def isatty(self):
        return True


def batches(size=8):
    torch.manual_seed(0)
    made = [(torch.rand(size, 1, 28, 28), torch.randint(10, (size,))) for _ in range(STEPS)]
    return torch.utils.data.DataLoader(made, batch_size=None)


def fit(tmp_path, monkeypatch, terminal, bar=True, **knobs):
    """Train with the bar drawn at each batch; what it showed, one text per drawing."""
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "REDRAWN", 0.0)
    known = {"max_epochs": 2, "accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        **known | knobs, callbacks=[Progress(bar)], enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Classifier(MLP(hidden_sizes=[8])), batches(), batches())
    return [each.strip() for each in terminal.getvalue().split("\r") if each.strip()]


def test_the_bar_tells_loss_validation_speed_and_the_time_left_of_the_whole_run(tmp_path, monkeypatch):
    shown = fit(tmp_path, monkeypatch, Terminal())
    first = [each for each in shown if each.startswith("epoch 1/2")]
    last = [each for each in shown if each.startswith("epoch 2/2")]
    form = r"epoch 1/2  50 %\|\S+ *\| loss \d\.\d{4}, [\d,]+ images/s, \d\d:\d\d left"
    assert re.fullmatch(form, first[3]), first
    form = r"epoch 2/2 100 %\|\S+\| loss \d\.\d{4}, validation \d+\.\d\d %, [\d,]+ images/s, 00:00 left"
    assert re.fullmatch(form, last[-1]), last
    assert len(first) == len(last) == STEPS + 1  # and once empty


def test_the_loss_that_it_tells_is_the_epochs_mean_so_far(tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "mnist_lightning"):
        shown = fit(tmp_path, monkeypatch, Terminal(), max_epochs=1)
    [line] = [each for each in caplog.messages if each.startswith("epoch 1/1")]
    assert re.search(r"train loss (\S+)", line)[1] == re.search(r"loss (\S+),", shown[-1])[1]


@pytest.mark.parametrize(
    ("knobs", "batches_to_do"),
    [
        ({"max_epochs": 3}, 3 * STEPS),
        ({"max_epochs": 3, "max_steps": 8}, 8),
        ({"max_epochs": 3, "max_steps": 4, "accumulate_grad_batches": 2}, 8),
        ({"max_epochs": 2, "limit_train_batches": 4}, 8),
    ],
)
def test_the_time_left_is_that_of_all_batches_to_come(tmp_path, monkeypatch, knobs, batches_to_do):
    ticks = iter(range(10_000))
    seen = []
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(ticks)))
    words = Progress._words
    monkeypatch.setattr(Progress, "_words", lambda self, *given: (seen.append(self.to_do), words(self, *given))[1])
    fit(tmp_path, monkeypatch, Terminal(), **knobs)
    assert set(seen) == {batches_to_do}


def test_a_file_gets_no_bar(tmp_path, monkeypatch):
    assert fit(tmp_path, monkeypatch, io.StringIO()) == []
    assert fit(tmp_path, monkeypatch, Terminal(), bar=False) == []


def test_between_two_looks_nothing_is_read_from_the_device(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Classifier, "train_loss_so_far", property(lambda self: asked.append(1) or 0.5))
    monkeypatch.setattr(sys, "stderr", Terminal())
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[Progress()],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path,
    )  # fmt: skip
    monkeypatch.setattr(progress, "REDRAWN", 1000.0)
    trainer.fit(Classifier(MLP(hidden_sizes=[8])), batches(), batches())
    assert len(asked) == 1  # at the first batch
