"""The memory that a process of its own takes."""

import os
import subprocess
import sys
from pathlib import Path


def peak():
    """MiB that this process has had at most.

    Not what `getrusage` says: that begins with the peak of the process that this one was started by.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def measured(code, *arguments):
    """Run Python code that may import this file: the finished process."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, capture_output=True, text=True, check=True
    )
