"""What `pip install` brings: every command and every config, in an empty folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
pytest.importorskip("hatchling")

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, made from the files that git knows."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(PROJECT)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """`installed("train --cfg job")`: a command of the wheel, run in an empty folder."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    zipfile.ZipFile(next(built.glob("*.whl"))).extractall(site)

    def run(words):
        return subprocess.run(
            [sys.executable, "-m", "mnist_lightning", *words.split()],
            cwd=empty, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=500,
            check=False,
        )  # fmt: skip

    run.folder = empty
    return run


def test_the_metadata_is_what_an_index_accepts(built):
    pytest.importorskip("twine")
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("PASSED") == 2


def test_the_wheel_holds_all_configs_and_no_settings_of_the_developer(built):
    names = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    for path in (PROJECT / "conf").rglob("*.yaml"):
        if path.parent.name != "local":
            assert f"mnist_lightning/conf/{path.relative_to(PROJECT / 'conf')}" in names
    assert not any(name.startswith("mnist_lightning/conf/local/") and name.endswith(".yaml") for name in names)
    assert {"mnist_lightning/pretrained/mnist.ckpt", "mnist_lightning/service/page/index.html"} <= names


@pytest.mark.parametrize(
    "command", ["train", "eval", "evaluate-suite", "predict", "draw", "replay", "results", "repeat", "export", "serve"]
)
def test_every_command_of_the_wheel_shows_its_help(installed, command):
    done = installed(f"{command} --help")
    assert done.returncode == 0, done.stderr
    assert any(f"{key}:" in done.stdout for key in ("ckpt", "run", "runs", "experiment"))


def test_the_installed_package_trains_and_reads_in_an_empty_folder(installed):
    done = installed("train data=digits model=mlp data.limit=100 trainer.max_epochs=1 logger=none")
    assert done.returncode == 0, done.stderr
    assert "of 100 images of digits" in done.stdout
    assert (installed.folder / "outputs/latest").exists()
    assert installed("results runs=outputs").returncode == 0
    assert installed("predict image=nowhere.png").returncode == 2


def test_the_public_names_cost_nothing_until_they_are_used():
    heavy = "set(sys.modules) & {'torch', 'numpy', 'hydra', 'pydantic'}"
    code = f"import sys, mnist_lightning as ml; print(len({heavy}), ml.CNN)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 <class 'mnist_lightning.models.cnn.CNN'>\n"
