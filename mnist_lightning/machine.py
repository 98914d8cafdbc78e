"""This machine and this process: memory allocator, precision, and what goes into a run's record.

Torch is imported only inside the functions that need it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # names and numbers from glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of handing it back to the kernel.

    A step of training on the CPU, or the reading of a batch, frees and takes tens of megabytes; getting them back from
    the kernel page by page costs up to half the time. Results stay identical. Call it before torch is imported.

    Returns:
        Whether it took effect: only glibc (Linux) has these knobs.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library, such as musl
        return False
    done = [mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, 2**31 - 1), mallopt(_M_TOP_PAD, 256 * 2**20)]
    return all(done)


def wait_asleep() -> None:
    """Let OpenMP threads that wait for each other sleep instead of spinning. Call it before torch is imported.

    On a quiet machine spinning is faster: a step of the default network took 19 ms against 26 on two cores. Where
    other programs take the cores, a spinning thread keeps the one that it waits for from running, and a step was seen
    to take 600 ms against 32.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextlib.contextmanager
def without_scipy_signal() -> Iterator[None]:
    """Within, Lightning is imported without `scipy.signal`: 0.8 s of its four.

    torchmetrics imports that only to put a name back into it which some metrics of sound, none of them used here, ask
    of an old SciPy. Afterwards it can be imported as ever.
    """
    name = "scipy.signal"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = stand_in = types.ModuleType(name)
    stand_in.hamming = None  # type: ignore[attr-defined]  # so that torchmetrics finds nothing to put back
    try:
        yield
    finally:
        del sys.modules[name]


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Within, torch and Lightning are imported without rounds of the garbage collector, nor does it see them later.

    They are half a million objects that never die. Looking at them again and again while they come in took 0.5 s of
    2.7, and each full round afterwards 0.1 to 0.2 s, about once a job.
    """
    first, collects = "torch" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        if first:
            gc.freeze()
            atexit.register(gc.unfreeze)  # else bindings complain at the end that their objects leaked


def pick_precision(device_type: str) -> str:
    """Lightning's name of the fastest precision that trains well on `cpu`, `cuda` or `mps`.

    bfloat16 where the hardware multiplies it; elsewhere it is emulated and slow.
    """
    import torch

    if device_type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed"
    if device_type == "cpu" and _cpu_multiplies_bf16():
        return "bf16-mixed"
    return "32-true"


def _cpu_multiplies_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    flags = next((line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("flags")), "")
    return "avx512_bf16" in flags.split() or "amx_bf16" in flags.split()


def describe(device: str, precision: str) -> dict[str, Any]:
    """What a run was made with, for its record: commit, versions, device, threads."""
    import torch

    packages = ("torch", "torchvision", "lightning", "hydra-core", "torchmetrics", "numpy")
    return {
        **_git(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device == "cuda" else (_cpu_name() if device == "cpu" else device),
        "precision": precision,
        "threads": torch.get_num_threads(),
    }


_version = functools.cache(importlib.metadata.version)  # it reads and parses a file


def _git() -> dict[str, Any]:
    """Commit of the project's checkout and whether files in it were changed; None where there is no git."""
    command = ["git", "-C", str(Path(__file__).parent), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None, "git_dirty": None}
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    return {"git_commit": commit, "git_dirty": any(not line.startswith("#") for line in lines)}


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


class Laps:
    """Where the time of a job goes, in seconds since `began` or the lap before."""

    def __init__(self, began: float) -> None:
        self._last = began
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Book what passed since the last lap under `name`."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
