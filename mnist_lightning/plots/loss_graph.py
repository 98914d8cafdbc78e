"""The loss graph: loss and accuracy of both sets after each epoch, the best epoch marked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from mnist_lightning.plots import style
from mnist_lightning.plots.style import BLUE, FAINT, GREY, HEADER, INK, MARGIN, ORANGE, TEXT_SIZE, VERMILLION
from mnist_lightning.plots.words import count, percent

WIDTH, HEIGHT = 1500, 720  # pixels
LEFT, BOTTOM, NOTE = 116, 84, 44  # space for an axes' labels, and for the line of explanation
PANEL = (WIDTH - 2 * LEFT - MARGIN - 24) // 2  # width of one of the two panels
LOOKS = {"training": (BLUE, "s", "--"), "validation": (VERMILLION, "o", "-")}
BELOW = "_below"  # label of the marks of epochs that are below the picture
_FAR = 8  # an epoch more than this many times further below the best one than most is below the picture
Curves = Mapping[str, NDArray[np.float64]]
"""Set -> its value in each epoch; NaN leaves a gap."""


def loss_graph(
    history: Mapping[str, Sequence[float | None]],
    best_epoch: int | None,
    label_smoothing: float = 0.0,
    is_augmented: bool = False,
) -> Figure:
    """Draw two panels over the epochs: the mean loss and the accuracy, each of training and validation set.

    Args:
        history: `epoch`, `train_loss`, `val_loss`, `val_accuracy`, and `train_accuracy` where it was measured
            (fractions): lists of equal length. Values that are None or not finite leave a gap, and the subtitle
            counts the losses among them.
        best_epoch: one of `epoch`, which gets a line and, on its validation accuracy, a star; or None.
        label_smoothing: that of the training loss; explained below the panels if it is above 0.
        is_augmented: whether the training images were changed at random; explained likewise.
    """
    note = explanation(label_smoothing, is_augmented)
    height = HEIGHT + (NOTE if note else 0)
    figure = style.blank(WIDTH, height, "Loss and accuracy per epoch")
    epochs = np.asarray(history["epoch"], dtype=int)
    if len(epochs) == 0:
        return style.nothing(figure, "no finished epoch")
    losses = {"training": _finite(history["train_loss"]), "validation": _finite(history["val_loss"])}
    if all(np.isnan(curve).all() for curve in losses.values()):
        return style.nothing(figure, f"no finite loss in {count(len(epochs), 'epoch')}")
    accuracies = {"validation": _finite(history["val_accuracy"])}
    if history.get("train_accuracy"):
        accuracies = {"training": _finite(history["train_accuracy"]), **accuracies}

    bottom = BOTTOM + (NOTE if note else 0)
    left, right = (_panel(figure, epochs, curves, place, bottom) for place, curves in ((LEFT, losses), (0, accuracies)))
    _scale_losses(left, losses)
    _scale_accuracies(right, accuracies)
    subtitle = count(len(epochs), "epoch")
    if best_epoch is not None and best_epoch in epochs:
        subtitle += _mark(left, right, epochs, losses, accuracies, best_epoch)
    broken = int(np.isnan(np.stack(list(losses.values()))).any(axis=0).sum())
    if broken:
        subtitle += f" · loss not finite in {broken} of them"
    if any(line.get_label() == BELOW for line in right.lines):
        subtitle += " · ▼ lower than shown"
    style.subtitle(figure, subtitle)
    if note:
        style.write(figure, MARGIN, 26, note, TEXT_SIZE, color=GREY)
    handles, words = left.get_legend_handles_labels()
    figure.legend(
        handles, words, loc="upper right", bbox_to_anchor=(1 - MARGIN / WIDTH, 1 - 24 / height), ncols=2,
        frameon=False, fontsize=TEXT_SIZE, labelcolor=INK, borderaxespad=0, borderpad=0, handletextpad=0.5,
        columnspacing=1.6,
    )  # fmt: skip
    return figure


def of_record(record: Mapping[str, Any]) -> Figure:
    """The loss graph of a run, from its record (`training_metrics.json`) alone."""
    settings, best = record.get("hyperparameters") or {}, record.get("best")
    smoothing = (settings.get("loss") or {}).get("label_smoothing") or 0.0
    return loss_graph(record["history"], best and best["epoch"], smoothing, _changes(settings.get("augment") or {}))


def _changes(augment: Mapping[str, Any]) -> bool:
    """Whether these settings of `conf/augment/` change any image."""
    amounts = {name: value for name, value in augment.items() if name not in _HOW and not name.startswith("_")}
    scale = list(amounts.pop("scale", (1, 1)))
    return scale != [1, 1] or any(amounts.values())


_HOW = ("elastic_cells", "erase_size", "erase_with")  # settings that say how, not how much


def explanation(label_smoothing: float, is_augmented: bool) -> str:
    """Why the curves may look odd, in one line; "" if there is no reason."""
    parts = []
    if is_augmented:
        parts.append("Augmented training images are harder than validation images.")
    if label_smoothing > 0:
        parts.append(f"With label smoothing {label_smoothing:g} the loss may rise while accuracy rises.")
    return " ".join(parts)


def _finite(values: Sequence[float | None]) -> NDArray[np.float64]:
    curve = np.asarray(values, dtype=float)
    return np.where(np.isfinite(curve), curve, np.nan)


def _panel(figure: Figure, epochs: NDArray[np.int_], curves: Curves, left: int, bottom: int) -> Axes:
    place = left or LEFT + PANEL + 24 + LEFT
    axes = style.place_axes(figure, place, bottom, PANEL, figure.bbox.height - bottom - HEADER)
    axes.set_xlabel("epoch", color=INK, fontsize=TEXT_SIZE)
    marker_size = 5 if len(epochs) <= 20 else 2.5  # never 0: an epoch between two gaps has no line
    for label, curve in curves.items():
        colour, marker, line = LOOKS[label]
        axes.plot(epochs, curve, line, label=label, color=colour, marker=marker, markersize=marker_size, lw=1.8)
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=FAINT, lw=0.8)
    return axes


def _scale_losses(axes: Axes, curves: Curves) -> None:
    losses = np.concatenate(list(curves.values()))
    losses = losses[~np.isnan(losses)]
    logarithmic = losses.min() > 0 and losses.max() > 10 * losses.min()
    if logarithmic:  # on a linear axis everything after the first epochs would lie at the bottom
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(LogLocator(subs=()))
    elif losses.min() < 0.5 * losses.max():
        axes.set_ylim(bottom=0)
    axes.set_ylabel("mean loss (logarithmic)" if logarithmic else "mean loss", color=INK, fontsize=TEXT_SIZE)


def _scale_accuracies(axes: Axes, curves: Curves) -> None:
    """Show the range in which most epochs lie: next to a poor first one, the others would all look like one line."""
    values = np.concatenate(list(curves.values()))
    values = values[~np.isnan(values)]
    axes.set_ylabel("accuracy", color=INK, fontsize=TEXT_SIZE)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    if not len(values):
        return
    top = float(values.max())
    room = max(top - float(np.quantile(values, 0.25)), 0.002)
    low = float(values[values >= top - _FAR * room].min())
    room = max(top - low, 0.002)
    axes.set_ylim(low - 0.08 * room, min(top + 0.12 * room, 1 + 0.03 * room))
    outside = {label: curve < axes.get_ylim()[0] for label, curve in curves.items()}
    for label, below in outside.items():
        if below.any():  # mark where a curve comes from
            x = axes.lines[list(curves).index(label)].get_xdata()
            axes.plot(
                np.asarray(x)[below], np.full(below.sum(), axes.get_ylim()[0]), "v", color=LOOKS[label][0], ms=6,
                clip_on=False, label=BELOW,
            )  # fmt: skip


def _mark(
    left: Axes, right: Axes, epochs: NDArray[np.int_], losses: Curves, accuracies: Curves, best_epoch: int
) -> str:  # fmt: skip
    """Draw a line through the best epoch and a star on its validation accuracy; return what the subtitle says of it."""
    index = int(np.flatnonzero(epochs == best_epoch)[-1])
    loss, accuracy = float(losses["validation"][index]), float(accuracies["validation"][index])
    for axes in (left, right):
        axes.axvline(best_epoch, color=GREY, lw=1, ls=":", zorder=1)
    right.plot(
        [best_epoch], [accuracy], "*", color=ORANGE, markeredgecolor=INK, markersize=16, markeredgewidth=0.8,
        label="_best epoch", zorder=3,
    )  # fmt: skip
    # Above the frame, where no curve can run through it; aligned inwards at the left and right ends.
    place = (best_epoch - epochs[0] + 0.5) / (epochs[-1] - epochs[0] + 1)
    right.annotate(
        f"best: {percent(accuracy)}", (best_epoch, 1), xycoords=right.get_xaxis_transform(), xytext=(0, 3),
        textcoords="offset points", ha="left" if place < 0.15 else "right" if place > 0.85 else "center",
        fontsize=TEXT_SIZE, weight="bold", color=INK,
    )  # fmt: skip
    return f" · best epoch {best_epoch}: validation accuracy {percent(accuracy)}, validation loss {loss:.4g}"
