"""A trial's line to its study: what it reports, and that it stops when it is told to."""

import json

import optuna
import pytest
import torch
from optuna.trial import TrialState

from mnist_lightning.cli.check import check
from mnist_lightning.errors import Interrupted
from mnist_lightning.run import record as records
from mnist_lightning.sweeps import samplers, storage
from mnist_lightning.tasks import train as training

SMALL = ["data=digits", "data.limit=320", "trainer.max_epochs=3", "model=mlp", "augment=none", "logger=none",
         "search=lr", "search.study=s", "search.trial=1", "search.startup_trials=1"]  # fmt: skip


@pytest.fixture
def trial(compose, tmp_path):
    """`trial(0.99, "search.pruner=median")`: train trial 1 beside a finished one that was so good in each epoch."""
    folder = tmp_path / "search" / "s"
    run = folder / "1"
    run.mkdir(parents=True)
    address = f"sqlite:///{folder.resolve()}/study.db"

    def trial(others, *overrides, given_up=False):
        settings = compose("train", f"outputs={tmp_path}", *SMALL, *overrides)
        check(settings, "mnist_lightning.tasks.train.train")
        direction = "minimize" if settings["search"]["objectives"] == ["val_loss"] else "maximize"
        pruner = samplers.pruner(settings["search"], 3)
        study = optuna.create_study(
            study_name="s", storage=storage.connect(address), direction=direction, pruner=pruner
        )
        other = study.ask()
        for epoch in (1, 2, 3):
            other.report(others, epoch)
            other.should_prune()  # successive halving notes there who reached which rung
        study.tell(other, others)
        asked = study.ask()
        assert asked.number == 1
        if given_up:
            study.tell(asked, state=TrialState.FAIL)
        try:
            training.train(settings, run)
        finally:
            metrics = json.loads((run / records.METRICS_FILE).read_text())
        return metrics, study.trials[1], {path.name for path in run.rglob("*") if path.is_file()}

    trial.folder = run
    return trial


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_a_trial_that_does_worse_than_others_stops_after_that_epoch_and_says_so(trial, pruner):
    metrics, told, files = trial(1.0, f"search.pruner={pruner}")
    assert metrics["status"] == "pruned"
    assert metrics["history"]["epoch"] == [1]
    assert told.intermediate_values == {1: pytest.approx(metrics["history"]["val_accuracy"][0], rel=1e-5)}
    assert metrics["test"] is None
    assert files >= {"training_metrics.json", "loss_graph.png", "best.ckpt", "last.ckpt"}
    assert "confusion_matrix.png" not in files


@pytest.mark.parametrize(
    ("others", "overrides", "measured"),
    [
        (0.01, ["search.pruner=median"], "val_accuracy"),
        (99.0, ["search.pruner=median", "search.objectives=[val_loss]"], "val_loss"),
        (1.0, ["search.pruner=none"], "val_accuracy"),
        (1.0, ["search.pruner=median", "search.warmup_epochs=3"], "val_accuracy"),  # nothing is spared in the last one
    ],
)
def test_a_trial_that_does_well_enough_goes_on_and_reports_each_epoch(trial, others, overrides, measured):
    metrics, told, files = trial(others, *overrides)
    assert metrics["status"] == "finished"
    wanted = dict(zip((1, 2, 3), metrics["history"][measured], strict=True))
    assert told.intermediate_values == pytest.approx(wanted, rel=1e-5)
    assert metrics["search"] == {"study": "s", "trial": 1}
    assert "search" not in metrics["hyperparameters"]  # or else runs of one search would differ in it
    assert "confusion_matrix.png" in files


def test_a_trial_that_the_search_has_given_up_stops(trial):
    with pytest.raises(Interrupted):
        trial(0.5, given_up=True)
    metrics = json.loads((trial.folder / records.METRICS_FILE).read_text())
    assert (metrics["status"], metrics["history"]["epoch"]) == ("interrupted", [1])
    assert torch.load(trial.folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 0  # the two agree


def test_a_storage_that_is_away_for_a_moment_costs_a_warning_and_not_the_training(trial, monkeypatch, caplog):
    report = optuna.storages.RDBStorage.set_trial_intermediate_value

    def away(self, trial_id, epoch, value):
        if self.get_trial(trial_id).number == 1:
            raise optuna.exceptions.StorageInternalError("no connection\nand more")
        report(self, trial_id, epoch, value)

    monkeypatch.setattr(optuna.storages.RDBStorage, "set_trial_intermediate_value", away)
    metrics, told, _ = trial(1.0, "search.pruner=median")
    assert (metrics["status"], metrics["history"]["epoch"], told.intermediate_values) == ("finished", [1, 2, 3], {})
    assert "Epoch 2 could not be told to the search: no connection" in caplog.messages
