"""The contact sheet of the digits that the canvas misread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mnist_lightning.apps.text import ended, write
from mnist_lightning.ink.raster import draw_digit

if TYPE_CHECKING:
    from mnist_lightning.apps.replay import Outcome

MOST = 300  # mistakes that are shown
_TILE_WIDTH, _TILE_HEIGHT, _COLUMNS = 104, 142, 15  # pixels


def contact_sheet(outcomes: Sequence[Outcome]) -> np.ndarray:
    """The mistakes, the most confident first, at most 300: uint8 BGR [H, W, 3].

    Under each drawing: label, reading and confidence; the writer.
    """
    wrong = [outcome for outcome in outcomes if not outcome.is_right]
    wrong.sort(key=lambda outcome: -min((digit.confidence for digit in outcome.reading.digits), default=0.0))
    tiles = wrong[:MOST]
    ink, grey = (0x22, 0x22, 0x22), (0x76, 0x76, 0x76)
    rows = -(-len(tiles) // _COLUMNS)
    sheet = np.full((60 + max(rows, 1) * _TILE_HEIGHT, 20 + _COLUMNS * _TILE_WIDTH, 3), 255, np.uint8)
    selection = "" if len(tiles) == len(wrong) else f", the {len(tiles)} most confident"
    title = f"{len(wrong):,} of {len(outcomes):,} misread{selection}: label → reading, confidence, writer"
    write(sheet, title, (20, 36), 18, ink, 600)
    for place, outcome in enumerate(tiles):
        left, top = 20 + place % _COLUMNS * _TILE_WIDTH, 60 + place // _COLUMNS * _TILE_HEIGHT
        picture = draw_digit(outcome.digit.strokes)
        height, width = picture.shape
        y, x = top + (84 - height) // 2, left + (84 - width) // 2
        sheet[y : y + height, x : x + width] = 255 - picture[:, :, None]
        reading = outcome.reading
        confidence = min((digit.confidence for digit in reading.digits), default=0.0)
        caption = f"{outcome.digit.label} → {reading.best or 'nothing'}"
        write(sheet, caption, (left, top + 104), 15, ink, 600)
        share = f"{100 * confidence:.0f} %"
        write(sheet, share, ended(share, (left + 84, top + 104), 13), 13, grey)
        write(sheet, outcome.digit.writer[:12], (left, top + 122), 13, grey)
    return sheet
