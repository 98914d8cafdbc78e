"""The two checkpoints of a run and the record beside them, epoch by epoch."""

import json
from types import SimpleNamespace

import pytest
import torch

from mnist_lightning.callbacks import BestAndLast, MetricsJSON
from mnist_lightning.run.folder import BEST, LAST
from mnist_lightning.run.record import METRICS_FILE, Record


class Trainer:
    """As much of a Trainer as the callbacks ask for; a checkpoint is the number of its epochs."""

    is_global_zero, is_last_batch = True, False

    def __init__(self, folder, monitor="val_loss", every_n_steps=None, resumed_from=None, states=None):
        folder.mkdir(exist_ok=True)
        self.default_root_dir, self.ckpt_path = folder, resumed_from
        self.current_epoch, self.global_step, self.callback_metrics = 0, 0, {}
        self.record = Record(folder if self.is_global_zero else None)
        self.checkpoint_callback = BestAndLast(monitor, every_n_steps)
        self.callbacks = [MetricsJSON(self.record), self.checkpoint_callback]  # Lightning too moves checkpoints last
        self.call("setup", "fit")
        if states:
            for callback, state in zip(self.callbacks, states, strict=True):
                callback.load_state_dict(state)
            self.current_epoch, self.global_step = self.record.epochs, 10 * self.record.epochs

    def call(self, hook, *arguments):
        for callback in self.callbacks:
            getattr(callback, hook)(self, None, *arguments)

    def save_checkpoint(self, path):
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(self.record.epochs))

    def states(self):
        return [callback.state_dict() for callback in self.callbacks]

    def run(self, epochs):
        """Epochs that end with (training loss, validation loss, validation accuracy)."""
        self.call("on_train_start")
        for numbers in epochs:
            self.call("on_train_epoch_start")
            self.global_step += 10
            names = ("train_loss", "val_loss", "val_accuracy")
            self.callback_metrics = {
                name: torch.tensor(value, dtype=torch.float64) for name, value in zip(names, numbers, strict=True)
            }
            self.call("on_train_epoch_end")
            self.current_epoch += 1
        self.call("on_train_end")
        self.call("on_fit_end")
        return self


def test_a_run_resumed_within_an_epoch_keeps_the_weights_of_the_best(tmp_path):
    """There, Lightning still counts as many epochs as at the end of the best one, but last.ckpt has gone further."""
    first = Trainer(tmp_path / "first", every_n_steps=2)
    first.run(EPOCHS[:2])
    (tmp_path / "first" / LAST).write_text("within the third epoch")
    again = Trainer(tmp_path / "again", resumed_from=tmp_path / "first" / LAST, states=first.states())
    again.global_step = 22
    again.call("on_train_start")
    assert (tmp_path / "again" / BEST).read_text() == "2"


def test_an_epoch_that_was_not_validated_is_not_the_best(tmp_path):
    trainer = Trainer(tmp_path / "run")
    trainer.run(EPOCHS[:1])
    trainer.callback_metrics = {"train_loss": torch.tensor(0.1)}
    trainer.call("on_train_epoch_end")
    assert trainer.checkpoint_callback.best["epoch"] == 1
    assert (tmp_path / "run" / BEST).read_text() == "1"


EPOCHS = [(0.9, 0.50, 0.80), (0.8, 0.30, 0.85), (0.7, 0.40, 0.90), (0.6, 0.45, 0.70)]


def on_disk(folder):
    return json.loads((folder / METRICS_FILE).read_text())


def checkpoints(folder):
    return {path.name: path.read_text() for path in (folder / "checkpoints").iterdir()}


@pytest.mark.parametrize(
    ("monitor", "best", "epoch"),
    [
        ("val_loss", {"val_loss": 0.30, "val_accuracy": 0.85}, 2),
        ("val_accuracy", {"val_loss": 0.40, "val_accuracy": 0.90}, 3),
        ("last", {"val_loss": 0.45, "val_accuracy": 0.70}, 4),
    ],
)
def test_the_best_epoch_is_kept_by_the_metric_that_is_monitored(tmp_path, monitor, best, epoch):
    trainer = Trainer(tmp_path, monitor).run(EPOCHS)
    assert checkpoints(tmp_path) == {"best.ckpt": str(epoch), "last.ckpt": "4"}
    assert on_disk(tmp_path)["best"] == best | {"epoch": epoch, "checkpoint": "checkpoints/best.ckpt"}
    assert trainer.checkpoint_callback.best_model_path == str(tmp_path / BEST)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_of_equal_epochs_the_last_is_the_best(tmp_path, monitor):
    Trainer(tmp_path, monitor).run([EPOCHS[1], EPOCHS[1], EPOCHS[0]])
    assert checkpoints(tmp_path)["best.ckpt"] == "2"


def test_the_history_has_a_number_for_each_epoch(tmp_path):
    trainer = Trainer(tmp_path)
    trainer.record.note(seed=7)
    trainer.run(EPOCHS)
    written = on_disk(tmp_path)
    assert written["history"] == {
        "epoch": [1, 2, 3, 4],
        "train_loss": [0.9, 0.8, 0.7, 0.6],
        "train_accuracy": [None] * 4,
        "val_loss": [0.50, 0.30, 0.40, 0.45],
        "val_accuracy": [0.80, 0.85, 0.90, 0.70],
    }
    assert written["seed"] == 7
    assert len(written["timing"]["seconds_per_epoch"]) == 4
    assert written["timing"]["fit_seconds"] >= sum(written["timing"]["seconds_per_epoch"])
    assert written == trainer.record.plain()


class Killed(BaseException):
    pass


def test_a_killed_run_leaves_its_last_whole_epoch(tmp_path):
    class Doomed(Trainer):
        def save_checkpoint(self, path):
            if self.record.epochs == 3:
                raise Killed
            super().save_checkpoint(path)

    with pytest.raises(Killed):
        Doomed(tmp_path).run(EPOCHS)
    assert on_disk(tmp_path)["history"]["epoch"] == [1, 2]
    assert on_disk(tmp_path)["best"]["epoch"] == 2
    assert checkpoints(tmp_path) == {"best.ckpt": "2", "last.ckpt": "2"}


def test_a_run_that_never_ended_an_epoch_can_be_resumed_and_has_no_best(tmp_path):
    trainer = Trainer(tmp_path).run([])
    assert checkpoints(tmp_path) == {"last.ckpt": "0"}
    assert on_disk(tmp_path)["best"] is None
    assert trainer.checkpoint_callback.best_model_path == ""


def test_a_run_without_validation_keeps_its_last_epoch(tmp_path):
    trainer = Trainer(tmp_path, "val_accuracy")
    trainer.call("on_train_start")
    for _ in range(2):
        trainer.call("on_train_epoch_start")
        trainer.callback_metrics = {"train_loss": torch.tensor(0.5)}
        trainer.call("on_train_epoch_end")
        trainer.current_epoch += 1
    assert checkpoints(tmp_path) == {"best.ckpt": "2", "last.ckpt": "2"}
    assert trainer.checkpoint_callback.best["val_accuracy"] is None


def test_a_resumed_run_goes_on_with_history_and_best(tmp_path):
    first = Trainer(tmp_path / "before").run(EPOCHS[:2])
    second = Trainer(tmp_path / "after", resumed_from=tmp_path / "before" / LAST, states=first.states())
    second.run(EPOCHS[2:])
    assert on_disk(tmp_path / "after")["history"]["val_loss"] == [0.50, 0.30, 0.40, 0.45]
    assert on_disk(tmp_path / "after")["best"]["epoch"] == 2
    assert checkpoints(tmp_path / "after") == {"best.ckpt": "2", "last.ckpt": "4"}
    assert len(on_disk(tmp_path / "after")["timing"]["seconds_per_epoch"]) == 4


def test_a_run_resumed_without_the_best_one_beside_it_finds_its_own(tmp_path):
    first = Trainer(tmp_path / "before").run(EPOCHS[:3])  # epoch 2 is its best
    (tmp_path / "before" / BEST).unlink()
    second = Trainer(tmp_path / "after", resumed_from=tmp_path / "before" / LAST, states=first.states())
    second.run(EPOCHS[3:])
    assert on_disk(tmp_path / "after")["best"]["epoch"] == 4
    assert checkpoints(tmp_path / "after") == {"best.ckpt": "4", "last.ckpt": "4"}


def test_a_run_killed_between_its_two_checkpoints_resumes_with_the_better_one(tmp_path):
    first = Trainer(tmp_path / "before").run(EPOCHS[:2])  # epoch 2 is its best, and it did not get to say so:
    (tmp_path / "before" / BEST).write_text("1")
    second = Trainer(tmp_path / "after", resumed_from=tmp_path / "before" / LAST, states=first.states())
    second.run(EPOCHS[2:])
    assert checkpoints(tmp_path / "after") == {"best.ckpt": "2", "last.ckpt": "4"}
    again = Trainer(tmp_path / "before", resumed_from=tmp_path / "before" / LAST, states=first.states())
    again.run(EPOCHS[2:])  # in the same folder
    assert checkpoints(tmp_path / "before") == {"best.ckpt": "2", "last.ckpt": "4"}


def test_a_copy_by_another_name_is_not_taken_for_what_lies_beside_it(tmp_path):
    first = Trainer(tmp_path / "before").run(EPOCHS[:2])  # epoch 2 is its best
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "before" / LAST).rename(kept / "mine.ckpt")
    (kept / "best.ckpt").write_text("of another run")
    second = Trainer(tmp_path / "after", resumed_from=kept / "mine.ckpt", states=first.states())
    second.run(EPOCHS[2:])
    assert checkpoints(tmp_path / "after") == {"best.ckpt": "2", "last.ckpt": "4"}


def test_a_resumed_run_with_no_epoch_left_brings_its_checkpoints_over(tmp_path):
    first = Trainer(tmp_path / "before").run(EPOCHS[:2])
    second = Trainer(tmp_path / "after", resumed_from=tmp_path / "before" / LAST, states=first.states())
    second.call("on_fit_end")  # all that Lightning calls then
    assert checkpoints(tmp_path / "after") == {"best.ckpt": "2", "last.ckpt": "2"}
    assert on_disk(tmp_path / "after")["history"]["epoch"] == [1, 2]
    assert on_disk(tmp_path / "after")["best"]["epoch"] == 2


def test_last_can_be_written_within_an_epoch_too(tmp_path):
    trainer = Trainer(tmp_path, every_n_steps=2)
    trainer.call("on_train_start")
    written = []
    trainer.save_checkpoint = lambda path: written.append(trainer.global_step)
    for trainer.global_step in range(1, 7):
        trainer.is_last_batch = trainer.global_step == 6
        trainer.checkpoint_callback.on_train_batch_end(trainer, None, None, None, 0)
    assert written == [2, 4]  # the end of the epoch writes its own


def test_only_the_first_of_several_processes_writes(tmp_path):
    class Other(Trainer):
        is_global_zero = False

        def save_checkpoint(self, path):  # Lightning lets one process write it
            pass

    Other(tmp_path).run(EPOCHS)
    assert list(tmp_path.iterdir()) == []


def test_metrics_json_works_with_any_trainer_without_a_record_of_its_own(tmp_path):
    callback = MetricsJSON()
    trainer = SimpleNamespace(
        default_root_dir=tmp_path, is_global_zero=True, checkpoint_callback=None, current_epoch=0,
        callback_metrics={"train_loss": torch.tensor(0.5)},
    )  # fmt: skip
    callback.setup(trainer, None, "fit")
    for hook in ("on_train_start", "on_train_epoch_start", "on_train_epoch_end", "on_train_end"):
        getattr(callback, hook)(trainer, None)
    assert on_disk(tmp_path)["history"]["train_loss"] == [0.5]
    assert on_disk(tmp_path)["best"] is None
