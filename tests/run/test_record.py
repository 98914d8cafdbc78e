"""The record of a run: what each transition writes, and that nobody else does."""

import json

import pytest

from mnist_lightning.errors import UserError
from mnist_lightning.run import files
from mnist_lightning.run.record import METRICS_FILE, Record, read_metrics

SETTINGS = {"seed": 7, "outputs": "x", "logger": {}, "callbacks": {}, "sweep": {}, "search": None, "model": {"a": 0.1}}
EPOCH = {"train_loss": 0.123456789, "train_accuracy": 0.5, "val_loss": 0.25, "val_accuracy": 0.75}


def on_disk(folder):
    return json.loads((folder / METRICS_FILE).read_text())


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path)
    record.started(SETTINGS, dataset={"name": "mnist"}, parameters=3, environment={"device": "cpu"})
    return record


def test_a_new_record_has_every_key_of_the_contract(record):
    assert set(record.plain()) >= {
        "schema_version", "status", "dataset", "seed", "history", "best", "test", "hyperparameters", "parameters",
        "timing", "environment",
    }  # fmt: skip
    assert (record.status, record.epochs) == ("running", 0)
    assert set(record.content["history"]) == {"epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"}


def test_started_keeps_what_was_chosen_but_for_what_changes_nothing_in_what_is_learned(record):
    assert record.content["seed"] == 7
    assert record.content["hyperparameters"] == {"seed": 7, "model": {"a": 0.1}}
    assert record.content["dataset"] == {"name": "mnist"}


def test_nothing_is_written_before_the_first_epoch_begins(record, tmp_path):
    assert list(tmp_path.iterdir()) == []
    record.save(None, 0.0)
    assert (on_disk(tmp_path)["status"], on_disk(tmp_path)["best"]) == ("running", None)


def test_an_epoch_counts_from_when_its_checkpoint_is_written(record, tmp_path):
    record.save(None, 0.0)
    record.epoch_done({"epoch": 1, **EPOCH}, 1.5)
    assert on_disk(tmp_path)["history"]["epoch"] == []
    record.save({"epoch": 1, "val_loss": 0.25}, 1.75)
    written = on_disk(tmp_path)
    assert written["history"]["epoch"] == [1]
    assert written["best"] == {"epoch": 1, "val_loss": 0.25}
    assert written["timing"] == {"fit_seconds": 1.75, "seconds_per_epoch": [1.5]}
    assert {len(values) for values in written["history"].values()} == {1}


def test_lists_stay_of_equal_length_where_an_epoch_did_not_validate(record):
    record.epoch_done({"epoch": 1, **EPOCH}, 1.0)
    record.epoch_done({"epoch": 2, "train_loss": 0.1}, 1.0)
    assert record.content["history"]["val_loss"] == [0.25, None]
    assert {len(values) for values in record.content["history"].values()} == {2}
    old = Record(None)  # of a run that began before the training accuracy was recorded
    old.resume({"history": {"epoch": [1], "train_loss": [0.5], "val_loss": [1], "val_accuracy": [0]},
                "seconds_per_epoch": [1.0]})  # fmt: skip
    old.epoch_done({"epoch": 2, **EPOCH}, 1.0)
    assert old.content["history"]["train_accuracy"] == [None, 0.5]


def test_measured_values_have_six_digits_and_settings_are_as_they_were(record, tmp_path):
    record.content["hyperparameters"]["lr"] = 0.123456789
    record.epoch_done({"epoch": 1, **EPOCH}, 1.23456789)
    record.tested({"accuracy": 0.98765432, "matrix": [[1, 2], [3, 4]]})
    written = on_disk(tmp_path)
    assert written["history"]["train_loss"] == [0.123457]
    assert written["test"] == {"accuracy": 0.987654, "matrix": [[1, 2], [3, 4]]}
    assert written["timing"]["seconds_per_epoch"] == [1.23457]
    assert written["hyperparameters"]["lr"] == 0.123456789
    assert record.content["history"]["train_loss"] == [0.123456789]  # what a checkpoint carries is exact


@pytest.mark.parametrize(
    ("transition", "written"),
    [
        (lambda record: record.finished(), {"status": "finished"}),
        (lambda record: record.pruned(), {"status": "pruned"}),
        (lambda record: record.interrupted("Ctrl-C"), {"status": "interrupted", "error": "Ctrl-C"}),
        (lambda record: record.failed("a bug"), {"status": "failed", "error": "a bug", "user_error": False}),
        (lambda record: record.failed("lr", True), {"status": "failed", "error": "lr", "user_error": True}),
    ],
    ids=["finished", "pruned", "interrupted", "failed", "failed by the user"],
)
def test_each_end_is_written_beside_what_was_reached(record, tmp_path, transition, written):
    record.epoch_done({"epoch": 1, **EPOCH}, 1.0)
    transition(record)
    found = on_disk(tmp_path)
    assert {key: found[key] for key in written} == written
    assert found["history"]["val_loss"] == [0.25]
    assert record.status == written["status"]


def test_what_is_only_noted_is_written_with_the_next_transition(record, tmp_path):
    record.note(drawings={"aside": 2})
    record.timed(total_seconds=3.0)
    assert not (tmp_path / METRICS_FILE).exists()
    record.finished()
    assert on_disk(tmp_path)["drawings"] == {"aside": 2}
    assert on_disk(tmp_path)["timing"]["total_seconds"] == 3.0


def test_a_record_goes_on_where_the_state_in_a_checkpoint_left_it(record):
    record.epoch_done({"epoch": 1, **EPOCH}, 1.5)
    record.save(None, 2.0)
    state = record.state()
    record.epoch_done({"epoch": 2, **EPOCH}, 1.5)  # after the state was taken
    again = Record(None)
    again.resume(state)
    assert (again.epochs, again.content["timing"]) == (1, {"seconds_per_epoch": [1.5], "fit_seconds": 2.0})
    again.epoch_done({"epoch": 2, **EPOCH}, 2.5)
    assert again.content["history"]["epoch"] == [1, 2]


def test_a_record_of_a_process_that_must_not_write_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = Record(None)
    record.started(SETTINGS)
    record.finished()
    assert record.status == "finished"
    assert list(tmp_path.iterdir()) == []


def test_opening_goes_on_with_what_lies_in_the_folder(record, tmp_path):
    record.epoch_done({"epoch": 1, **EPOCH}, 1.0)
    record.save(None, 1.0)
    again = Record.open(tmp_path)
    again.interrupted("killed")
    assert on_disk(tmp_path)["history"]["epoch"] == [1]
    assert on_disk(tmp_path)["seed"] == 7
    (tmp_path / METRICS_FILE).write_text("{")
    assert Record.open(tmp_path).epochs == 0


def test_metrics_are_read_or_the_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"is not a run folder: it (has|holds) no training_metrics\.json\.$"):
        read_metrics(tmp_path)
    files.write_json(tmp_path / METRICS_FILE, {"seed": 7, "status": "finished"})
    assert read_metrics(tmp_path) == {"seed": 7, "status": "finished"}
    for text, told in (
        ('{"seed": 7', "is not valid JSON"),
        ("[" * 100_000, "is not valid"),
        ("[1]", "is not the record of a run: "),
    ):
        (tmp_path / METRICS_FILE).write_text(text)
        with pytest.raises(UserError, match=told):
            read_metrics(tmp_path)
