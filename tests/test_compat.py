"""The private doors that the project goes through: each does what it is there for, and fails here when the package
behind it changes."""

import os
import subprocess
import sys
import threading

import pytest

from mnist_lightning import compat
from mnist_lightning.errors import UserError


def test_lightning_is_imported_without_scipy_signal_which_can_be_imported_afterwards():
    code = """
import sys
from mnist_lightning import compat
with compat.without_scipy_signal():
    import lightning.pytorch
assert "scipy" in sys.modules and "scipy.signal" not in sys.modules
with compat.without_scipy_signal():
    import lightning.pytorch
import scipy.signal
assert len(scipy.signal.convolve([1, 2], [1, 2])) == 3
with compat.without_scipy_signal():
    assert sys.modules["scipy.signal"] is scipy.signal
assert sys.modules["scipy.signal"] is scipy.signal
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_imported_heavily_is_out_of_the_collectors_sight_and_it_works_on():
    code = """
import gc, weakref
from mnist_lightning import compat
with compat.heavy_imports():
    assert not gc.isenabled()
    import torch
assert gc.isenabled() and gc.get_freeze_count() > 100_000
class Garbage: pass
found = Garbage()
found.itself, seen = found, weakref.ref(found)
del found
frozen = gc.get_freeze_count()
with compat.heavy_imports():  # a later job: torch is there, and this job's garbage is not to stay for ever
    import torch
assert gc.get_freeze_count() == frozen
gc.collect()
assert seen() is None
try:
    with compat.heavy_imports():
        import no_such_package
except ModuleNotFoundError:
    assert gc.isenabled()
gc.disable()
with compat.heavy_imports():
    pass
assert not gc.isenabled()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_hydra_reads_the_arguments_given_and_raises_what_a_job_raises(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "of its own"])
    with compat.hydra_arguments(["seed=3", "-m"]):
        assert sys.argv == ["program", "seed=3", "-m"]
        assert os.environ["HYDRA_FULL_ERROR"] == "1"
    assert sys.argv == ["program", "of its own"]
    assert "HYDRA_FULL_ERROR" not in os.environ
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(ZeroDivisionError), compat.hydra_arguments([]):
        1 / 0  # noqa: B018
    assert os.environ["HYDRA_FULL_ERROR"] == "0"


LEAVES = """
import atexit, logging, sys, threading, time
from mnist_lightning import compat

class Slow:
    def __del__(self):
        print("taken apart")

slow = Slow()
atexit.register(lambda: print("exit function"))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread ended"))).start()
compat.leave(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_waits_for_threads_and_exit_functions_and_takes_nothing_apart(code):
    done = subprocess.run(
        [sys.executable, "-c", LEAVES, str(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (code, ["thread ended", "exit function"], "")
    assert hasattr(threading, "_shutdown")


def test_leaving_at_once_keeps_what_was_printed():
    program = "from mnist_lightning import compat; print('said', end=''); compat.leave_at_once(7)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (7, "said")


def test_lightning_does_not_answer_sigterm_where_it_should_not():
    import signal

    import lightning.pytorch as pl

    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    connector = trainer._signal_connector
    assert callable(type(connector).register_signal_handlers)  # what is replaced is there
    before = signal.getsignal(signal.SIGTERM)
    compat.ignore_sigterm(trainer)
    connector.register_signal_handlers()
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_profiler_is_one_of_lightnings_and_measures_nothing():
    from lightning.pytorch.profilers import Profiler

    profiler = compat.no_profiler()
    assert isinstance(profiler, Profiler)
    with profiler.profile("a step") as nothing:
        assert nothing is None
    assert profiler.summary() == ""


def test_a_tensorboard_writer_takes_a_png_file_as_it_is_after_it_was_closed(tmp_path):
    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    path = tmp_path / "red.png"
    Image.new("RGB", (30, 20), "red").save(path)
    writer = SummaryWriter(str(tmp_path / "log"))
    writer.close()
    compat.show_png(writer, path, "test/red", 7)
    writer.close()
    events = EventAccumulator(str(tmp_path / "log")).Reload()
    [shown] = events.Images("test/red")
    assert (shown.step, shown.width, shown.height) == (7, 30, 20)
    assert shown.encoded_image_string == path.read_bytes()


def test_tensorboard_shows_the_named_hyperparameters_first(tmp_path):
    """In TensorBoard's own order: it sorts them by name otherwise."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import backend_context
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    compat.show_hparams(writer, {"allow": "[]", "lr": 0.5, "augment": 1, "seed": 3}, ["test/accuracy"], ("seed", "lr"))
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    content = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    experiment = HParamsPluginData.FromString(content).experiment
    backend_context._sort_and_reduce_to_hparams_limit(experiment)
    assert [info.name for info in experiment.hparam_infos] == ["lr", "seed", "allow", "augment"]
    assert [info.name.tag for info in experiment.metric_infos] == ["test/accuracy"]


def test_hydra_shows_each_config_before_it_reads_it_and_what_it_holds_in_its_place(tmp_path, monkeypatch):
    import hydra
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import ConfigRepository

    for owner, name in ((ConfigRepository, "load_config"), (ConfigLoaderImpl, "_load_single_config")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    (tmp_path / "group").mkdir()
    (tmp_path / "main.yaml").write_text("defaults: [group: one, _self_]\na: 1\n")
    (tmp_path / "group" / "one.yaml").write_text("# @package some.where\nb: 2\n")
    before, after = [], []
    compat.watch_configs(before.append, lambda *found: after.append(found))
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        hydra.compose("main")
    assert {tmp_path / "main.yaml", tmp_path / "group" / "one.yaml"} <= set(before)
    assert (f"file://{tmp_path}", "group/one", {"some": {"where": {"b": 2}}}) in after

    def refuse(path):
        raise OSError("refused")

    compat.watch_configs(refuse, lambda *found: None)
    with pytest.raises(OSError, match="refused"), hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        hydra.compose("main")


def test_hydra_composes_a_config_once(tmp_path, monkeypatch):
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    from mnist_lightning.cli import main

    monkeypatch.chdir(tmp_path)
    composed, compose = [], ConfigLoaderImpl.load_configuration
    monkeypatch.setattr(
        ConfigLoaderImpl,
        "load_configuration",
        lambda self, *given, **named: (composed.append(given), compose(self, *given, **named))[1],
    )
    with pytest.raises(UserError, match=r"^There are no runs under runs=nowhere"):
        main.run("results", ["runs=nowhere"])
    assert len(composed) == 1


def test_a_mode_that_a_config_sets_is_seen_all_the_same(tmp_path, monkeypatch):
    from mnist_lightning.cli import config

    monkeypatch.chdir(tmp_path)
    assert not config.may_set_mode(["data=digits", "seed=3"])
    assert config.may_set_mode(["experiment=ensemble"])  # which is a sweep
    assert config.may_set_mode(["hydra.mode=MULTIRUN"])
    (tmp_path / "conf" / "local").mkdir(parents=True)
    (tmp_path / "conf" / "local" / "default.yaml").write_text("hydra:\n  mode: MULTIRUN\n")
    assert config.may_set_mode(["data=digits"])


@pytest.mark.parametrize("around", ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
                                    "register_full_backward_pre_hook", "compile"])  # fmt: skip
def test_what_is_called_around_a_module_is_found(around):
    from torch import nn

    module = nn.Linear(2, 2)
    assert not compat.calls_around(module)
    getattr(module, around)(*([] if around == "compile" else [lambda *_: None]))
    assert compat.calls_around(module)


def test_what_torch_compile_returns_is_known():
    import torch

    module = torch.nn.Linear(2, 2)
    assert compat.wrapped_by_compile(torch.compile(module, backend="eager"))
    module.compile(backend="eager")
    assert not compat.wrapped_by_compile(module)


def test_what_is_called_around_a_weight_is_found():
    from torch import nn

    module = nn.Linear(2, 2)
    module.bias.register_hook(lambda gradient: 2 * gradient)
    assert compat.calls_around(module)
    assert not compat.calls_around(nn.Linear(2, 2, bias=False))
