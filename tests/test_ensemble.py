"""Networks of a sweep as one: what `sweep.ensemble=true` leaves."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.errors import UserError
from mnist_lightning.run import files
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records
from mnist_lightning.tasks import ensemble

PROJECT = Path(__file__).parent.parent
SMALL = ["data=digits", "data.limit=200", "trainer.max_epochs=1", "logger=none", "model.channels=[4,4,4,4]"]


def train(folder, *arguments):
    return subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / "train.py"), *arguments, f"outputs={folder}"],
        cwd=folder, env=os.environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The process of `experiment=ensemble` over two seeds and two inputs of a small network, and its folder."""
    folder = tmp_path_factory.mktemp("ensemble")
    swept = ["model.inputs=[image],[deslanted]", 'hydra.sweeper.params.seed="3,4"']
    done = train(folder, "experiment=ensemble", *SMALL, *swept)
    (sweep,) = (folder / "sweeps").glob("*/*")
    return done, sweep


def test_every_network_of_the_sweep_votes(swept):
    from mnist_lightning.inference.predictor import Predictor

    done, sweep = swept
    assert done.returncode == 0, done.stderr
    metrics = records.read_metrics(sweep / "ensemble")
    assert metrics["seed"] == [3, 4]
    images = (np.arange(3 * 28 * 28) % 256).astype(np.uint8).reshape(3, 28, 28)
    joined, *alone = (
        Predictor.load(sweep / name / runs.BEST, "cpu").probabilities(images) for name in ("ensemble", *"0123")
    )
    assert abs(joined - sum(alone) / 4).max() < 1e-6
    assert metrics["parameters"] == 4 * records.read_metrics(sweep / "0")["parameters"]


def test_its_record_is_that_of_a_run_and_says_what_made_it(swept):
    done, sweep = swept
    metrics = json.loads((sweep / "ensemble" / records.METRICS_FILE).read_text())
    assert metrics["status"] == "finished"
    asked = ["experiment=ensemble", *SMALL, "model.inputs=[image],[deslanted]", 'hydra.sweeper.params.seed="3,4"']
    assert shlex.split(metrics["command"]) == ["python", "scripts/train.py", *asked, f"outputs={sweep.parents[2]}"]
    assert (sweep.parents[2] / "latest").resolve() == (sweep / "ensemble").resolve(), "experiment=distill learns of it"
    assert metrics["best"]["checkpoint"] == runs.BEST
    assert metrics["members"] == ["../0", "../1", "../2", "../3"]
    assert f"test accuracy {100 * metrics['test']['accuracy']:.2f} %" in done.stdout.splitlines()[-2]
    for picture in ("sample_prediction", "worst_mistakes", "confusion_matrix"):
        assert (sweep / "ensemble" / f"{picture}.png").stat().st_size > 1000


def test_results_tell_the_ensemble_from_its_members_by_their_commands(swept):
    from mnist_lightning.sweeps import collect, groups

    _, sweep = swept
    found = {
        group.command: len(group.runs) for group in groups.group(collect.read(collect.find(sweep))[0], ["command"])
    }
    start, asked = "python scripts/train.py -m", shlex.join(["experiment=ensemble", *SMALL])
    members = {f"{start} 'model.inputs=[{each}]' {asked} seed=3,4": 2 for each in ("image", "deslanted")}
    assert found == members | {f"{start} {asked} sweep.ensemble=true seed=3,4": 1}


def test_joining_again_takes_no_ensemble_for_a_member(swept, monkeypatch):
    _, sweep = swept
    monkeypatch.chdir(sweep.parents[2])
    assert len(ensemble.join(sweep, sweep.parents[2])["members"]) == 4


def test_with_test_false_the_test_images_are_not_read(swept, tmp_path, monkeypatch, capsys):
    from mnist_lightning.tasks import finish

    sweep = tmp_path / "sweep"
    shutil.copytree(swept[1], sweep, ignore=shutil.ignore_patterns("ensemble"))
    for path in sweep.glob("*/training_metrics.json"):
        metrics = json.loads(path.read_text())
        metrics["hyperparameters"]["test"] = False
        path.write_text(json.dumps(metrics))
    monkeypatch.setattr(finish, "score", lambda *_: pytest.fail("the test images were scored"))
    monkeypatch.chdir(tmp_path)
    metrics = ensemble.join(sweep, tmp_path)
    assert (metrics["test"], metrics["status"]) == (None, "finished")
    assert not list((sweep / "ensemble").glob("*.png"))
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [
        f"ensemble of 4, validation accuracy {100 * metrics['best']['val_accuracy']:.2f} %",
        "  sweep/ensemble",
    ]


def test_its_temperature_is_that_of_images_read_once_and_its_score_that_of_views(swept, tmp_path, monkeypatch):
    from torch.nn import functional as F

    from mnist_lightning.evaluation.calibration import fit_temperature
    from mnist_lightning.inference.predictor import Predictor
    from mnist_lightning.models import checkpoint
    from mnist_lightning.tasks import held_out

    sweep = tmp_path / "sweep"
    shutil.copytree(swept[1], sweep, ignore=shutil.ignore_patterns("ensemble"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(held_out, "_FEWEST", 10)
    metrics = ensemble.join(sweep, tmp_path)
    settings = metrics["hyperparameters"]
    data, precision = DigitsDataModule("digits", val_size=300, limit=200), settings["trainer"]["precision"]
    data.setup()
    once, often = (
        Predictor.load(sweep / "ensemble" / runs.BEST, "cpu", tta, precision).logits(data.val.images)
        for tta in (None, settings["tta"])
    )
    wanted, of_views = (fit_temperature(logits, data.val.labels) for logits in (once, often))
    assert abs(wanted - of_views) > 0.01
    card = checkpoint.read(sweep / "ensemble" / runs.BEST)[checkpoint.CARD]
    assert card["temperature"] == pytest.approx(wanted, rel=1e-3)
    assert metrics["best"]["val_loss"] == pytest.approx(F.cross_entropy(often, data.val.labels).item())


OWN = """
import lightning.pytorch as pl
from torch.utils.data import DataLoader
from mnist_lightning.data import DigitsDataModule

class Module(pl.LightningDataModule):
    name, class_names, batch_size = "digits", tuple("0123456789"), 32

    def setup(self, stage):
        whole = DigitsDataModule("digits", val_size=300, limit=200)
        whole.setup()
        self.train, self.val, self.test = ([(image[None] / 255, label) for image, label in zip(*part[:], strict=True)]
                                           for part in (whole.train, whole.val, whole.test))

    def val_dataloader(self):
        return DataLoader(self.val, self.batch_size)

    def test_dataloader(self):
        return DataLoader(self.test, self.batch_size)
"""


def test_networks_trained_with_a_data_module_of_ones_own_are_joined(swept, tmp_path, monkeypatch):
    sweep = tmp_path / "sweep"
    shutil.copytree(swept[1], sweep, ignore=shutil.ignore_patterns("ensemble"))
    (tmp_path / "own_of_ensemble.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    for path in sweep.glob("*/training_metrics.json"):
        metrics = json.loads(path.read_text())
        metrics["hyperparameters"]["data"] = {"_target_": "own_of_ensemble.Module"}
        path.write_text(json.dumps(metrics))
    wanted, found = records.read_metrics(swept[1] / "ensemble"), ensemble.join(sweep, tmp_path)
    for name in ("val_loss", "val_accuracy"):
        assert found["best"][name] == pytest.approx(wanted["best"][name], abs=1e-3)
    assert found["test"]["accuracy"] == pytest.approx(wanted["test"]["accuracy"], abs=0.005)


def test_a_sweep_of_one_network_makes_none(tmp_path):
    run = tmp_path / "0"
    run.mkdir()
    files.write_json(run / records.METRICS_FILE, {"status": "finished"})
    with pytest.raises(UserError, match=r"needs two trained networks.* 1 finished"):
        ensemble.join(tmp_path, tmp_path)


def test_jobs_that_left_no_checkpoint_are_no_members(swept, tmp_path, caplog):
    sweep = tmp_path / "sweep"
    shutil.copytree(swept[1], sweep, ignore=shutil.ignore_patterns("ensemble"))
    for job in "12":
        (sweep / job / runs.BEST).unlink()
    assert ensemble.join(sweep, tmp_path)["members"] == ["../0", "../3"]
    assert "The ensemble holds 2 networks: 2 jobs left none." in caplog.text
    shutil.rmtree(sweep / "ensemble")
    (sweep / "3" / runs.BEST).unlink()
    with pytest.raises(UserError, match=r"of the jobs in .* 4 finished, and 1 left a checkpoints/best\.ckpt\.$"):
        ensemble.join(sweep, tmp_path)
    assert not (sweep / "ensemble").exists()


def test_networks_that_saw_each_others_validation_images_make_none():
    data = {"val_size": None, "split_seed": 0, "num_folds": 0, "fold": 0, "limit": None}
    card = {"dataset": "mnist", "class_names": ["0"], "image_size": 28, "settings": {"data": data}}
    other = {**card, "settings": {"data": {**data, "fold": 1}}}
    with pytest.raises(UserError, match=r"differ in data\.fold"):
        ensemble._check_alike([card, other])


def test_the_temperature_of_one_network_is_not_that_of_the_vote():
    from mnist_lightning.models import checkpoint

    card = {"network": {"_target_": "mnist_lightning.models.MLP"}, "temperature": 0.5, "sure": 0.9, "dataset": "mnist"}
    joined = checkpoint.join([{"state_dict": {}, checkpoint.CARD: card}] * 2)
    assert not {"temperature", "sure"} & set(joined[checkpoint.CARD])
    assert joined[checkpoint.CARD]["dataset"] == "mnist"
