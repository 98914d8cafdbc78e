"""Runs -> the picture of a sweep, written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnist_lightning.plots import style
from mnist_lightning.plots.sweep import settings_graph
from mnist_lightning.sweeps.collect import Run


def knobs(runs: Sequence[Run], keys: Sequence[str], metric: str, path: Path) -> None:
    """Write a panel for each setting as PNG: the metric of each run against the setting's value.

    Args:
        runs: those without the metric are left out.
        keys: the settings, at least one.
        metric: one of `plots.sweep.LABELS`.
        path: the PNG file.
    """
    scored = [(run, value) for run in runs if (value := run.number(metric)) is not None]
    tried = {key: [run.settings.get(key) for run, _ in scored] for key in keys}
    style.save(settings_graph(tried, [value for _, value in scored], metric), path)
