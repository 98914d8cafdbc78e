"""One image beside its class probabilities."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mnist_lightning.plots import style
from mnist_lightning.plots.style import BLUE, GREY, HEADER, INK, MARGIN, ORANGE, TEXT_SIZE
from mnist_lightning.plots.words import percent


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
    doubt = "" if predicted == label else f", {percent(chances[label])} for the label"
    style.subtitle(figure, f"{percent(chances[predicted])} confident{doubt}")

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
        text = "  ".join([percent(chances[index]), *([" = ".join(tags)] if tags else [])])
        # A long bar carries its number inside, where there is always room; 1.15 for bold letters.
        inside = 560 * chances[index] + 8 + 1.15 * style.text_width(text, TEXT_SIZE) > 560
        axes.annotate(
            text, (chances[index], row), xytext=(-4 if inside else 4, 0), textcoords="offset points",
            ha="right" if inside else "left", va="center_baseline", fontsize=TEXT_SIZE,
            color="white" if inside else INK if tags else GREY, weight="bold" if tags else "normal",
        )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks(rows, [class_names[index] for index in shown])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.tick_params(axis="y", length=0)
    for tick, index in zip(axes.get_yticklabels(), shown, strict=True):
        tick.set_fontweight("bold" if index in (predicted, label) else "normal")
    scope = "probability" if len(shown) == len(chances) else f"probability, {len(shown)} of {len(chances)} classes"
    axes.set_xlabel(scope, color=INK, fontsize=TEXT_SIZE)
    return figure
