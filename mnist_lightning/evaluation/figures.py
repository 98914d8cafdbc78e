"""The pictures of a run: loss graph, sample prediction, worst mistakes, confusion matrix.

Each function turns plain numbers into a `matplotlib.figure.Figure`. Knows nothing of torch, runs or file names.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from mnist_lightning.evaluation import style
from mnist_lightning.evaluation.style import (
    BLUE,
    DPI,
    FAINT,
    GREY,
    HEADER,
    INK,
    MARGIN,
    ORANGE,
    SMALL_SIZE,
    TEXT_SIZE,
    VERMILLION,
)


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


def sample_prediction(
    image: NDArray[np.uint8], label: int, probabilities: ArrayLike, class_names: Sequence[str]
) -> Figure:
    """Draw one image beside its class probabilities.

    Args:
        image: [28, 28] uint8, ink is 255.
        label: the true class.
        probabilities: [C] from 0 to 1. More than 15 classes are cut down to the ten likeliest and the true one.
        class_names: C names.
    """
    chances = np.asarray(probabilities, dtype=float)
    predicted = int(chances.argmax())
    shown = list(range(len(chances)))
    if len(chances) > 15:
        shown = sorted({*np.argsort(-chances, kind="stable")[:10].tolist(), label})
    name_width = max(style.text_width(class_names[index], TEXT_SIZE) for index in shown)
    side = 420  # 15 pixels for each of the image's 28
    bars_left = MARGIN + side + 60 + name_width
    width, height = int(bars_left + 560 + MARGIN), HEADER + max(side + 78, 40 * len(shown) + 40) + 10
    verdict = "Right" if predicted == label else "Wrong"
    figure = style.blank(width, height, f"{verdict}: predicted {class_names[predicted]}, labelled {class_names[label]}")
    doubt = "" if predicted == label else f", {style.percent(chances[label])} for the label"
    style.subtitle(figure, f"{style.percent(chances[predicted])} confident{doubt}")

    figure.add_artist(style.Pixels(MARGIN, height - HEADER - side, image, side // 28))
    caption = f"label: {class_names[label]}\nprediction: {class_names[predicted]}"
    style.write(figure, MARGIN, height - HEADER - side - 14, caption, TEXT_SIZE, va="top", linespacing=1.5)

    bars_height = max(side, 40 * len(shown))
    axes = style.place_axes(figure, bars_left, height - HEADER - bars_height, 560, bars_height)
    colours = [BLUE if index == predicted else ORANGE if index == label else "#BBBBBB" for index in shown]
    rows = np.arange(len(shown))
    axes.barh(rows, chances[shown], color=colours, height=0.72)
    for row, index in zip(rows, shown, strict=True):
        tags = [tag for tag, tagged in (("predicted", predicted), ("label", label)) if tagged == index]
        text = "  ".join([style.percent(chances[index]), *([" = ".join(tags)] if tags else [])])
        # A long bar carries its number inside, where there is always room.
        inside = chances[index] > 0.6
        axes.annotate(
            text, (chances[index], row), xytext=(-4 if inside else 4, 0), textcoords="offset points",
            ha="right" if inside else "left", va="center_baseline", fontsize=TEXT_SIZE,
            color="white" if inside else INK if tags else GREY, weight="bold" if tags else "normal",
        )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks(rows, [class_names[index] for index in shown])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    axes.tick_params(axis="y", length=0)
    for tick, index in zip(axes.get_yticklabels(), shown, strict=True):
        tick.set_fontweight("bold" if index in (predicted, label) else "normal")
    scope = "probability" if len(shown) == len(chances) else f"probability, {len(shown)} of {len(chances)} classes"
    axes.set_xlabel(scope, color=INK, fontsize=TEXT_SIZE)
    return figure


def worst_mistakes(
    images: NDArray[np.uint8],
    labels: ArrayLike,
    predictions: ArrayLike,
    confidences: ArrayLike,
    class_names: Sequence[str],
    total: int,
) -> Figure:
    """Draw the most confident mistakes as a grid, the worst first; at most 40.

    Args:
        images: [M, 28, 28] uint8, ink is 255, the misread images in any order; M may be 0.
        labels: [M] true classes.
        predictions: [M] predicted classes.
        confidences: [M] probabilities of the predicted classes, from 0 to 1.
        class_names: C names.
        total: number of all mistakes, of which M are given.
    """
    title = "Worst mistakes"
    if len(images) == 0:
        return style.nothing(style.blank(900, 360, title), "no mistakes")
    order = np.argsort(-np.asarray(confidences, dtype=float), kind="stable")[:40]
    true_names = [class_names[index] for index in np.asarray(labels)[order]]
    read_names = [class_names[index] for index in np.asarray(predictions)[order]]
    chances = np.asarray(confidences, dtype=float)[order]

    captions = [[f"{true} → {read}"] for true, read in zip(true_names, read_names, strict=True)]
    scale, gap = 5, 8  # pixels of the picture for one of the image; image pixels between two tiles
    pitch = 28 + gap
    if max(style.text_width(lines[0], SMALL_SIZE) for lines in captions) > scale * pitch - 20:
        captions = [[true, f"→ {read}"] for true, read in zip(true_names, read_names, strict=True)]
    line_height = 20
    row_pitch = pitch + 2 + line_height // scale * len(captions[0])
    columns = min(8, max(4, len(order)))
    rows = -(-len(order) // columns)

    mosaic = np.full((rows * row_pitch, columns * pitch), 255, dtype=np.uint8)
    for place, index in enumerate(order):
        top, left = place // columns * row_pitch, place % columns * pitch
        mosaic[top : top + 28, left : left + 28] = images[index]
    width = 2 * MARGIN + scale * (mosaic.shape[1] - gap)
    height = HEADER + scale * mosaic.shape[0] + 10
    figure = style.blank(width, height, title)
    selection = "" if len(order) == total else f", the {len(order)} most confident"
    style.subtitle(figure, f"{style.count(total, 'mistake')}{selection}: label → prediction, confidence")
    figure.add_artist(style.Pixels(MARGIN, 10, mosaic, scale))
    for place, (lines, chance) in enumerate(zip(captions, chances, strict=True)):
        x = MARGIN + place % columns * pitch * scale
        y = height - HEADER - (place // columns * row_pitch + 28) * scale - 22
        for line in lines:
            style.write(figure, x, y, line, SMALL_SIZE, weight="bold")
            y -= line_height
        style.write(figure, x, y, style.percent(chance), SMALL_SIZE, color=GREY)
    return figure


def confusion_matrix(counts: ArrayLike, class_names: Sequence[str]) -> Figure:
    """Draw a confusion matrix: the diagonal in blue by recall, mistakes in orange by their number.

    Two colour scales, because on a shared one ten mistakes vanish beside a diagonal of a thousand; and where there are
    none no number, for the same reason.

    Args:
        counts: [C, C] numbers of samples, row = true class, column = predicted class.
        class_names: C names.
    """
    matrix = np.asarray(counts, dtype=int)
    classes = len(matrix)
    cell = int(np.clip(1200 / classes, 25, 80))
    side = cell * classes
    label_size = min(TEXT_SIZE, 0.62 * cell * 72 / DPI)
    label_width = max(style.text_width(name, label_size) for name in class_names)
    upright = label_width > cell - 6
    left = MARGIN + 40 + label_width
    bottom = 60 + (label_width if upright else 24)
    width, height = max(int(left + side + MARGIN), 800), int(bottom + side + HEADER)
    right, total = int(matrix.trace()), int(matrix.sum())
    figure = style.blank(width, height, "Confusion matrix")
    style.subtitle(figure, f"{right:,} of {total:,} right ({style.percent(right / max(total, 1))})")

    cells = (255 * _cell_colours(matrix)).round().astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1)
    cells = np.pad(cells, ((0, 1), (0, 1), (0, 0)))
    cells[::cell], cells[:, ::cell] = 0xE8, 0xE8  # grey lines between them
    figure.add_artist(style.Pixels(left, bottom, cells))
    size = min(TEXT_SIZE, TEXT_SIZE * 0.82 * cell / style.text_width(str(matrix.max()), TEXT_SIZE))
    middles = left + (np.arange(classes) + 0.5) * cell, bottom + side - (np.arange(classes) + 0.5) * cell
    for row, column in np.argwhere((matrix > 0) | np.eye(classes, dtype=bool)):
        value = matrix[row, column]
        strong = row == column and value > 0
        style.write(
            figure, middles[0][column], middles[1][row], f"{value}", size, ha="center", va="center_baseline",
            color="white" if strong else INK,
        )  # fmt: skip
    angle = 90 if upright else 0
    for x, y, name in zip(*middles, class_names, strict=True):
        style.write(figure, x, bottom - 8, name, label_size, ha="center", va="top", rotation=angle)
        style.write(figure, left - 8, y, name, label_size, ha="right", va="center_baseline")
    style.write(figure, left + side / 2, 22, "predicted class", TEXT_SIZE, ha="center")
    style.write(figure, 24, bottom + side / 2, "true class", TEXT_SIZE, ha="left", va="center", rotation=90)
    return figure


def _cell_colours(matrix: NDArray[np.int_]) -> NDArray[np.float64]:
    """Colour the cells of a confusion matrix: [C, C] counts to [C, C, 3] RGB from 0 to 1."""
    on_diagonal = np.eye(len(matrix), dtype=bool)
    mistakes = np.where(on_diagonal, 0, matrix)
    strength = np.where(mistakes > 0, 0.12 + 0.88 * (mistakes / max(mistakes.max(), 1)) ** 0.75, 0)
    recall = matrix.diagonal() / np.maximum(matrix.sum(axis=1), 1)
    strength[on_diagonal] = np.where(matrix.diagonal() > 0, 0.4 + 0.6 * recall, 0)
    colour = np.where(on_diagonal[..., None], to_rgb(BLUE), to_rgb(ORANGE))
    return 1 - strength[..., None] * (1 - colour)
