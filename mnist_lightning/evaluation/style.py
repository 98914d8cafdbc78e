"""How every picture looks: sizes, colours, type, and where things stand; and how one becomes a file.

All layout is in pixels of the saved picture. Axes are placed by hand, because matplotlib's automatic layouts draw
everything twice or more, and a run of seconds must not wait for its pictures. There is no pyplot here and so no
global state: figures are freed like any object, and drawing works in any thread and without a display.
"""

import io
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from mnist_lightning.runs import write_atomically

DPI = 150
# Okabe and Ito, Color Universal Design (2008): told apart with every kind of colour blindness.
BLUE, ORANGE, VERMILLION = "#0072B2", "#E69F00", "#D55E00"
INK, GREY, FAINT = "#222222", "#767676", "#DDDDDD"
MARGIN = 36  # around every picture
HEADER = 116  # from the top edge down to the picture's content: title and subtitle
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 12.0, 9.0, 7.5  # points


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        metadata={"Software": None},  # else the file names matplotlib's version
        pil_kwargs={"compress_level": 1},  # a fifth faster, a quarter larger
    )
    write_atomically(path, buffer.getvalue())


def percent(fraction: float) -> str:
    """Format a fraction from 0 to 1 as percent with two decimals, never rounding a near one up to 100%."""
    if 0.99995 <= fraction < 1:
        return ">99.99%"
    if 0 < fraction < 0.00005:
        return "<0.01%"
    return f"{100 * fraction:.2f}%" if fraction == fraction else "NaN"


def count(number: int, noun: str) -> str:
    """Write "1 epoch", "1,000 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def blank(width: int, height: int, title: str) -> Figure:
    """Make a white figure of `width` x `height` pixels with a title."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    write(figure, MARGIN, height - 24, title, TITLE_SIZE, va="top", weight="bold")
    return figure


def subtitle(figure: Figure, text: str) -> None:
    """Write the line under the title."""
    write(figure, MARGIN, figure.bbox.height - 66, text, TEXT_SIZE, va="top", color=GREY)


def nothing(figure: Figure, text: str) -> Figure:
    """Say in the middle of the picture that there is nothing to draw."""
    write(figure, figure.bbox.width / 2, figure.bbox.height / 2, text, TITLE_SIZE, ha="center", color=GREY)
    return figure


def write(figure: Figure, x: float, y: float, text: str, size: float, color: str = INK, **options: Any) -> Text:
    """Write text at pixels counted from the lower left corner."""
    return figure.text(x / figure.bbox.width, y / figure.bbox.height, text, fontsize=size, color=color, **options)


def place_axes(figure: Figure, left: float, bottom: float, width: float, height: float, bare: bool = False) -> Axes:
    """Place axes at pixels counted from the lower left corner; `bare` has neither frame nor ticks."""
    full_width, full_height = figure.bbox.width, figure.bbox.height
    axes = figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY, labelcolor=INK, labelsize=TEXT_SIZE)
    if bare:
        axes.spines[:].set_visible(False)
        axes.set(xticks=[], yticks=[])
    return axes


def text_width(text: str, size: float) -> float:
    """Measure one line of text of `size` points, in pixels."""
    return RendererAgg(1, 1, DPI).get_text_width_height_descent(text, FontProperties(size=size), False)[0]
