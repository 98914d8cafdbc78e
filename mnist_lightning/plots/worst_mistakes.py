"""The most confident mistakes as a grid of images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mnist_lightning.plots import style
from mnist_lightning.plots.style import GREY, HEADER, MARGIN, SMALL_SIZE
from mnist_lightning.plots.words import count, percent


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
    style.subtitle(figure, f"{count(total, 'mistake')}{selection}: label → prediction, confidence")
    figure.add_artist(style.Pixels(MARGIN, 10, mosaic, scale))
    for place, (lines, chance) in enumerate(zip(captions, chances, strict=True)):
        x = MARGIN + place % columns * pitch * scale
        y = height - HEADER - (place // columns * row_pitch + 28) * scale - 22
        for line in lines:
            style.write(figure, x, y, line, SMALL_SIZE, weight="bold")
            y -= line_height
        style.write(figure, x, y, percent(chance), SMALL_SIZE, color=GREY)
    return figure
