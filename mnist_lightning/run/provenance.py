"""What a run was made with: commit, versions, device, for its record."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any


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
