import json
from types import SimpleNamespace

import pytest
import torch
from mnist_lightning.callbacks.run_folder import RunFolder

from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records


class Trainer:
    """As much of a Trainer as the callback asks for; a checkpoint is the number of its epochs."""

    is_global_zero = True

    def __init__(self):
        self.current_epoch = 0
        self.callback_metrics = {}

    def save_checkpoint(self, path):
        path.write_text(str(len(self.callback.metrics["history"]["epoch"])))

    def run(self, callback, epochs):
        """Epochs that end with (training loss, validation loss, validation accuracy)."""
        self.callback = callback
        callback.setup(self, None, "fit")
        callback.on_train_start(self, None)
        for numbers in epochs:
            callback.on_train_epoch_start(self, None)
            names = ("train_loss", "val_loss", "val_accuracy")
            self.callback_metrics = {
                name: torch.tensor(value, dtype=torch.float64) for name, value in zip(names, numbers, strict=True)
            }
            callback.on_train_epoch_end(self, None)
            self.current_epoch += 1


EPOCHS = [(0.9, 0.50, 0.80), (0.8, 0.30, 0.85), (0.7, 0.40, 0.90), (0.6, 0.45, 0.70)]


def metrics_on_disk(folder):
    return json.loads((folder / records.METRICS_FILE).read_text())


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
    Trainer().run(RunFolder(tmp_path, {}, monitor), EPOCHS)
    assert checkpoints(tmp_path) == {"best.ckpt": str(epoch), "last.ckpt": "4"}
    assert metrics_on_disk(tmp_path)["best"] == best | {"epoch": epoch, "checkpoint": "checkpoints/best.ckpt"}


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_of_equal_epochs_the_last_is_the_best(tmp_path, monitor):
    Trainer().run(RunFolder(tmp_path, {}, monitor), [EPOCHS[1], EPOCHS[1], EPOCHS[0]])
    assert checkpoints(tmp_path)["best.ckpt"] == "2"


def test_the_history_has_a_number_for_each_epoch(tmp_path):
    metrics = {"seed": 7}
    Trainer().run(RunFolder(tmp_path, metrics, "val_loss"), EPOCHS)
    written = metrics_on_disk(tmp_path)
    assert written["history"] == {
        "epoch": [1, 2, 3, 4],
        "train_loss": [0.9, 0.8, 0.7, 0.6],
        "val_loss": [0.50, 0.30, 0.40, 0.45],
        "val_accuracy": [0.80, 0.85, 0.90, 0.70],
    }
    assert written["seed"] == 7
    assert len(written["timing"]["seconds_per_epoch"]) == 4
    assert written["timing"]["fit_seconds"] >= sum(written["timing"]["seconds_per_epoch"])
    assert written == metrics


def test_a_killed_run_leaves_its_last_whole_epoch(tmp_path):
    class Killed(BaseException):
        pass

    class Doomed(Trainer):
        def save_checkpoint(self, path):
            if len(self.callback.metrics["history"]["epoch"]) == 3:
                raise Killed
            super().save_checkpoint(path)

    with pytest.raises(Killed):
        Doomed().run(RunFolder(tmp_path, {}, "val_loss"), EPOCHS)
    assert metrics_on_disk(tmp_path)["history"]["epoch"] == [1, 2]
    assert metrics_on_disk(tmp_path)["best"]["epoch"] == 2
    assert checkpoints(tmp_path) == {"best.ckpt": "2", "last.ckpt": "2"}


def test_a_run_that_never_ended_an_epoch_can_be_resumed_and_has_no_best(tmp_path):
    Trainer().run(RunFolder(tmp_path, {}, "val_loss"), [])
    assert checkpoints(tmp_path) == {"last.ckpt": "0"}
    assert metrics_on_disk(tmp_path)["best"] is None


def test_a_resumed_run_goes_on_with_history_and_best(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    first = RunFolder(before, {}, "val_loss")
    Trainer().run(first, EPOCHS[:2])
    second = RunFolder(after, {}, "val_loss", resumed_from=before / runs.LAST)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), default=lambda rng: None)) | {
        "rng_state": first.state_dict()["rng_state"]})  # fmt: skip
    trainer = Trainer()
    trainer.current_epoch = 2
    trainer.run(second, EPOCHS[2:])
    assert metrics_on_disk(after)["history"]["val_loss"] == [0.50, 0.30, 0.40, 0.45]
    assert metrics_on_disk(after)["best"]["epoch"] == 2
    assert checkpoints(after) == {"best.ckpt": "2", "last.ckpt": "4"}
    assert len(metrics_on_disk(after)["timing"]["seconds_per_epoch"]) == 4


def test_a_run_resumed_without_the_best_one_beside_it_finds_its_own(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    first = RunFolder(before, {}, "val_loss")
    Trainer().run(first, EPOCHS[:2])
    (before / runs.BEST).unlink()
    second = RunFolder(after, {}, "val_loss", resumed_from=before / runs.LAST)
    second.load_state_dict(first.state_dict())
    trainer = Trainer()
    trainer.current_epoch = 2
    trainer.run(second, EPOCHS[2:3])
    assert metrics_on_disk(after)["best"]["epoch"] == 3
    assert checkpoints(after) == {"best.ckpt": "3", "last.ckpt": "3"}


def test_random_numbers_go_on_where_the_resumed_run_stood(tmp_path):
    torch.manual_seed(5)
    first = RunFolder(tmp_path, {}, "val_loss")
    Trainer().run(first, EPOCHS[:1])
    state = first.state_dict()
    wanted = torch.rand(3)
    torch.manual_seed(99)
    RunFolder(tmp_path, {}, "val_loss").load_state_dict(state)
    assert torch.equal(torch.rand(3), wanted)


def test_only_the_first_of_several_processes_writes(tmp_path):
    trainer = Trainer()
    trainer.is_global_zero = False
    trainer.save_checkpoint = lambda path: None  # Lightning lets one process write it
    trainer.callback = SimpleNamespace()
    Trainer.run(trainer, RunFolder(tmp_path, {}, "val_loss"), EPOCHS)
    assert list(tmp_path.iterdir()) == []
