"""What runs show as a picture: each setting against the metric, and groups side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from mnist_lightning.plots import style

WIDTH, HEIGHT = 480, 360  # of a panel's axes, pixels
LEFT, BOTTOM, GAP = 120, 96, 40
LABELS = {
    "val_accuracy": "validation accuracy, %",
    "test_accuracy": "test accuracy, %",
    "val_loss": "validation loss",
    "test_loss": "test loss",
    "fit_seconds": "seconds of training",
    "parameters": "parameters",
}


def settings_graph(tried: Mapping[str, Sequence[Any]], results: Sequence[float], metric: str) -> Figure:
    """Draw a panel for each setting: every run a dot, and where values repeat a bar at their mean.

    Args:
        tried: setting -> its value in each run.
        results: the metric of each run; accuracies are fractions.
        metric: one of `LABELS`.
    """
    columns = min(3, len(tried))
    rows = -(-len(tried) // columns)
    width = columns * (LEFT + WIDTH) + style.MARGIN
    height = style.HEADER + rows * (HEIGHT + BOTTOM) + (rows - 1) * GAP
    figure = style.blank(width, height, LABELS[metric].split(",")[0].capitalize())
    style.subtitle(figure, f"{style.count(len(results), 'run')}, each a dot; bars: means")
    for place, (key, values) in enumerate(tried.items()):
        row, column = divmod(place, columns)
        bottom = height - style.HEADER - HEIGHT - row * (HEIGHT + BOTTOM + GAP)
        axes = style.place_axes(figure, LEFT + column * (LEFT + WIDTH), bottom, WIDTH, HEIGHT)
        _panel(axes, values, results, metric)
        axes.set_xlabel(key, color=style.INK, fontsize=style.TEXT_SIZE)
        if column == 0:
            axes.set_ylabel(LABELS[metric], color=style.INK, fontsize=style.TEXT_SIZE)
    return figure


def _panel(axes: Axes, tried: Sequence[Any], results: Sequence[float], metric: str) -> None:
    scale = 100 if "accuracy" in metric else 1
    at: dict[str, list[float]] = {}
    values = {}
    for value, result in zip(tried, results, strict=True):
        values[json.dumps(value)] = value
        at.setdefault(json.dumps(value), []).append(scale * result)
    # The range of the data, not of the frame: accuracies crowd below 100 %.
    axes.grid(axis="y", color=style.FAINT, lw=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    places = {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    numbers = list(places.values())
    if numbers and len(numbers) == len(values):
        if min(numbers) > 0 and max(numbers) >= 8 * min(numbers):
            axes.set_xscale("log")
        elif all(number.is_integer() for number in numbers):
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.margins(x=0.12)
        if len(numbers) <= 6 and axes.get_xscale() == "log":
            axes.set_xticks(sorted(numbers))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
        means = sorted((places[name], mean(found)) for name, found in at.items())
        if any(len(found) > 1 for found in at.values()):
            axes.plot([x for x, _ in means], [y for _, y in means], color=style.FAINT, lw=1.5, zorder=1)
    else:
        places = {name: float(index) for index, name in enumerate(sorted(values))}
        names = [_word(values[name]) for name in sorted(values)]
        slanted = sum(style.text_width(name, style.TEXT_SIZE) + 20 for name in names) > WIDTH
        axes.set_xticks(list(places.values()), [name if len(name) < 16 else name[:14] + "…" for name in names])
        if slanted:
            axes.tick_params(axis="x", labelrotation=20)
        axes.set_xlim(-0.6, len(places) - 0.4)
    for name, found in at.items():
        axes.plot([places[name]] * len(found), found, "o", color=style.BLUE, markersize=5, alpha=0.75, lw=0, zorder=3)
        if len(found) > 1:
            axes.plot(places[name], mean(found), "_", color=style.VERMILLION, markersize=18, mew=2.5, zorder=4)


def _word(value: Any) -> str:
    """A setting as it stands on a command line."""
    if isinstance(value, list):
        return "[" + ",".join(map(_word, value)) + "]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))
