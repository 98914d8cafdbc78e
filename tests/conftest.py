"""What the tests share. Torch is imported by the fixtures that need it, so that the light tests stay light."""

import atexit
import contextlib
import copy
import functools
import gc
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, here and in the processes started here
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")  # a forked process has none of OpenCV's threads, and may wait on
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each command that is started compiles its modules again

PROJECT = Path(__file__).parent.parent
FOREIGN = [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith(("MLFLOW_", "WANDB_"))]
FIRST = ("test_ranks.py",)  # it trains in forks, which PyTorch refuses in a process that has exported a network
LONGEST = (  # files by what they took when they were last measured: from three minutes down to twenty seconds
    *("test_page.py", "test_search.py", "test_train.py", "test_readme.py", "test_multirun.py", "test_mistakes.py"),
    *("test_pairs.py", "test_several_machines.py", "test_conf.py", "test_grid.py", "test_faults.py"),
    *("test_examples.py", "test_main.py", "test_export.py", "test_elsewhere.py", "test_file_names.py"),
    *("test_resume.py", "test_habits.py", "test_wheel.py", "test_repeat.py", "test_check.py", "test_server.py"),
    *("test_pasted_line.py", "test_window.py", "test_docs.py", "test_ensemble.py", "test_study.py", "test_database.py"),
)


def pytest_configure(config):
    """Have xdist keep the order of the files; by default it begins with those of the most tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(config, items):
    """With several workers, begin with the longest files, so that all workers end at about the same time."""
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate((*FIRST, *LONGEST))}
        items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collection_finish():
    """Exempt what has been imported from garbage collection: some 100,000 objects that are never freed."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # otherwise bindings complain at exit that their objects leaked


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Whatever the developer's shell has set, and whatever another test has left."""
    for name in ("MNIST_MIRROR", "MNIST_LIGHTNING_RUN_FOLDER", "MNIST_LIGHTNING_LATEST", "HYDRA_FULL_ERROR", "RANK",
                 "WORLD_SIZE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", *FOREIGN):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    if config := sys.modules.get("mnist_lightning.cli.config"):
        config.look_in(None)  # the --config-dir of a command that a test gave in this process


@pytest.fixture(autouse=True, scope="session")
def no_flush():
    """Nobody cuts the power here: a training flushes its files thirty times, and waits 0.2 s for the disk in all.

    Tests of what a flush does put their own in its place; the programs that tests start flush as usual.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def slower():
    """`slower()`: how many times longer a processor takes here and now than where the time limits were set; at least 1.

    A shared processor, or one that does something else besides, runs a program of the same work for longer. Importing
    Hydra took 0.20 s of the processor there.
    """
    code = "import hydra, omegaconf, time; print(time.process_time())"

    def slower():
        done = subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True)
        return max(1.0, float(done.stdout) / 0.20)

    return slower


@pytest.fixture(scope="session")
def within(slower):
    """`within(seconds, 2)`: that is less than two seconds of a processor as fast as where the limits were set.

    How fast it is here takes a third of a second to find out, and is asked only where it matters.
    """
    return lambda seconds, limit: seconds < limit or seconds < limit * slower()


@pytest.fixture(scope="session")
def conf():
    """The config folder."""
    return PROJECT / "conf"


@pytest.fixture(scope="session")
def compose():
    """`compose("train", "model=mlp")`: the settings as a script gets them, before they are checked.

    Composing takes 0.2 s of a processor, so the same is composed once.
    """
    import hydra
    from omegaconf import OmegaConf

    @functools.cache
    def composed(config, *overrides):
        with hydra.initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
            return OmegaConf.to_container(hydra.compose(config, list(overrides)), resolve=True)

    return lambda config, *overrides: copy.deepcopy(composed(config, *overrides))


@pytest.fixture(scope="session")
def command():
    """`command(folder, "eval", "ckpt=latest")`: give a command in a folder, in this process: its exit code and output.

    A process of its own would import torch and Lightning once more, five seconds of a processor. Programs that are
    started as such are in test_readme.py, test_examples.py, test_wheel.py and cli/test_mistakes.py.
    """

    def command(folder, *words):
        from mnist_lightning.cli import main

        code, out, err = 0, io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["mnist-lightning", *words])
            patch.setattr(sys, "path", [*sys.path])  # the command adds the folder to it, and to the variable
            patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main.main()
                except SystemExit as ended:
                    code = ended.code
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return command


@pytest.fixture(scope="session")
def make_source():
    """`make_source(train=120, test=30)`: a data set whose images tell themselves apart by their first two pixels.

    The label of an image is its place in the set, modulo 10, and its middle rows are the brighter the higher the
    label, so that a network can learn it. In the training set the first two pixels hold the place itself.
    """
    import torch

    from mnist_lightning.data.sources import Source

    def part(count):
        labels = torch.arange(count) % 10
        images = torch.zeros(count, 28, 28, dtype=torch.uint8)
        images[:, 8:20, 8:20] = (labels * 25 + 20).to(torch.uint8)[:, None, None]
        images[:, 0, 0], images[:, 0, 1] = torch.arange(count) // 256, torch.arange(count) % 256
        return images, labels

    def make(train=120, test=30, name="mnist"):
        return Source(name, *part(train), *part(test), tuple("0123456789"))

    return make


@pytest.fixture
def use_source(monkeypatch):
    """`use_source(source)`: let every DataModule load it, whatever its name and folder."""
    from mnist_lightning.data import datamodule

    def use(source):
        monkeypatch.setattr(datamodule, "_load", lambda *place, **only: source)
        return source

    return use


@pytest.fixture(scope="session")
def checkpoint_file(tmp_path_factory):
    """A checkpoint of a small untrained MLP, as a stripped one lies on disk."""
    import torch

    from mnist_lightning.models import MLP, checkpoint

    description = {"_target_": "mnist_lightning.models.MLP", "hidden_sizes": [16]}
    torch.manual_seed(0)
    network = MLP(hidden_sizes=[16])
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    card = checkpoint.make_card(
        description,
        image_size=28,
        dataset="mnist",
        class_names=tuple("0123456789"),
        settings={"seed": 0, "model": description},
    )
    path = tmp_path_factory.mktemp("checkpoint") / "small.ckpt"
    torch.save({"state_dict": weights, checkpoint.CARD: card}, path)
    return path
