"""The end of a sweep of training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def report(sweep: Path, asked: dict[str, Any]) -> int:
    """Summarise the jobs of a sweep, and make an ensemble of their networks if asked to.

    Args:
        sweep: its folder.
        asked: `outputs`, the `command` that started it, and the settings of `sweep.`.

    Returns:
        The exit code: 0 if all jobs did what they should.
    """
    from mnist_lightning.sweeps.report import report

    code = report(sweep, Path(asked["outputs"]))
    if asked["ensemble"]:
        from mnist_lightning.tasks.ensemble import join

        join(sweep, Path(asked["outputs"]), asked["command"])
    return code
