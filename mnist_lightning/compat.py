"""Everything that reaches into other packages' internals, each with its reason and its measured gain.

A test holds that no other file does, and one test per function fails when the package behind it changes.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import struct
import sys
import threading
import types
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn


@contextlib.contextmanager
def without_scipy_signal() -> Iterator[None]:
    """Within, Lightning is imported without `scipy.signal`: 0.8 s of its four.

    torchmetrics imports it only to restore a name in it that some audio metrics, none of them used here, expect of an
    old SciPy. Afterwards it can be imported as ever.
    """
    name = "scipy.signal"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = stand_in = types.ModuleType(name)
    stand_in.hamming = None  # type: ignore[attr-defined]  # torchmetrics then finds nothing to restore
    try:
        yield
    finally:
        del sys.modules[name]


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Within, torch and Lightning are imported without rounds of the garbage collector, nor does it see them later.

    They are half a million objects that never die. Looking at them again and again while they come in took 0.5 s of
    2.7, and each full round afterwards 0.1 to 0.2 s, about once per job.
    """
    first, collects = "torch" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        with without_scipy_signal():
            yield
    finally:
        if collects:
            gc.enable()
        if first:
            gc.freeze()
            atexit.register(gc.unfreeze)  # otherwise bindings complain at the end that their objects leaked


@contextlib.contextmanager
def hydra_arguments(arguments: Sequence[str]) -> Iterator[None]:
    """Within, `hydra.main` reads these arguments and raises what a job raises instead of printing it and exiting.

    It has no argument for either: it reads `sys.argv` and the environment variable HYDRA_FULL_ERROR.
    """
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [argv[0] if argv else "mnist-lightning", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = full


def watch_configs(before: Callable[[Path], None], after: Callable[[str, str, Any], None]) -> None:
    """From now on, have Hydra show each config file before it reads it, and what it holds once it has its place.

    Hydra has no door for either, and a composed config does not say which file a value is from. What the two raise ends
    the composition.

    Args:
        before: gets the path of the file, which may not exist.
        after: gets where the config was found, its name there, and its content below the package that it goes to.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import ConfigRepository

    load, place = ConfigRepository.load_config, ConfigLoaderImpl._load_single_config

    def load_config(self: Any, config_path: str) -> Any:
        source = next((each for each in self.get_sources() if each.is_config(config_path)), None)
        if source is not None and source.scheme() == "file":
            before(Path(source.path) / source._normalize_file_name(config_path))
        return load(self, config_path)

    def load_single_config(self: Any, default: Any, repo: Any) -> Any:
        found = place(self, default, repo)
        after(found.path, default.config_path, found.config)
        return found

    ConfigRepository.load_config = load_config  # type: ignore[method-assign]
    ConfigLoaderImpl._load_single_config = load_single_config  # type: ignore[method-assign]


def leave(code: int = 0) -> NoReturn:
    """End the program as Python does, but without taking torch and all else apart object by object: 1.5 s."""
    # Not a join of each thread: joblib's ends only when it is told that the program does.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    logging.shutdown()
    leave_at_once(code)


def leave_at_once(code: int) -> NoReturn:
    """End the program without any clean-up, which would wait for ranks that are gone."""
    with contextlib.suppress(OSError, ValueError):  # whoever read what is printed may be gone too
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def ignore_sigterm(trainer: Any) -> None:
    """Keep Lightning from answering SIGTERM: its answer is a broadcast, in which the other ranks take no part."""
    trainer._signal_connector.register_signal_handlers = lambda: None


def no_profiler() -> Any:
    """A profiler that measures nothing at no cost: Lightning's own makes a generator for each of 45 hooks per step."""
    from lightning.pytorch.profilers import PassThroughProfiler

    nothing: AbstractContextManager[Any] = nullcontext()

    class NoProfiler(PassThroughProfiler):
        def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
            return nothing

    return NoProfiler()


def show_png(writer: Any, path: Path, tag: str, step: int) -> None:
    """Hand a PNG file to a TensorBoard writer as it is.

    Its `add_image` takes pixels and compresses them once more: 0.1 s for the four pictures of a run. The writer has
    been closed by the end of the fit, and opens its file again by a private method only.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    png = path.read_bytes()
    width, height = struct.unpack(">II", png[16:24])  # the first chunk of a PNG file begins with them
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def show_hparams(writer: Any, hparams: dict[str, Any], metrics: Collection[str], first: Collection[str]) -> None:
    """Hand hyperparameters to a TensorBoard writer, with the scalars that its table shows beside them.

    The table sorts them by name, and shows five unless told otherwise; what is known to differ between runs comes
    before the rest. torch's writer and Lightning's logger can say that of none.

    Args:
        hparams: by name.
        metrics: tags of scalars.
        first: names of those that the table begins with.
    """
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from torch.utils.tensorboard.summary import hparams as summaries

    experiment, *rest = summaries(hparams, dict.fromkeys(metrics, 0.0))
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        info.differs = info.name in first
    plugin.content = content.SerializeToString()
    for summary in (experiment, *rest):
        writer._get_file_writer().add_summary(summary)


@contextlib.contextmanager
def composed_once() -> Iterator[None]:
    """Within, `hydra.main` composes the config once: 0.25 s of each command's start.

    Hydra composes it a first time only to see whether `hydra.mode` is set in it, and takes that for unset where the
    look fails. Not for configs that set it.
    """
    inner = sys.modules["hydra._internal.hydra"].Hydra  # whoever calls this has imported it
    look = inner.get_mode
    inner.get_mode = lambda *_, **__: None
    try:
        yield
    finally:
        inner.get_mode = look
