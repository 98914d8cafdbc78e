"""The loss graph: what each epoch of a training reached."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from mnist_lightning.plots import style
from mnist_lightning.plots.style import BLUE, FAINT, GREY, HEADER, INK, MARGIN, ORANGE, TEXT_SIZE, VERMILLION


def loss_graph(history: Mapping[str, Sequence[float]], best_epoch: int | None) -> Figure:
    """Draw training and validation loss per epoch, the best epoch marked with its accuracy.

    Args:
        history: `epoch`, `train_loss`, `val_loss`, `val_accuracy` (fractions), lists of equal length. A loss
            that is not finite (or None) leaves a gap, and the subtitle counts them.
        best_epoch: one of `epoch`, or None for no mark.
    """
    width, height = 1200, 675
    figure = style.blank(width, height, "Loss per epoch")
    epochs = np.asarray(history["epoch"], dtype=int)
    if len(epochs) == 0:
        return style.nothing(figure, "no finished epoch")
    curves = [np.asarray(history[key], dtype=float) for key in ("train_loss", "val_loss")]
    curves = [np.where(np.isfinite(curve), curve, np.nan) for curve in curves]
    losses = np.concatenate(curves)
    losses = losses[~np.isnan(losses)]
    if len(losses) == 0:
        return style.nothing(figure, f"no finite loss in {style.count(len(epochs), 'epoch')}")

    axes = style.place_axes(figure, 116, 84, width - 116 - MARGIN, height - 84 - HEADER)
    axes.set_xlabel("epoch", color=INK, fontsize=TEXT_SIZE)
    marker_size = 5 if len(epochs) <= 20 else 2.5  # never 0: an epoch between two gaps has no line
    looks = [("training", BLUE, "s", "--"), ("validation", VERMILLION, "o", "-")]
    for curve, (label, colour, marker, line) in zip(curves, looks, strict=True):
        axes.plot(epochs, curve, line, label=label, color=colour, marker=marker, markersize=marker_size, lw=1.8)
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))

    logarithmic = losses.min() > 0 and losses.max() > 10 * losses.min()
    if logarithmic:  # on a linear axis everything after the first epochs would lie on the floor
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(LogLocator(subs=()))
    elif losses.min() < 0.5 * losses.max():
        axes.set_ylim(bottom=0)
    axes.set_ylabel("mean loss (logarithmic)" if logarithmic else "mean loss", color=INK, fontsize=TEXT_SIZE)
    axes.grid(axis="y", color=FAINT, lw=0.8)

    subtitle = style.count(len(epochs), "epoch")
    if best_epoch is not None and best_epoch in epochs:
        index = int(np.flatnonzero(epochs == best_epoch)[-1])
        loss, accuracy = curves[1][index], style.percent(float(np.asarray(history["val_accuracy"], dtype=float)[index]))
        subtitle += f" · best epoch {best_epoch}: validation loss {loss:.4g}, validation accuracy {accuracy}"
        axes.axvline(best_epoch, color=GREY, lw=1, ls=":", zorder=1)
        axes.plot(
            [best_epoch], [loss], "*", color=ORANGE, markeredgecolor=INK, markersize=16, markeredgewidth=0.8,
            label="_best epoch", zorder=3,
        )  # fmt: skip
        # Above the frame, where no curve can run through it; leaning inwards at the left and right end.
        place = (best_epoch - epochs[0] + 0.5) / (epochs[-1] - epochs[0] + 1)
        axes.annotate(
            f"best: {accuracy}", (best_epoch, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 3),
            textcoords="offset points", ha="left" if place < 0.07 else "right" if place > 0.93 else "center",
            fontsize=TEXT_SIZE, weight="bold", color=INK,
        )  # fmt: skip
    broken = int(np.isnan(np.stack(curves)).any(axis=0).sum())
    if broken:
        subtitle += f" · loss not finite in {broken} of them"
    style.subtitle(figure, subtitle)
    figure.legend(
        loc="upper right", bbox_to_anchor=(1 - MARGIN / width, 1 - 24 / height), ncols=3, frameon=False,
        fontsize=TEXT_SIZE, labelcolor=INK, borderaxespad=0, borderpad=0, handletextpad=0.5, columnspacing=1.6,
    )  # fmt: skip
    return figure
