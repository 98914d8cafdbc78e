"""The record of a run that is interrupted and resumed."""

from types import SimpleNamespace

import pytest

from mnist_lightning.callbacks import metrics_json
from mnist_lightning.callbacks.metrics_json import MetricsJSON
from mnist_lightning.run.record import Record

TRAINER = SimpleNamespace(callback_metrics={}, current_epoch=0, checkpoint_callback=None)


@pytest.fixture
def clock(monkeypatch):
    """`clock.now`: the seconds on the clock that the callback reads."""
    clock = SimpleNamespace(now=10.0)
    monkeypatch.setattr(metrics_json, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_an_epoch_counts_whole_where_it_is_resumed_in_its_middle(clock):
    begun = MetricsJSON(Record(None))
    begun.on_train_start(TRAINER, None)
    clock.now = 11.0
    begun.on_train_epoch_start(TRAINER, None)
    clock.now = 14.0
    state = begun.state_dict()
    clock.now = 100.0
    resumed = MetricsJSON(Record(None))
    resumed.load_state_dict(state)
    resumed.on_train_start(TRAINER, None)
    clock.now = 102.0
    resumed.on_train_epoch_end(TRAINER, None)
    resumed.on_train_end(TRAINER, None)
    assert resumed.record.content["timing"] == {"fit_seconds": 6.0, "seconds_per_epoch": [5.0]}


def test_an_epoch_after_the_one_that_a_checkpoint_ends_counts_from_its_start(clock):
    begun = MetricsJSON(Record(None))
    begun.on_train_start(TRAINER, None)
    begun.on_train_epoch_start(TRAINER, None)
    clock.now = 14.0
    begun.on_train_epoch_end(TRAINER, None)
    resumed = MetricsJSON(Record(None))
    resumed.load_state_dict(begun.state_dict())
    resumed.on_train_start(TRAINER, None)
    resumed.on_train_epoch_start(TRAINER, None)
    clock.now = 16.0
    resumed.on_train_epoch_end(TRAINER, None)
    resumed.on_train_end(TRAINER, None)
    assert resumed.record.content["timing"] == {"fit_seconds": 6.0, "seconds_per_epoch": [4.0, 2.0]}
