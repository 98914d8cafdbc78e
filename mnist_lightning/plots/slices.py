"""A search, setting by setting: the result of every trial against its value of the setting."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mnist_lightning.plots import style
from mnist_lightning.plots.objective import WORDS, format_values, shown, value_range
from mnist_lightning.plots.setting_axis import place_values
from mnist_lightning.plots.style import BLUE, FAINT, GREY, HEADER, INK, MARGIN, ORANGE, TEXT_SIZE, VERMILLION
from mnist_lightning.plots.words import count

LEFT, BOTTOM = 120, 98  # of the labels, pixels
WIDTH, HEIGHT = 420, 330  # of a panel's axes


def slices(
    tried: Mapping[str, Sequence[Any]],
    values: Sequence[float],
    pruned: Sequence[bool],
    objective: str,
    higher: bool,
    logarithmic: Mapping[str, bool] | None = None,
) -> Figure:
    """Draw a panel for each setting: the result of every trial against the trial's value of the setting.

    Args:
        tried: setting -> its value in each trial; None where a trial had none.
        values: those of the objective, in the trial's last epoch if it was pruned.
        pruned: whether the trial was.
        objective: a name in `WORDS`.
        higher: whether a higher value is better.
        logarithmic: whether a setting was drawn on a logarithmic scale; if left out, its values decide.
    """
    columns = max(min(3, len(tried)), 1)
    rows = -(-len(tried) // columns) or 1
    width, height = columns * (LEFT + WIDTH) + MARGIN, HEADER + rows * (HEIGHT + BOTTOM)
    figure = style.blank(max(width, 800), height, f"Each setting against the {WORDS[objective]}")
    y, cut = np.asarray(values, dtype=float), np.asarray(pruned, dtype=bool)
    if not tried or len(y) == 0 or cut.all():
        return style.nothing(figure, "no finished trial")
    best = int(np.where(cut, -np.inf, y if higher else -y).argmax())
    bottom, top = value_range(y, higher)
    for place, (name, given) in enumerate(tried.items()):
        row, column = divmod(place, columns)
        left, low = LEFT + column * (LEFT + WIDTH), height - HEADER - HEIGHT - row * (HEIGHT + BOTTOM)
        axes = style.place_axes(figure, left, low, WIDTH, HEIGHT)
        axes.set_xlabel(name, color=INK, fontsize=TEXT_SIZE)
        if column == 0:
            axes.set_ylabel(WORDS[objective], color=INK, fontsize=TEXT_SIZE)
        x = np.asarray(place_values(axes, given, WIDTH, (logarithmic or {}).get(name)))
        near = (y >= bottom) & (y <= top)
        axes.plot(
            x[~cut & near], y[~cut & near], "o", color=BLUE, mec="white", mew=0.5, ms=6, alpha=0.75, label="finished"
        )
        axes.plot(x[cut & near], y[cut & near], "x", color=VERMILLION, ms=6, label="pruned")
        edge, marker = (bottom, "v") if higher else (top, "^")
        axes.plot(x[~near], [edge] * (~near).sum(), marker, color=GREY, ms=6, clip_on=False, label="worse yet")
        axes.plot(x[best], y[best], "*", color=ORANGE, mec=INK, mew=0.8, ms=15, label="best", zorder=4)
        axes.set_ylim(bottom, top)
        format_values(axes, objective, "y")
        axes.grid(axis="y", color=FAINT, lw=0.8)
    told = f"{count(int((~cut).sum()), 'finished trial')}, {cut.sum()} pruned (x)"
    if ((y < bottom) | (y > top)).any():
        told += f" · {'▼' if higher else '▲'} worse than shown"
    style.subtitle(figure, f"{told} · star: the best, {shown(objective, float(y[best]))}")
    return figure
