"""An axis for the values of a setting: numbers to scale, words side by side."""

import json
import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from mnist_lightning.plots import style

MOST_TICKS = 10  # values that get a tick each; if there are more, round numbers get the ticks
_SLANT = 20  # degrees, for words that have no room side by side


def place_values(axes: Axes, values: Sequence[Any], width: float, logarithmic: bool | None = None) -> list[float]:
    """Set up the horizontal axis for a setting, and return the position of each of its values.

    Args:
        axes: `width` pixels wide.
        values: one per run, in any order: numbers, texts, booleans, lists or None.
        width: that of the axes.
        logarithmic: whether numbers get a logarithmic axis; None to decide by `is_logarithmic`.
    """
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _place_numbers(axes, [float(value) for value in values], width, logarithmic)
    order = sorted({json.dumps(value): value for value in values}.items())
    places = {name: float(place) for place, (name, _) in enumerate(order)}
    words = [word(value) for _, value in order]
    words = [each if len(each) < 16 else each[:14] + "…" for each in words]
    axes.set_xticks(list(places.values()), words)
    if sum(style.text_width(each, style.TEXT_SIZE) + 20 for each in words) > width:
        axes.tick_params(axis="x", labelrotation=_SLANT)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    axes.set_xlim(-0.6, len(places) - 0.4)
    return [places[json.dumps(value)] for value in values]


def word(value: Any) -> str:
    """A setting as it is written on a command line; fractional numbers are rounded to three digits."""
    if isinstance(value, list):
        return "[" + ",".join(map(word, value)) + "]"
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """0.0031623 -> `0.00316`, 1024 -> `1024`, 1e-05 -> `1e-05`."""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether numbers are closer to being evenly spaced by factors than by differences."""
    distinct = sorted(set(values))
    if len(distinct) < 2 or distinct[0] <= 0:
        return False
    low, high = distinct[0], distinct[-1]
    if len(distinct) == 2:
        return high >= 3 * low
    if high < 3 * low:
        return False
    # The middle value is closer to the geometric mean of the ends than to the arithmetic one.
    return median(distinct) < ((low * high) ** 0.5 + (low + high) / 2) / 2


def _place_numbers(axes: Axes, values: list[float], width: float, logarithmic: bool | None) -> list[float]:
    distinct = sorted(set(values))
    if is_logarithmic(distinct) if logarithmic is None else logarithmic and distinct[0] > 0:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.1)
    if len(distinct) <= MOST_TICKS:
        labels = _without_overlap(axes, distinct, width)
        axes.xaxis.set_major_locator(FixedLocator(distinct))
        axes.xaxis.set_major_formatter(FixedFormatter(labels))
    else:
        whole = all(value.is_integer() for value in distinct)
        rounded = MaxNLocator(nbins=6, integer=whole, steps=[1, 2, 2.5, 5, 10])
        decades = math.log10(distinct[-1] / distinct[0]) if axes.get_xscale() == "log" else 0
        powers = LogLocator(subs=(1,) if decades >= 2 else (1, 2, 5), numticks=9)
        axes.xaxis.set_major_locator(powers if decades else rounded)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    if len(distinct) == 1:
        [only] = distinct
        axes.set_xlim(*((only / 2, 2 * only) if axes.get_xscale() == "log" else (only - 1, only + 1)))
    return values


def _without_overlap(axes: Axes, values: list[float], width: float) -> list[str]:
    """The label of each value, ascending; "" for those that would overlap the previous or the last one."""
    scale = math.log if axes.get_xscale() == "log" else float
    low, high = scale(values[0]), scale(values[-1])
    room = width / (1 + 2 * 0.1) / max(high - low, 1e-12)
    centres = [(scale(value) - low) * room for value in values]
    labels = [number(value) for value in values]
    halves = [style.text_width(label, style.TEXT_SIZE) / 2 + 6 for label in labels]
    shown, end = [""] * len(values), -math.inf
    for place, (centre, half) in enumerate(zip(centres, halves, strict=True)):
        is_last = place == len(values) - 1
        if is_last or (centre - half >= end and centre + half <= centres[-1] - halves[-1]):
            shown[place], end = labels[place], centre + half
    return shown
