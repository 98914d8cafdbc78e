"""What a user of Lightning expects: a Trainer with its defaults, and everything that it does with these modules."""

import csv
import json
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.tuner import Tuner
from PIL import Image
from torch import nn

import mnist_lightning as ml
from mnist_lightning.errors import UserError
from mnist_lightning.inference.files import predict_files
from mnist_lightning.models import onecycle, plateau, step

SMALL = {"limit": 321, "batch_size": 32}  # 321 = 10 * 32 + 1: one image is left over


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`Trainer(max_epochs=1).fit(Classifier(MLP()), DigitsDataModule("digits"))`, and what it left."""
    folder = tmp_path_factory.mktemp("plain")
    data, model = ml.DigitsDataModule("digits", **SMALL), ml.Classifier(ml.MLP(hidden_sizes=[32]))
    trainer = lightning.Trainer(max_epochs=3, default_root_dir=folder)
    trainer.fit(model, data)
    return trainer, model, data


def test_it_fits_with_a_sanity_check_and_measures_each_epoch(trained):
    trainer, _, _ = trained
    assert trainer.num_sanity_val_steps == 2
    assert trainer.global_step == 30
    assert set(trainer.callback_metrics) == {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    assert float(trainer.callback_metrics["val_accuracy"]) > 0.5


def test_it_validates_tests_and_predicts(trained):
    trainer, model, data = trained
    [validated] = trainer.validate(model, data, verbose=False)
    assert validated == pytest.approx({"val_loss": validated["val_loss"], "val_accuracy": validated["val_accuracy"]})
    [tested] = trainer.test(model, data, verbose=False)
    assert set(tested) == {"test_loss", "test_accuracy"}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*drop_last.*")
        probabilities = torch.cat(trainer.predict(model, data))
    assert probabilities.shape == (len(data.test), 10)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(data.test)))
    accuracy = (probabilities.argmax(1) == data.test.labels).double().mean().item()
    assert tested["test_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert model.scored.logits.shape == (len(data.test), 10)
    assert torch.equal(model.scored.images, data.test.images)


def test_images_without_labels_are_predicted_too(trained):
    trainer, model, _ = trained
    loader = torch.utils.data.DataLoader(torch.rand(5, 1, 28, 28), batch_size=2)
    assert [part.shape for part in trainer.predict(model, loader)] == [(2, 10), (2, 10), (1, 10)]


def test_its_checkpoint_loads_back_as_a_classifier(trained):
    trainer, model, data = trained
    path = trainer.checkpoint_callback.best_model_path
    again = ml.Classifier.load_from_checkpoint(path)
    assert torch.equal(again.network.head.weight, model.network.head.weight.cpu())
    assert not again.training
    assert torch.load(path, weights_only=True)["mnist_lightning"]["network"] == {
        "_target_": "mnist_lightning.models.MLP", "hidden_sizes": [32], "dropout": 0.0, "image_size": 28,
        "inputs": ["image"], "crop": None, "mean": 0.1307, "std": 0.3081, "standardize": False,
    }  # fmt: skip
    [tested] = trainer.test(again, data, verbose=False)
    [before] = trainer.test(model, data, verbose=False)
    assert tested == before
    further = ml.Classifier.load_from_checkpoint(path, optimizer=partial(torch.optim.SGD, lr=0.1), scheduler=None)
    assert further.schedule is None


def test_test_takes_the_best_checkpoint_by_its_usual_name(trained):
    trainer, model, data = trained
    [best] = trainer.test(model, data, ckpt_path="best", weights_only=True, verbose=False)
    assert best["test_accuracy"] > 0.5


def test_its_checkpoint_is_read_by_the_commands(trained, tmp_path, capsys):
    trainer, _, data = trained
    path = trainer.checkpoint_callback.best_model_path
    predictor = ml.load(path)
    assert predictor.card["dataset"] == "digits"
    assert predictor.card["data"] == data.split_facts
    logits = predictor.logits(data.test.images)
    assert (logits.argmax(1) == data.test.labels).double().mean() > 0.5

    white = Image.new("L", (90, 120), 255)
    white.paste(0, (40, 20, 52, 100))
    white.save(tmp_path / "one.png")
    predict_files(image=str(tmp_path / "one.png"), ckpt=path, outputs=str(tmp_path))
    assert json.loads(capsys.readouterr().out)["digit"] in range(10)


@pytest.mark.parametrize(
    "arguments",
    [
        {"fast_dev_run": True},
        {"fast_dev_run": 2},
        {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1, "limit_test_batches": 1},
        {"max_epochs": 1, "limit_train_batches": 0.2, "limit_val_batches": 0},
        {"max_steps": 3},
        {"max_epochs": 2, "overfit_batches": 2},
        {"max_epochs": 2, "check_val_every_n_epoch": 2},
        {"max_epochs": 1, "val_check_interval": 0.5},
        {"max_epochs": 1, "accumulate_grad_batches": 2, "gradient_clip_val": 1.0},
    ],
    ids=str,
)
def test_the_usual_arguments_of_a_trainer_do_what_they_do(tmp_path, arguments):
    data, model = ml.DigitsDataModule("digits", **SMALL), ml.Classifier(ml.MLP(hidden_sizes=[8]))
    trainer = lightning.Trainer(
        default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", **arguments
    )
    trainer.fit(model, data)
    steps = {"fast_dev_run": {True: 1, 2: 2}.get(arguments.get("fast_dev_run")), "max_steps": 3}
    assert trainer.global_step == next(
        (steps[name] for name in arguments if name in steps),
        5 if "accumulate_grad_batches" in arguments
        else {2: 2, 0.2: 2}.get(arguments.get("limit_train_batches"))
        or (4 if "overfit_batches" in arguments else 10 * arguments.get("max_epochs", 1)),
    )  # fmt: skip
    assert float(trainer.callback_metrics["train_loss"]) > 0
    [tested] = trainer.test(model, data, verbose=False)
    assert 0 <= tested["test_accuracy"] <= 1


@pytest.mark.parametrize("schedule", [plateau(), step(), onecycle(interval="epoch")])
def test_a_run_of_so_many_steps_takes_schedules_that_are_stepped_per_epoch(tmp_path, schedule):
    data, model = ml.DigitsDataModule("digits", **SMALL), ml.Classifier(ml.MLP(hidden_sizes=[8]), scheduler=schedule)
    trainer = lightning.Trainer(default_root_dir=tmp_path, enable_progress_bar=False, accelerator="cpu", max_steps=15)
    trainer.fit(model, data)
    assert trainer.global_step == 15


def test_several_loggers_each_get_the_epochs(tmp_path):
    data, model = ml.DigitsDataModule("digits", **SMALL), ml.Classifier(ml.MLP(hidden_sizes=[8]))
    trainer = lightning.Trainer(
        max_epochs=2, logger=[CSVLogger(tmp_path, "csv", ""), TensorBoardLogger(tmp_path, "tensorboard", "")],
        default_root_dir=tmp_path, enable_progress_bar=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(model, data)
    with (tmp_path / "csv" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/loss")]
    assert [int(row["step"]) for row in rows] == [1, 2]  # and none of the sanity check
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [point.step for point in events.Scalars("val/accuracy")] == [1, 2]


def test_a_network_of_ones_own_trains_and_comes_back_by_its_arguments(tmp_path, monkeypatch):
    (tmp_path / "net_of_mine.py").write_text(
        "from torch import nn\nfrom mnist_lightning import Network\n\n\n"
        "class Line(Network):\n    def __init__(self, width=5, num_classes=10, **prepare):\n"
        "        super().__init__(**prepare)\n        self.head = nn.Linear(784, num_classes)\n\n"
        "    def forward(self, images):\n        return self.head(self.prepare(images).flatten(1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import net_of_mine

    trainer = lightning.Trainer(
        max_epochs=1, default_root_dir=tmp_path, enable_progress_bar=False, accelerator="cpu", logger=False
    )
    trainer.fit(ml.Classifier(net_of_mine.Line(width=7)), ml.DigitsDataModule("digits", **SMALL))
    path = trainer.checkpoint_callback.best_model_path
    with pytest.raises(UserError, match=r"allow it with allow=\[net_of_mine\]"):
        ml.Classifier.load_from_checkpoint(path)
    again = ml.Classifier.load_from_checkpoint(path, allow=["net_of_mine"])
    assert (type(again.network), again.network.arguments["width"]) == (net_of_mine.Line, 7)


def test_a_network_that_does_not_know_its_arguments_trains_all_the_same(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    trainer = lightning.Trainer(
        max_epochs=1, default_root_dir=tmp_path, enable_progress_bar=False, accelerator="cpu", logger=False
    )
    trainer.fit(ml.Classifier(network), ml.DigitsDataModule("digits", **SMALL))
    with pytest.raises(UserError, match="is not a checkpoint of this project: it does not say which network it holds"):
        ml.Classifier.load_from_checkpoint(trainer.checkpoint_callback.best_model_path)


def quiet_trainer(folder, **more):
    return lightning.Trainer(
        max_epochs=1, default_root_dir=folder, enable_progress_bar=False, accelerator="cpu", logger=False,
        enable_model_summary=False, enable_checkpointing=False, **more,
    )  # fmt: skip


@pytest.mark.parametrize("outputs", [8, 12])
@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_a_network_with_another_number_of_outputs_than_classes_is_refused_at_its_first_batch(tmp_path, stage, outputs):
    model, trainer = ml.Classifier(ml.MLP(hidden_sizes=[8], num_classes=outputs)), quiet_trainer(tmp_path)
    with pytest.raises(UserError, match=rf"^The network has {outputs} outputs, but the data 10 classes: give the"):
        getattr(trainer, stage)(model, ml.DigitsDataModule("digits", **SMALL))
    assert trainer.global_step == 0


def test_without_a_data_module_the_labels_say_how_many_outputs_are_needed(tmp_path):
    pairs = torch.utils.data.TensorDataset(torch.rand(20, 1, 28, 28), torch.arange(20) % 10)
    loader = torch.utils.data.DataLoader(pairs, 10)
    with pytest.raises(UserError, match=r"^The network has 8 outputs, but the data 10 classes: give the"):
        quiet_trainer(tmp_path).fit(ml.Classifier(ml.MLP(hidden_sizes=[8], num_classes=8)), loader)
    wider = quiet_trainer(tmp_path)
    wider.fit(ml.Classifier(ml.MLP(hidden_sizes=[8], num_classes=12)), loader)  # the other two may come later
    assert wider.global_step == 2


@pytest.mark.parametrize(
    "arguments",
    [{"precision": "bf16-true"}, {"precision": "bf16-mixed", "gradient_clip_val": 1.0}, {"precision": "64-true"}],
    ids=str,
)
def test_it_trains_and_predicts_in_each_precision(tmp_path, arguments):
    model, data = ml.Classifier(ml.MLP(hidden_sizes=[8])), ml.DigitsDataModule("digits", **SMALL)
    trainer = quiet_trainer(tmp_path, **arguments)
    trainer.fit(model, data)
    assert trainer.global_step == 10
    [probabilities, *_] = trainer.predict(model, data)
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(probabilities)))


class Plain(lightning.LightningDataModule):
    """A DataModule that knows nothing of this package."""

    def setup(self, stage):
        self.pairs = torch.utils.data.TensorDataset(torch.rand(20, 1, 28, 28), torch.arange(20) % 10)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self.pairs, batch_size=10)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


def test_a_plain_data_module_trains_and_its_checkpoint_loads(tmp_path):
    model, data, trainer = ml.Classifier(ml.MLP(hidden_sizes=[8])), Plain(), quiet_trainer(tmp_path)
    trainer.fit(model, data)
    assert set(trainer.callback_metrics) == {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    assert torch.equal(
        ml.Classifier.load_from_checkpoint(tmp_path / "plain.ckpt").network.head.bias, model.network.head.bias
    )
    assert ml.load(tmp_path / "plain.ckpt").card["dataset"] == "unknown"
    assert len(trainer.predict(model, data)) == 2


def test_lightnings_finder_sets_the_learning_rate(tmp_path):
    model, trainer = ml.Classifier(ml.MLP(hidden_sizes=[8])), quiet_trainer(tmp_path)
    assert model.lr == 0.02
    data = ml.DigitsDataModule("digits", limit=640, batch_size=16)  # the finder does not go beyond an epoch
    found = Tuner(trainer).lr_find(model, datamodule=data, min_lr=1e-4, max_lr=1e-2, num_training=40).suggestion()
    assert 1e-4 <= found <= 1e-2
    assert model.lr == found
    trainer.fit(model, data)
    assert trainer.optimizers[0].param_groups[0]["initial_lr"] == found
    assert ml.Classifier(ml.MLP(hidden_sizes=[8])).lr == 0.02  # the default is nobody's to change


def test_the_pretrained_network_reads_a_path_a_picture_an_array_and_a_batch(tmp_path):
    predictor = ml.load("pretrained")
    white = Image.new("L", (90, 120), 255)
    white.paste(0, (40, 20, 52, 100))
    white.save(tmp_path / "one.png")
    for given in (tmp_path / "one.png", str(tmp_path / "one.png"), white, np.asarray(white)):
        answer = predictor(given)
        assert str(answer.digit) == "1"
        assert answer.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_pil_image_is_read_as_its_file_is():
    from mnist_lightning.ink.images import from_pil

    white = Image.new("L", (90, 120), 255)
    white.paste(0, (40, 20, 52, 100))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    sideways = white.rotate(90, expand=True)
    sideways.getexif().update(exif)
    np.testing.assert_array_equal(from_pil(sideways), np.asarray(white))
    seen = Image.new("P", (90, 120), 0)
    seen.putpalette([255, 255, 255, 0, 0, 0])
    seen.paste(1, (40, 20, 52, 100))
    seen.info["transparency"] = 0
    assert from_pil(seen).shape == (120, 90, 4)
    assert str(ml.load("pretrained")(seen).digit) == "1"
    red = from_pil(Image.new("RGB", (4, 4), (255, 0, 0)))
    assert red[0, 0].tolist() == [0, 0, 255]  # OpenCV's order


def test_an_array_of_another_shape_is_refused():
    with pytest.raises(UserError, match=r"shape \[2, 32, 32\] cannot be read"):
        ml.load("pretrained")(np.zeros((2, 32, 32), np.uint8))


def test_a_network_for_images_of_another_size_reads_no_pictures(checkpoint_file):
    predictor = ml.load(checkpoint_file)
    predictor.card["image_size"] = 32
    with pytest.raises(UserError, match="takes images of 32x32 pixels"):
        predictor(np.zeros((40, 40), np.uint8))


def test_epochs_without_validation_are_recorded_as_such(tmp_path):
    for arguments, best in (({"check_val_every_n_epoch": 2}, 2), ({"limit_val_batches": 0}, 3)):
        folder = tmp_path / str(best)
        made = ml.train("data=digits", "data.limit=320", "model=mlp", "trainer.max_epochs=3", f"outputs={folder}",
                        *(f"{'+' if name.startswith('check') else ''}trainer.{name}={value}"
                          for name, value in arguments.items()))  # fmt: skip
        history = made["history"]
        assert len(set(history["train_loss"])) == 3, history  # each epoch its own, none missing and none repeated
        assert None not in history["train_loss"]
        assert [value is None for value in history["val_loss"]] == [best != 2 or epoch != 2 for epoch in (1, 2, 3)]
        assert made["best"]["epoch"] == best


def test_the_public_names_come_without_importing_anything(within):
    code = (
        "import sys, time; began = time.process_time(); import mnist_lightning; "
        "print(time.process_time() - began, len(sys.modules), 'torch' in sys.modules)"
    )
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    assert within(min(float(seconds) for seconds, *_ in found), 0.05)
    assert {heavy for *_, heavy in found} == {"False"}
    assert Path(ml.__file__).name == "__init__.py"


def test_an_optimizer_without_a_learning_rate_by_name_has_none_to_find():
    model = ml.Classifier(ml.MLP(hidden_sizes=[8]), optimizer=torch.optim.SGD)
    assert not hasattr(model, "lr")
