"""The results of runs: the metric against each setting."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnist_lightning.plots import style
from mnist_lightning.plots.setting_axis import place_values
from mnist_lightning.plots.words import count

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
    """Draw a panel for each setting: a dot per run, and a bar at the mean where values repeat.

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
    style.subtitle(figure, f"{count(len(results), 'run')}, each a dot; the bars are means")
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
    found = [scale * result for result in results]
    places = place_values(axes, tried, WIDTH)
    at: dict[float, list[float]] = {}
    for place, value in zip(places, found, strict=True):
        at.setdefault(place, []).append(value)
    # The range of the data, not of the frame: accuracies crowd below 100 %.
    axes.grid(axis="y", color=style.FAINT, lw=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.margins(y=0.08)
    means = sorted((place, mean(values)) for place, values in at.items())
    if any(len(values) > 1 for values in at.values()):
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in tried):
            axes.plot(*zip(*means, strict=True), color=style.FAINT, lw=1.5, zorder=1)
        several = [(place, value) for place, value in means if len(at[place]) > 1]
        axes.plot(*zip(*several, strict=True), "_", color=style.VERMILLION, ms=22, mew=3, label="mean", zorder=2)
    axes.plot(places, found, "o", color=style.BLUE, mec="white", mew=0.6, ms=6, alpha=0.85, label="run", zorder=3)
