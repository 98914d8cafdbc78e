"""The end of a sweep of trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def report(sweep: Path, asked: dict[str, Any]) -> int:
    """Add up the jobs of a sweep, and make an ensemble of their networks where that is asked for.

    Args:
        sweep: its folder.
        asked: `outputs`, and the settings of `sweep.`.

    Returns:
        The exit code: 0 if all jobs did what they were to do.
    """
    from mnist_lightning.sweeps.report import report

    code = report(sweep, Path(asked["outputs"]))
    if asked["ensemble"]:
        from mnist_lightning.tasks.ensemble import join

        join(sweep, Path(asked["outputs"]))
    return code
