"""examples/own_parts works as its README says; no line of the package knows it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the example, with its images made and a network trained for one short epoch."""
    folder = tmp_path_factory.mktemp("example") / "own_parts"
    shutil.copytree(PROJECT / "examples/own_parts", folder, ignore=shutil.ignore_patterns("images", "outputs"))
    made = subprocess.run([sys.executable, "make_images.py"], cwd=folder, capture_output=True, text=True, check=True)
    assert "1797 files" in made.stdout
    trained = program(folder, "train experiment=own_parts trainer.max_epochs=3 data.limit=600")
    assert trained.returncode == 0, trained.stderr
    return folder


def program(folder, words):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        [sys.executable, "-m", "mnist_lightning", *words.split()],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip


def test_all_parts_of_the_example_are_trained_together(project):
    run = project / "outputs/latest"
    record = json.loads((run / "training_metrics.json").read_text())
    assert (record["status"], record["dataset"]["name"], record["dataset"]["train"]) == (
        "finished",
        "image_folder",
        600,
    )
    assert record["hyperparameters"]["model"] == {"_target_": "own_parts.nets.ResNet", "width": 16, "depth": 2}
    assert record["hyperparameters"]["optimizer"]["_target_"] == "torch.optim.NAdam"
    lines = [json.loads(line) for line in (run / "lines.jsonl").read_text().splitlines()]
    assert any("step/gradient_norm" in line for line in lines)
    assert any("val/accuracy" in line for line in lines)
    assert record["test"]["accuracy"] > 0.15


def test_its_checkpoint_opens_only_where_its_module_is_allowed(project, command):
    refused = command(project, "eval", "ckpt=latest", "data=image_folder")
    assert refused.returncode == 2
    assert "The network 'own_parts.nets.ResNet' is not one of this package" in refused.stderr
    scored = command(project, "eval", "ckpt=latest", "allow=[own_parts.nets]", "data=image_folder")
    assert scored.returncode == 0, scored.stderr
    assert "of 297 images of image_folder" in scored.stdout
    read = command(project, "predict", "ckpt=latest", "allow=[own_parts.nets]", "image=images/test/7/0.png")
    assert json.loads(read.stdout)["image"] == "images/test/7/0.png"


def test_a_misspelt_argument_of_its_network_is_answered_with_the_nearest(project):
    done = program(project, "train experiment=own_parts model.widht=8")
    assert done.returncode == 2
    assert done.stderr.startswith("There is no setting model.widht: did you mean model.width?")


def test_the_package_does_not_know_the_example():
    known = [
        path for path in (PROJECT / "mnist_lightning").rglob("*.py") if "own_parts" in path.read_text(encoding="utf-8")
    ]
    assert known == []
