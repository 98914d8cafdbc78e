"""The objective of a search: its name, its values in words, and an axis for them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from mnist_lightning.plots.words import percent

WORDS = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "parameters": "trainable weights",
    "fit_seconds": "seconds of training",
}


def shown(objective: str, value: float) -> str:
    """A value of an objective in words: `98.20%`, `0.0612`, `12,345`, `3.2 s`."""
    if objective == "val_accuracy":
        return percent(value)
    return {"parameters": f"{value:,.0f}", "fit_seconds": f"{value:.1f} s"}.get(objective, f"{value:.4f}")


def value_range(values: NDArray[np.float64], higher: bool) -> tuple[float, float]:
    """The limits of an objective's axis: a few hopeless trials do not set the scale."""
    near, far = (np.quantile(values, 0.25), values.max()) if higher else (values.min(), np.quantile(values, 0.75))
    margin = 0.08 * (far - near) or 0.01 * abs(far) or 0.01
    return float(near - margin * (4 if higher else 1)), float(far + margin * (1 if higher else 4))


def format_values(axes: Axes, objective: str, side: str) -> None:
    """Write the ticks of the `x` or `y` axis as values of the objective."""
    formats = {
        "val_accuracy": lambda value, _: f"{100 * value:.4g} %",
        "val_loss": lambda value, _: f"{value:g}",
        "parameters": lambda value, _: f"{value:,.0f}",
        "fit_seconds": lambda value, _: f"{value:g}",
    }
    axis = axes.yaxis if side == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(formats[objective]))
