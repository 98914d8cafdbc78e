"""The charts of the suite's page, and contact sheets.

A chart has no title (the page has its headings) and becomes SVG with the page's colours, so that it follows
light and dark. Knows nothing of torch, networks or files.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from mnist_lightning.plots import style
from mnist_lightning.plots.style import BLUE, FAINT, GREY, HEADER, INK, MARGIN, SMALL_SIZE, TEXT_SIZE, VERMILLION

_PAGE_COLOURS = {INK: "ink", GREY: "muted", FAINT: "line", BLUE: "blue", VERMILLION: "orange"}
_WIDTH, _HEIGHT = 660, 450  # pixels at 150 per inch: text stays readable where a phone shows it 320 wide
_LEFT, _BOTTOM = 116, 78
_MOST_DECLINED = 0.2  # where the axis of `coverage` ends


def contact_sheet(title: str, rows: Mapping[str, NDArray[np.uint8]]) -> Figure:
    """Draw rows of images, each with its name.

    Args:
        title: of the sheet.
        rows: name -> uint8 [N, 28, 28], bright ink on 0; the same N in all.
    """
    scale, gap = 3, 4  # pixels of the sheet for one of the image; image pixels between two tiles
    pitch, columns = 28 + gap, len(next(iter(rows.values())))
    mosaic = np.full(
        (len(rows) * pitch - gap, columns * pitch - gap), 225, np.uint8
    )  # grey, otherwise a white rim would be lost
    for row, images in enumerate(rows.values()):
        for column, image in enumerate(images):
            mosaic[row * pitch : row * pitch + 28, column * pitch : column * pitch + 28] = image
    tall, wide = (scale * side for side in mosaic.shape)
    left = MARGIN + 20 + round(max(style.text_width(name, TEXT_SIZE) for name in rows))
    height = HEADER - 30 + tall + MARGIN
    figure = style.blank(left + wide + MARGIN, height, title)
    figure.add_artist(style.Pixels(left, MARGIN, mosaic, scale))
    for row, name in enumerate(rows):
        middle = MARGIN + tall - scale * (row * pitch + 14)
        style.write(figure, MARGIN, middle, name, TEXT_SIZE, va="center")
    return figure


def reliability(bins: Sequence[Mapping[str, float]]) -> Figure:
    """Draw a reliability diagram: how often the network is right at each confidence that it states.

    Args:
        bins: for each bin with images its `low` and `high` end, `confidence` (mean), `accuracy`, its 95 % confidence
            interval `accuracy_low` and `accuracy_high`, all fractions.
    """
    figure, axes = _chart("confidence", "share that is right")
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1)
    low, high = (np.array([each[end] for each in bins]) for end in ("low", "high"))
    confidence = [each["confidence"] for each in bins]
    accuracy = np.array([each["accuracy"] for each in bins])
    spread = [accuracy - [each["accuracy_low"] for each in bins], [each["accuracy_high"] for each in bins] - accuracy]
    axes.bar(low, accuracy, high - low, align="edge", color=BLUE, alpha=0.35, edgecolor=BLUE, lw=0.8)
    axes.errorbar(confidence, accuracy, np.maximum(spread, 0), fmt="o", color=VERMILLION, ms=3.5, lw=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


def coverage(declined: ArrayLike, accuracy: ArrayLike) -> Figure:
    """Draw accuracy against the share of images that the network may decline, up to a fifth.

    Args:
        declined: fractions, ascending.
        accuracy: of the images that are left, fractions.
    """
    shares, accuracies = np.asarray(declined), np.asarray(accuracy)
    seen = shares <= _MOST_DECLINED
    figure, axes = _chart("share declined", "accuracy of the rest")
    axes.plot(shares[seen], accuracies[seen], color=BLUE, lw=2)
    axes.set_xlim(0, _MOST_DECLINED)
    axes.xaxis.set_major_locator(MultipleLocator(0.05))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.6g} %"))
    return figure


def ridges(scores: Mapping[str, ArrayLike], threshold: float, label: str) -> Figure:
    """Draw the distribution of a score on several sets, one above the other; the first, the known images, in blue.

    Args:
        scores: name of a set -> [N] scores.
        threshold: drawn as a line.
        label: what the score is.
    """
    values = {name: np.asarray(each, dtype=float) for name, each in scores.items()}
    everything = np.concatenate(list(values.values()))
    low, high = np.quantile(everything, (0.001, 0.999)).tolist()
    ends = np.linspace(low, high, 61)
    height = 60 + _BOTTOM + 56 * len(values)
    left = MARGIN + 10 + max(style.text_width(name, TEXT_SIZE) for name in values)
    figure, axes = _chart(label, "", height=round(height), left=left)
    for row, (name, each) in enumerate(values.items()):
        share = np.histogram(np.clip(each, ends[0], ends[-1]), ends)[0] / len(each)
        floor, colour = -row, BLUE if row == 0 else VERMILLION
        top = floor + 0.9 * share / max(share.max(), 1e-12)
        axes.fill_between(ends, np.append(top, top[-1]), floor, step="post", color=colour, alpha=0.6, lw=0)
        axes.axhline(floor, color=FAINT, lw=0.8, zorder=0)
        axes.text(-0.02, floor + 0.3, name, transform=axes.get_yaxis_transform(), ha="right", color=INK, fontsize=9)
    axes.axvline(threshold, color=INK, lw=1.2, ls="--")
    axes.set(xlim=(ends[0], ends[-1]), ylim=(1 - len(values), 1.02), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    return figure


def to_svg(figure: Figure, description: str) -> str:
    """A chart as an SVG element for the page; the same chart gives the same text.

    Args:
        figure: anything that this module draws except a contact sheet.
        description: what the chart shows, for those who hear the page.
    """
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "suite"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'^<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text)
    for colour, name in _PAGE_COLOURS.items():
        text = re.sub(colour, f"var(--{name})", text, flags=re.IGNORECASE)
    return text.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1)


def _chart(across: str, up: str, height: int = _HEIGHT, left: float = _LEFT) -> tuple[Figure, Axes]:
    """An empty chart with its two labels."""
    figure = Figure(figsize=(_WIDTH / style.DPI, height / style.DPI), dpi=style.DPI, facecolor="none")
    axes = style.place_axes(figure, left, _BOTTOM, _WIDTH - left - 24, height - _BOTTOM - 24)
    axes.set_facecolor("none")
    axes.tick_params(labelsize=SMALL_SIZE)
    axes.set_xlabel(across, color=INK, fontsize=TEXT_SIZE)
    axes.set_ylabel(up, color=INK, fontsize=TEXT_SIZE)
    axes.grid(color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    return figure, axes
