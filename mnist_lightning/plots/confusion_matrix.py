"""The confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mnist_lightning.plots import style
from mnist_lightning.plots.style import BLUE, DPI, HEADER, INK, MARGIN, ORANGE, TEXT_SIZE
from mnist_lightning.plots.words import percent


def confusion_matrix(counts: ArrayLike, class_names: Sequence[str]) -> Figure:
    """Draw a confusion matrix: the diagonal in blue by recall, mistakes in orange by their number.

    Two colour scales, because on a shared one ten mistakes vanish beside a diagonal of a thousand. Cells
    without mistakes show no number, for the same reason.

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
    style.subtitle(figure, f"{right:,} of {total:,} right ({percent(right / max(total, 1))})")

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
