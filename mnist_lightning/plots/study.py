"""The pictures of a search: its course, what mattered, and for two objectives the trade-off between them.

Each function turns plain numbers into a `matplotlib.figure.Figure`. Knows nothing of Optuna or file names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mnist_lightning.plots import style
from mnist_lightning.plots.objective import WORDS, format_values, shown, value_range
from mnist_lightning.plots.style import BLUE, FAINT, GREY, HEADER, INK, MARGIN, ORANGE, TEXT_SIZE, VERMILLION
from mnist_lightning.plots.words import count

WIDTH, HEIGHT = 1200, 675
LEFT, BOTTOM = 150, 84


def history(
    numbers: Sequence[int], values: Sequence[float], pruned: Sequence[bool], objective: str, higher: bool
) -> Figure:
    """Draw the value of each trial, and the best one so far.

    Args:
        numbers: those of the trials.
        values: those of the objective, in the trial's last epoch if it was pruned.
        pruned: whether the trial was.
        objective: a name in `WORDS`.
        higher: whether a higher value is better.
    """
    figure = style.blank(WIDTH, HEIGHT, "Course of the search")
    x, y, cut = np.asarray(numbers), np.asarray(values, dtype=float), np.asarray(pruned, dtype=bool)
    if len(x) == 0 or cut.all():
        return style.nothing(figure, "no finished trial")
    axes = _axes(figure, "trial", WORDS[objective])
    whole = ~cut
    best = (np.maximum if higher else np.minimum).accumulate(y[whole])
    axes.step([*x[whole], x[-1]], [*best, best[-1]], where="post", color=BLUE, lw=1.8, label="best so far", zorder=2)
    axes.plot(x[whole], y[whole], "o", color=BLUE, ms=5, alpha=0.6, label="finished")
    if cut.any():
        axes.plot(x[cut], y[cut], "x", color=VERMILLION, ms=6, label="pruned")
    place = int(np.argmax(y[whole]) if higher else np.argmin(y[whole]))
    axes.plot(x[whole][place], y[whole][place], "*", color=ORANGE, mec=INK, mew=0.8, ms=16, zorder=3)
    bottom, top = value_range(y, higher)
    axes.set_ylim(bottom, top)
    outside = (y < bottom) | (y > top)
    if outside.any():
        edge = bottom if higher else top
        marker = "v" if higher else "^"
        axes.plot(x[outside], np.full(outside.sum(), edge), marker, color=GREY, ms=6, clip_on=False, label="worse yet")
    format_values(axes, objective, "y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=FAINT, lw=0.8)
    told = f"{count(int(whole.sum()), 'finished trial')}, {cut.sum()} pruned"
    style.subtitle(figure, f"{told} · best: {shown(objective, float(y[whole][place]))} in trial {x[whole][place]}")
    _legend(figure, 4)
    return figure


def importance(shares: Mapping[str, float], objective: str) -> Figure:
    """Draw how much of the variance each setting explains.

    Args:
        shares: setting -> 0 to 1, adding up to 1; empty if they could not be determined.
        objective: a name in `WORDS`.
    """
    figure = style.blank(WIDTH, HEIGHT, f"What mattered for the {WORDS[objective]}")
    if not shares:
        return style.nothing(figure, "too few trials to tell, or all with the same result")
    names = sorted(shares, key=lambda name: shares[name])
    longest = max(style.text_width(name, TEXT_SIZE) for name in names)
    left = int(longest) + MARGIN + 24
    axes = style.place_axes(figure, left, BOTTOM, WIDTH - left - MARGIN - 90, HEIGHT - BOTTOM - HEADER)
    axes.barh(names, [shares[name] for name in names], color=BLUE, height=min(0.7, 0.18 * len(names) + 0.15))
    for place, name in enumerate(names):
        axes.annotate(
            f"{100 * shares[name]:.0f} %", (shares[name], place), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=TEXT_SIZE, color=INK,
        )  # fmt: skip
    axes.set_xlim(0, max(shares.values()) or 1)
    axes.set_xlabel("share of the variance between trials", color=INK, fontsize=TEXT_SIZE)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    style.subtitle(figure, "fANOVA, Hutter et al. (2014); finished trials only")
    return figure


def pareto(
    points: Sequence[Sequence[float]], best: Sequence[int], names: Sequence[str], objectives: Sequence[str]
) -> Figure:
    """Draw the trials by both objectives, and the front of those that no other beats in both.

    Args:
        points: (first, second) objective of each finished trial.
        best: the places of those on the front.
        names: what each trial is called.
        objectives: two names in `WORDS`.
    """
    first, second = objectives
    figure = style.blank(WIDTH, HEIGHT, f"{WORDS[first].capitalize()} against {WORDS[second]}")
    if not points:
        return style.nothing(figure, "no finished trial")
    axes = _axes(figure, WORDS[second], WORDS[first])
    y, x = np.asarray(points, dtype=float).T
    front = sorted(best, key=lambda place: (x[place], y[place]))
    axes.plot(x, y, "o", color=GREY, ms=5, alpha=0.6, label="trial")
    axes.step(x[front], y[front], where="post", color=BLUE, lw=1.4)
    axes.plot(x[front], y[front], "o", color=BLUE, ms=8, label="best trade")
    if x.min() > 0 and x.max() > 10 * x.min():
        axes.set_xscale("log")
    near, far = (np.quantile(y, 0.1), y.max()) if first == "val_accuracy" else (y.min(), np.quantile(y, 0.9))
    margin = 0.12 * (far - near) or 0.01
    near, far = min(near, y[front].min()), max(far, y[front].max())
    axes.set_ylim(near - margin, far + margin)
    format_values(axes, first, "y")
    format_values(axes, second, "x")
    axes.grid(color=FAINT, lw=0.8)
    _name_front(axes, [(x[place], y[place]) for place in front], [names[place] for place in front])
    outside = int(((y < near - margin) | (y > far + margin)).sum())
    told = f"{count(len(points), 'finished trial')}, {len(front)} on the front; the numbers are theirs"
    style.subtitle(figure, told + (f" · far worse, outside the picture: {outside}" if outside else ""))
    _legend(figure, 2)
    return figure


def _name_front(axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Put names at the upper left of points, where a rising front leaves room, unless they cover the previous one."""
    taken = np.empty((0, 2))
    for point, name in sorted(zip(points, names, strict=True), reverse=True):
        at = axes.transData.transform(point)
        if len(taken) and (np.abs(taken - at) < (46, 26)).all(axis=1).any():
            continue
        taken = np.vstack([taken, at])
        axes.annotate(
            name, point, xytext=(-4, 4), textcoords="offset points", ha="right", fontsize=TEXT_SIZE, color=INK
        )


def _axes(figure: Figure, x: str, y: str) -> Axes:
    axes = style.place_axes(figure, LEFT, BOTTOM, WIDTH - LEFT - MARGIN, HEIGHT - BOTTOM - HEADER)
    axes.set_xlabel(x, color=INK, fontsize=TEXT_SIZE)
    axes.set_ylabel(y, color=INK, fontsize=TEXT_SIZE)
    return axes


def _legend(figure: Figure, columns: int) -> None:
    figure.legend(
        loc="upper right", bbox_to_anchor=(1 - MARGIN / WIDTH, 1 - 24 / HEIGHT), ncols=columns, frameon=False,
        fontsize=TEXT_SIZE, labelcolor=INK, borderaxespad=0, borderpad=0, handletextpad=0.5, columnspacing=1.6,
    )  # fmt: skip
