"""Everything that reaches into other packages' internals, each with its reason and its measured gain.

A test checks that no other file does, and one test per function fails when the package behind it changes.
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
    """In this context, Lightning is imported without `scipy.signal`, which saves 0.8 s of its four.

    torchmetrics imports it only to restore a name in it that some audio metrics, none of them used here, expect from an
    old SciPy. Afterwards it can be imported as usual.
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
    """In this context, torch and Lightning are imported without garbage collection, and are exempt from it later.

    They are half a million objects that are never freed. Scanning them again and again during the import took 0.5 s of
    2.7, and each full collection afterwards 0.1 to 0.2 s, about once per job.
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
            atexit.register(gc.unfreeze)  # otherwise bindings complain at exit that their objects leaked


@contextlib.contextmanager
def hydra_arguments(arguments: Sequence[str]) -> Iterator[None]:
    """In this context, `hydra.main` reads these arguments, and raises a job's error instead of printing it and exiting.

    It has no parameter for either: it reads `sys.argv` and the environment variable HYDRA_FULL_ERROR.
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
    """From now on, have Hydra report each config file before it reads it, and its content once that has been placed.

    Hydra has no hook for either, and a composed config does not say which file a value comes from. An exception from
    either function ends the composition.

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
    """End the program as Python does, but without freeing torch and everything else object by object: 1.5 s."""
    # Threads are not joined one by one: joblib's ends only when it is notified that the program ends.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    logging.shutdown()
    leave_at_once(code)


def leave_at_once(code: int) -> NoReturn:
    """End the program without any clean-up, which would wait for ranks that are gone."""
    with contextlib.suppress(OSError, ValueError):  # the reader of the output may be gone too
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def ignore_sigterm(trainer: Any) -> None:
    """Keep Lightning from handling SIGTERM: its handler starts a broadcast, in which the other ranks take no part."""
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
    been closed by the end of the fit, and only a private method opens its file again.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    png = path.read_bytes()
    width, height = struct.unpack(">II", png[16:24])  # the first chunk of a PNG file begins with them
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def show_hparams(writer: Any, hparams: dict[str, Any], metrics: Collection[str], first: Collection[str]) -> None:
    """Hand hyperparameters to a TensorBoard writer, with the scalars that its table shows beside them.

    The table sorts them by name, and shows five by default; those marked as differing between runs come before the
    rest. Neither torch's writer nor Lightning's logger can mark any.

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
    """In this context, `hydra.main` composes the config once, which saves 0.25 s of each command's start.

    Hydra composes it a first time only to see whether `hydra.mode` is set in it, and treats it as unset where that
    fails. Not for configs that set it.
    """
    inner = sys.modules["hydra._internal.hydra"].Hydra  # whoever calls this has imported it
    look = inner.get_mode
    inner.get_mode = lambda *_, **__: None
    try:
        yield
    finally:
        inner.get_mode = look


def end_epoch(checkpoint: dict[str, Any], batches: float) -> None:
    """In a checkpoint that Lightning is writing, let an epoch that `max_steps` or `max_time` has cut short be over.

    Lightning counts such an epoch as done, and yet continues in its middle, where the order is another one by now.

    Args:
        checkpoint: what is going to be written.
        batches: in a whole epoch.
    """
    loops = checkpoint["loops"]["fit_loop"]
    epochs, done = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    over = 0 < epochs["current"]["started"] == epochs["current"]["processed"]
    if over and done["current"]["ready"] < batches:
        for count in (epochs["total"], epochs["current"]):
            count["completed"] = count["processed"]
        done["current"] = dict.fromkeys(done["current"], 0)


def calls_around(module: Any) -> bool:
    """Whether a torch module's `forward` is not all that is run: it or one of its weights has hooks, or it is compiled.

    There is no public way to ask.
    """
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl is not None
        or any(weight._backward_hooks for weight in module._parameters.values() if weight is not None)
    )


def wrapped_by_compile(network: Any) -> bool:
    """Whether a network is the wrapper that `torch.compile` returns, which has no public name."""
    return type(network).__module__.startswith("torch._dynamo")
