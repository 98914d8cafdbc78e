"""CUDA graphs: what a step asks of a GPU, recorded once and replayed from then on.

A step of a small network is some hundred kernels of a few microseconds each. Python needs longer to launch them than
the GPU to run them; a recording is launched as one.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mnist_lightning import compat

log = logging.getLogger(__name__)

_KNOWN = ("torch.nn.", f"{__package__.partition('.')[0]}.")  # type: ignore[union-attr]
"""Where modules come from that do the same in every step, whatever happens outside of them."""
_PLAIN = (int, float, str, tuple)


class Graphed:
    """A function of tensors that is replayed as a CUDA graph where that gives what the function itself would.

    The second call in a row with tensors of the same shapes on a GPU records it; calls with other shapes, and calls
    while a module has a hook, run the function.

    Args:
        function: from tensors to one or more tensors. It neither waits for the GPU nor depends on anything that changes
            from call to call, apart from its arguments, the modules' weights and torch's own random generator.
        modules: those that it calls. The function is only recorded if all of them, down to the last layer, are
            PyTorch's or this package's.
        lasting: whether the one tensor that comes back is the caller's to keep; else the next call may overwrite it.
    """

    def __init__(
        self, function: Callable[..., Any], modules: Sequence[nn.Module] = (), *, lasting: bool = False
    ) -> None:
        self.function, self.modules, self.lasting = function, tuple(modules), lasting
        self._start()

    def _start(self) -> None:
        self._shapes: Any = None  # of the last call; once there is a recording, its own
        self._recording: Callable[..., Any] | None = None
        self._about: Any = None  # what the recording relies on
        self._fails = False
        self._layers = [each for module in self.modules for each in module.modules()]
        self._weights = [each for module in self.modules for each in module.parameters()]

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy records for itself, in another process too."""
        return partial(Graphed, lasting=self.lasting), (self.function, self.modules)

    def __call__(self, *given: Tensor) -> Any:
        """What `function(*given)` returns."""
        if self._fails or not _may_record(given):
            return self.function(*given)
        shapes = [(each.shape, each.dtype) for each in given]
        if self._recording is None and shapes == self._shapes:
            self._record(given)
        if self._recording is None:
            self._shapes = shapes
        elif shapes == self._shapes and self._about[0] == self._modes():
            out = self._recording(*given)
            return out.clone() if self.lasting else out
        return self.function(*given)

    def check(self, modules: Sequence[nn.Module]) -> None:
        """Forget the recording if something has changed: a module, its layers, their settings, where its weights lie.

        Args:
            modules: those that the function calls now.
        """
        outdated = self._recording is not None and self._about != (self._modes(), self._settings())
        if outdated or tuple(modules) != self.modules:
            self.modules = tuple(modules)
            self._start()

    def _modes(self) -> list[Any]:
        """What may change between two steps; it is compared before each, and takes microseconds."""
        return [*(each.training for each in self._layers), *(each.requires_grad for each in self._weights),
                any(map(compat.calls_around, self._layers))]  # fmt: skip

    def _settings(self) -> list[Any]:
        """Numbers and words of the layers, such as the share that a dropout layer drops, and where the weights lie."""
        layers = [each for module in self.modules for each in module.modules()]
        weights = [each for module in self.modules for each in module.parameters()]
        plain = [[value for value in vars(each).values() if isinstance(value, _PLAIN)] for each in layers]
        return [layers, plain, [each.data_ptr() for each in weights]]

    def _record(self, given: tuple[Tensor, ...]) -> None:
        known = all(f"{type(each).__module__}.".startswith(_KNOWN) for each in self._layers)
        self._fails = not known or any(map(compat.calls_around, self._layers))
        if self._fails:
            return
        device = given[0].device
        draws = torch.cuda.get_rng_state(device)
        # Recording runs the function several times, which moves the statistics of batch norm.
        buffers = [(each, each.clone()) for module in self.modules for each in module.buffers()]
        self._about = self._modes(), self._settings()
        collects = gc.isenabled()
        gc.disable()  # it might free an earlier recording, which CUDA forbids during another one
        try:
            sample = tuple(each.clone() for each in given)
            self._recording = torch.cuda.make_graphed_callables(_Call(self.function, self.modules), sample)
        except RuntimeError as error:
            self._fails = True
            log.warning("Steps are not replayed as CUDA graphs: %s", str(error).partition("\n")[0])
        finally:
            if collects:
                gc.enable()
        with torch.no_grad():
            for each, before in buffers:
                each.copy_(before)
        torch.cuda.set_rng_state(draws, device)
        # A recording's gradients come from a stream of its own. PyTorch before 2.10 does not warn of that.
        if warns := getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None):
            warns(False)


class _Call(nn.Module):
    """A function as a module, in which `make_graphed_callables` finds the weights."""

    def __init__(self, function: Callable[..., Any], modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.function, self.called = function, nn.ModuleList(modules)

    def forward(self, *given: Tensor) -> Any:
        return self.function(*given)


def _may_record(given: tuple[Tensor, ...]) -> bool:
    """Whether they are on a GPU, and nothing outside of the function forbids it."""
    return given[0].is_cuda and not (
        any(each.requires_grad for each in given)
        or torch.is_inference_mode_enabled()
        or torch.is_anomaly_enabled()
        or torch.cuda.is_current_stream_capturing()
        or (torch.distributed.is_available() and torch.distributed.is_initialized())  # its threads ask the GPU, too
    )
