"""Several ranks train one network: the same as one process does, every image once, one set of artefacts."""

import csv
import os
import signal
import threading
import time
from pathlib import Path
from unittest import mock

import lightning
import pytest
import torch
from fixtures_ranks import together
from lightning.pytorch.plugins.environments import TorchElasticEnvironment
from torch.utils.data import DataLoader

import mnist_lightning as ml
from mnist_lightning.cli import multirun
from mnist_lightning.cli.check import check
from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.distributed import ranks
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records
from mnist_lightning.tasks import train as training

SMALL = [
    *("data=digits", "model=lenet5", "augment=none", "runtime.threads=1", "trainer.precision=32-true"),
    *("trainer.accelerator=cpu", "logger=none"),
]
CURVES = ["logger=csv", "trainer.log_every_n_steps=1"]
RANK = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture
def train(compose, tmp_path):
    """`train("name", 2, ...)`: train with so many ranks in `tmp_path / name`, and return the record that each has."""

    def train(name, count, *overrides):
        chosen = ["trainer.devices=auto", *overrides] if count > 1 else overrides
        composed = compose("train", f"outputs={tmp_path}", *SMALL, *chosen)
        check(composed, "mnist_lightning.tasks.train.train")
        run = tmp_path / name
        run.mkdir()

        def task(rank):
            torch.manual_seed(rank)  # processes that are started, not forked, have nothing in common
            with mock.patch.object(multirun, "asked_for", return_value={"overrides": list(overrides)}):
                return training.train(composed, ranks.NOWHERE if rank else run)

        return together(count, task) if count > 1 else [task(0)]

    return train


def step_losses(run):
    with (run / "csv" / "metrics.csv").open() as file:
        return [float(row["step/loss"]) for row in csv.DictReader(file) if row["step/loss"]]


def checkpoint(run):
    return torch.load(run / runs.LAST, weights_only=True)


def test_two_ranks_train_as_one_process_does(train, tmp_path):
    # An odd number of everything: training images, validation images, validation images in a batch.
    knobs = ["trainer.max_epochs=4", "data.limit=1001", "data.val_size=299", "data.eval_batch_size=101"]
    [alone] = train("alone", 1, *knobs, *CURVES)
    first, second = train("both", 2, *knobs, *CURVES)
    expected, losses = step_losses(tmp_path / "alone"), step_losses(tmp_path / "both")
    assert len(losses) == len(expected) == 128
    assert losses[:100] == pytest.approx(expected[:100], abs=1e-4)
    assert first["history"] == second["history"]  # metrics are over all ranks, on each of them
    for name, values in alone["history"].items():
        assert first["history"][name] == pytest.approx(values, abs=1e-4)
    assert first["test"]["accuracy"] == alone["test"]["accuracy"]
    assert sum(first["test"]["per_class"]["support"]) == 297
    assert second["test"] is None  # the first alone scores
    assert first["batch"] == {"size": 32, "processes": 2, "machines": 1, "size_per_process": 16.0}
    assert alone["batch"] == {"size": 32, "processes": 1, "machines": 1, "size_per_process": 32.0}
    there = {path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*")}
    assert {path.relative_to(tmp_path / "both") for path in (tmp_path / "both").rglob("*")} == there
    assert runs.latest(tmp_path) == tmp_path / "both"


def test_without_a_seed_all_ranks_train_with_the_one_that_the_first_draws(train, tmp_path):
    knobs = ["model=mlp", "model.hidden_sizes=[8]", "augment=affine", "data.limit=64", "trainer.max_epochs=1"]
    first, second = train("drawn", 2, *knobs, "seed=null")
    assert first["seed"] == second["seed"] == first["hyperparameters"]["seed"]
    assert first["history"] == second["history"]
    again, _ = train("given", 2, *knobs, f"seed={first['seed']}")
    assert again["history"] == first["history"]
    expected = checkpoint(tmp_path / "drawn")["state_dict"]
    for name, value in checkpoint(tmp_path / "given")["state_dict"].items():
        assert torch.equal(value, expected[name]), name


def test_lightnings_trainer_with_its_defaults_shares_the_images_out_once(tmp_path):
    def task(rank):
        torch.set_num_threads(1)  # a pool of threads does not survive the fork
        seen = []

        class Noting(ml.Classifier):
            def training_step(self, batch, batch_idx):
                seen.append((self.current_epoch, batch_idx, len(batch[1])))
                return super().training_step(batch, batch_idx)

        trainer = lightning.Trainer(
            accelerator="cpu", devices=2, max_epochs=1, default_root_dir=tmp_path, logger=False, barebones=True,
            plugins=[TorchElasticEnvironment()],
        )  # fmt: skip
        data, model = DigitsDataModule("digits", limit=321, batch_size=32), Noting(ml.MLP(hidden_sizes=[8]))
        trainer.fit(model, data)
        trainer.test(model, data, verbose=False)
        return seen, len(model.scored.labels)

    (first, scored), (second, scored_too) = together(2, task)
    assert first == second == [(0, number, 16) for number in range(10)]
    assert scored + scored_too == 297


def test_ordinary_batches_of_ones_own_are_shared_out_too(tmp_path):
    def task(rank):
        torch.set_num_threads(1)
        trainer = lightning.Trainer(
            accelerator="cpu", devices=2, max_epochs=1, default_root_dir=tmp_path, logger=False, barebones=True,
            plugins=[TorchElasticEnvironment()],
        )  # fmt: skip
        pairs = [(torch.rand(1, 28, 28), torch.tensor(number % 10)) for number in range(64)]
        trainer.fit(ml.Classifier(ml.MLP(hidden_sizes=[8])), DataLoader(pairs, 8))
        return trainer.global_step

    assert together(2, task) == [4, 4]  # of eight batches


def test_a_resumed_run_of_several_ranks_gives_what_an_unbroken_one_gives(train, tmp_path):
    knobs = ["model=mlp", "model.hidden_sizes=[32]", "augment=affine", "scheduler=none", "data.limit=320"]
    whole = train("whole", 2, *knobs, "trainer.max_epochs=2")[0]
    train("half", 2, *knobs, "trainer.max_epochs=1")
    again = train("again", 2, *knobs, "trainer.max_epochs=2", f"ckpt_path={tmp_path / 'half' / runs.LAST}")[0]
    assert again["history"] == whole["history"]
    expected = checkpoint(tmp_path / "whole")
    for name, value in checkpoint(tmp_path / "again")["state_dict"].items():
        assert torch.equal(value, expected["state_dict"][name]), name


def test_several_ranks_that_were_killed_after_their_last_epoch_are_resumed(train, tmp_path):
    knobs = ["model=mlp", "model.hidden_sizes=[8]", "data.limit=64", "trainer.max_epochs=1"]
    whole = train("whole", 2, *knobs)[0]
    (tmp_path / "whole" / records.METRICS_FILE).unlink()  # else it is known to be over before any rank starts
    again = train("again", 2, *knobs, f"ckpt_path={tmp_path / 'whole'}")[0]
    assert (again["status"], again["test"], again["best"]) == ("finished", whole["test"], whole["best"])


def test_sharded_training_gives_the_same_and_leaves_a_plain_checkpoint(train, tmp_path):
    knobs = ["data.limit=320", "trainer.max_epochs=2", *CURVES]
    [alone] = train("alone", 1, *knobs, "averaging.decay=0")
    sharded = train("sharded", 2, *knobs, "trainer.strategy=fsdp")[0]
    assert step_losses(tmp_path / "sharded") == pytest.approx(step_losses(tmp_path / "alone"), abs=1e-4)
    assert sharded["test"]["accuracy"] == alone["test"]["accuracy"]
    plain, whole = checkpoint(tmp_path / "alone"), checkpoint(tmp_path / "sharded")
    assert set(whole) == set(plain)
    for name, value in plain["state_dict"].items():
        assert type(whole["state_dict"][name]) is torch.Tensor
        torch.testing.assert_close(whole["state_dict"][name], value, atol=1e-4, rtol=1e-4)
    data = DigitsDataModule("digits")
    data.setup()
    digits = Predictor.load(tmp_path / "sharded" / runs.BEST).logits(data.test.images).argmax(1)
    assert (digits == data.test.labels).double().mean().item() == sharded["test"]["accuracy"]

    further = [*knobs, f"ckpt_path={tmp_path / 'sharded' / runs.LAST}", "trainer.max_epochs=3", "trainer.strategy=fsdp"]
    resumed = train("resumed", 2, *further)[0]
    assert resumed["history"]["epoch"] == [1, 2, 3]
    assert resumed["history"]["train_loss"][2] < resumed["history"]["train_loss"][1]


def test_a_signal_to_all_ranks_lets_the_first_end_the_run(compose, tmp_path):
    composed = compose("train", f"outputs={tmp_path}", *SMALL, "trainer.devices=auto", "trainer.max_epochs=500")
    run = tmp_path / "run"
    run.mkdir()

    def interrupt():
        while not (run / runs.BEST).exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    def task(rank):
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            training.train(composed, ranks.NOWHERE if rank else run)
        except Interrupted as interrupted:
            return interrupted.signum
        except RuntimeError as error:  # the other ranks find the first gone
            return type(error).__name__

    assert together(2, task) == [signal.SIGTERM, "RuntimeError"]
    told = records.read_metrics(run)
    assert told["status"] == "interrupted"
    assert told["test"] is None
    assert len(told["history"]["epoch"]) == checkpoint(run)["epoch"] + 1 < 500


def test_ranks_whose_machines_differ_do_not_train_together():
    def task(rank):
        ranks.join("cpu")
        try:
            ranks.agree({"seed": 0, "data": ["mnist", "digits"][rank], "optimizer.lr": 0.1 + rank})
        except UserError as error:
            return str(error)
        time.sleep(1)  # the first one hosts the meeting
        return None

    agreed, told = together(2, task)
    assert agreed is None
    assert told.startswith("data is digits on ")
    assert "and mnist where the first rank runs" in told


def test_what_is_fetched_once_a_machine_is_fetched_by_its_first_rank(tmp_path):
    def task(rank):
        ranks.join("cpu")
        with ranks.first_of_machine_first():
            there = (tmp_path / "fetched").exists()
            if rank == 0:
                time.sleep(0.3)
            (tmp_path / "fetched").touch()
        ranks.leave()
        return there

    assert together(3, task) == [False, True, True]


def test_a_process_alone_is_the_first_of_one(monkeypatch):
    for name in RANK:
        monkeypatch.delenv(name, raising=False)
    assert ranks.place() == ranks.Place(0, 1, 0, 1)
    monkeypatch.setenv("RANK", "1")  # as other launchers set it, without the rest
    assert ranks.place().rank == 0


def wanted(**trainer):
    trainer = {"devices": 1, "num_nodes": "auto", "strategy": "auto", "accelerator": "cpu"} | trainer
    return {"trainer": trainer, "data": {"batch_size": trainer.pop("batch_size", 32)}}


def test_one_process_a_device_is_started(monkeypatch):
    assert ranks.to_start(wanted()) == 0
    assert ranks.to_start(wanted(devices=3)) == 3
    assert ranks.to_start(wanted(devices=3, num_nodes=1)) == 3
    assert ranks.to_start(wanted(devices="auto")) == 0  # a processor is one
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert ranks.to_start(wanted(devices="auto", accelerator="gpu")) == 4
    for name, value in RANK.items():
        monkeypatch.setenv(name, value)
    assert ranks.place().machines == 2
    assert ranks.to_start(wanted(devices="auto", strategy="ddp")) == 0  # torchrun has
    assert ranks.to_start(wanted(devices=2, num_nodes=2)) == 0


@pytest.mark.parametrize(
    ("environment", "trainer", "told"),
    [
        ({}, {"num_nodes": 2}, "trainer.num_nodes=2 needs torchrun on each machine: torchrun --nnodes=2 "),
        ({}, {"devices": "auto", "strategy": "fsdp"}, "There is no GPU here for trainer=fsdp to train on: "),
        ({}, {"devices": 8, "batch_size": 15}, "data.batch_size=15 is shared out among 8 devices: take 16 or more."),
        (RANK, {}, "trainer.devices=1, but torchrun started 2 processes on this machine: add trainer=ddp, "),
        (RANK, {"devices": 2, "num_nodes": 3}, "trainer.num_nodes=3, but torchrun started on 2: leave it at auto."),
        (RANK, {"devices": 2, "batch_size": 7}, "data.batch_size=7 is shared out among 4 devices: take 8 or more."),
    ],
)
def test_devices_that_are_not_there_are_said(monkeypatch, environment, trainer, told):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as error:
        ranks.to_start(wanted(**trainer))
    assert str(error.value).startswith(told)


def test_more_gpus_than_there_are_is_said(monkeypatch, compose):
    from mnist_lightning.tasks import trainer

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in RANK.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^2 devices are asked for and there is 1 of cuda on this machine: set "):
        trainer.pick(compose("train", "trainer=ddp")["trainer"]["accelerator"])


def test_only_the_first_rank_has_a_run_folder():
    with pytest.raises(OSError, match="Not a directory"):
        (ranks.NOWHERE / "x").mkdir(parents=True)
    assert not Path(ranks.NOWHERE).exists()
