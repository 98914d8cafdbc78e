"""The colours of the window, light and dark. Blue, green, red, each 0 to 255, as in OpenCV.

Blue, orange and green are Okabe and Ito's, as in `plots/style.py`, and can be told apart with every kind of colour
blindness. Nothing is shown by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mnist_lightning.apps.text import Colour


def _bgr(hexadecimal: str) -> Colour:
    red, green, blue = bytes.fromhex(hexadecimal)
    return blue, green, red


@dataclass(frozen=True)
class Theme:
    """The colours by their use.

    Attributes:
        desk: behind everything. `card`: of buttons and boxes on it. `paper`: of the sheet.
        ink: of the pen and of text. `grey`: of text that matters less.
        faint: of borders. `track`: behind bars. `other`: of the bars that are not the largest.
        blue: sure. `orange`: not sure. `rust`: text that says so. `green`: white gaps that decide.
        undecided: ink that decides nothing.
    """

    desk: Colour
    card: Colour
    paper: Colour
    ink: Colour
    grey: Colour
    faint: Colour
    track: Colour
    other: Colour
    blue: Colour
    orange: Colour
    rust: Colour
    green: Colour
    undecided: Colour

    @cached_property
    def inks(self) -> np.ndarray:
        """uint8 [1, 256, 3]: the colour of the sheet by how much ink there is, 0 to 255."""
        share = np.arange(256)[:, None] / 255
        return (share * self.ink + (1 - share) * self.paper).round().astype(np.uint8)[None]

    @cached_property
    def heat(self) -> np.ndarray:
        """uint8 [1, 256, 3]: from ink against the digit (0) through no effect (128) to ink for it (255)."""
        share = np.abs(np.arange(256) - 128)[:, None] / 128
        hue = np.where(np.arange(256)[:, None] < 128, self.blue, self.orange)
        return (share * hue + (1 - share) * np.array(self.undecided)).round().astype(np.uint8)[None]


LIGHT = Theme(
    desk=_bgr("F1F3F6"), card=_bgr("FFFFFF"), paper=_bgr("FFFFFF"), ink=_bgr("222222"), grey=_bgr("666B72"),
    faint=_bgr("D4D8DD"), track=_bgr("E6EAEF"), other=_bgr("ACB4BE"), blue=_bgr("0072B2"), orange=_bgr("E69F00"),
    rust=_bgr("B54900"), green=_bgr("009E73"), undecided=_bgr("B0B4B8"),
)  # fmt: skip
DARK = Theme(
    desk=_bgr("15171B"), card=_bgr("23272E"), paper=_bgr("1C1F25"), ink=_bgr("ECEEF1"), grey=_bgr("A2A9B3"),
    faint=_bgr("3B414A"), track=_bgr("2C313A"), other=_bgr("616976"), blue=_bgr("56B4E9"), orange=_bgr("E69F00"),
    rust=_bgr("FF9A5C"), green=_bgr("2FC79A"), undecided=_bgr("6B7078"),
)  # fmt: skip
