"""This machine and this process: how memory is kept, how threads wait, which precision is fast.

Torch is imported only inside the functions that need it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from mnist_lightning.errors import UserError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # names and numbers from glibc's malloc.h


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory instead of handing it back to the kernel.

    A training step on the CPU, or reading a batch, frees and allocates tens of megabytes; getting them back from
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


_SPINS = "10000"  # about 0.1 ms; GCC's OpenMP, which PyTorch uses on Linux, makes 300,000


def wait_briefly(*, asleep: bool = False) -> None:
    """Let OpenMP threads that wait for each other spin for a moment, then sleep. Call it before torch is imported.

    Where other programs take the cores, a spinning thread keeps the one that it waits for from running. On two cores
    with four other busy programs, a step of the default network took 53 to 64 ms instead of 63 to 75, with a fifth less
    of the processor's time, and alone the same 32 ms.

    Args:
        asleep: whether they sleep at once, which took 26 ms instead of 19 alone.
    """
    if asleep:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    elif "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def require(device: str) -> None:
    """Refuse a device that this machine certainly lacks, before torch is imported, which takes seconds.

    Args:
        device: `cuda`, `mps` or anything else. What is not certain is left to `pick_device`.

    Raises:
        UserError: it is `mps` and this is not a Mac, or `cuda` and there is no GPU driver.
    """
    if (device == "mps" and sys.platform != "darwin") or (device == "cuda" and not _has_gpu_driver()):
        raise no_such(device)


def no_such(device: str) -> UserError:
    """The error for a machine that lacks a device."""
    return UserError(f"There is no {device} device on this machine: take auto, which picks one that is there, or cpu.")


def _has_gpu_driver() -> bool:
    """Whether a GPU driver is installed: NVIDIA's library, or the device file of AMD's."""
    if sys.platform == "darwin":
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True


def pick_precision(device_type: str) -> str:
    """Lightning's name for the fastest precision that trains well on `cpu`, `cuda` or `mps`.

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
