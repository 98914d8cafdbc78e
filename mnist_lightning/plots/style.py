"""How every picture looks: sizes, colours, type, and where things are placed; and how one becomes a file.

All layout is in pixels of the saved picture. Axes are placed by hand, because matplotlib's automatic layouts draw
everything twice or more, and a run of seconds must not wait for its pictures. There is no pyplot here and so no
global state: figures are freed like any object, and drawing works in any thread and without a display.
"""

import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from numpy.typing import NDArray

from mnist_lightning.run.files import write_atomically

DPI = 150
# Okabe and Ito, Color Universal Design (2008): distinguishable with every kind of colour blindness.
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
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)  # as `blank` made it
    canvas.draw()
    pixels = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    # One filter for all lines: matplotlib's encoder tries five on each, which takes two to three times as long.
    knobs = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    write_atomically(path, cv2.imencode(".png", pixels, knobs)[1].tobytes())


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


class Pixels(Artist):
    """An image, grey [H, W] or RGB [H, W, 3], each of its pixels a square of side `scale`, placed as in `write`.

    matplotlib's own images pass through resampling even where there is nothing to resample.
    """

    def __init__(self, left: float, bottom: float, image: NDArray[np.uint8], scale: int = 1) -> None:
        super().__init__()
        self.corner, self.image, self.scale = (round(left), round(bottom)), image, scale

    def draw(self, renderer: Any) -> None:
        """Copy it into the picture."""
        code = cv2.COLOR_GRAY2RGBA if self.image.ndim == 2 else cv2.COLOR_RGB2RGBA
        pixels = cv2.cvtColor(np.ascontiguousarray(self.image[::-1]), code)
        pixels = pixels.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        renderer.draw_image(renderer.new_gc(), *self.corner, pixels)


def place_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Place axes at pixels counted from the lower left corner."""
    full_width, full_height = figure.bbox.width, figure.bbox.height
    axes = figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY, labelcolor=INK, labelsize=TEXT_SIZE)
    return axes


@functools.cache
def text_width(text: str, size: float) -> float:
    """Measure one line of text of `size` points, in pixels."""
    return RendererAgg(1, 1, DPI).get_text_width_height_descent(text, FontProperties(size=size), False)[0]
